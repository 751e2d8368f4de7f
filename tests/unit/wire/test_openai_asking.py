"""What another server of OpenAI's dialect is sent, and what its answers mean."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.embedding import Embedded, Embedding, Purpose
from halfrate.domain.outcome import (
    Answered,
    Candidate,
    Cause,
    Delta,
    Failed,
    Finish,
    Outcome,
    TokenLogprob,
)
from halfrate.domain.request import (
    Attachment,
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.domain.usage import Usage
from halfrate.wire.openai.asking import Manner, Server, chat_body, embeddings_body, messages_of
from halfrate.wire.openai.chat import read_chat, understand
from halfrate.wire.openai.completions import CompletionStream, completion_body
from halfrate.wire.openai.faults import bound_too_large, cause_of, locked_out, out_of_quota, read_fault
from halfrate.wire.openai.heard import NO_TOKEN_ID, Said, completion_outcome, embedding_outcome
from halfrate.wire.sse import Events

PLAIN = Request((Message(Role.USER, "Hello?"),))


def asked(request: Request, *, streamed: bool = False, **manner: Any) -> dict[str, Any]:
    body = chat_body(request, Manner("there", **manner), streamed=streamed)
    assert isinstance(body, bytes), body
    return json.loads(body)


def sampled(**sampling: Any) -> Request:
    return Request(PLAIN.messages, Sampling(**sampling))


# --- what is sent


def test_a_plain_request_says_no_more_than_it_must() -> None:
    messages = [{"role": "user", "content": "Hello?"}]
    assert asked(PLAIN) == {"model": "there", "messages": messages}
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    assert asked(PLAIN, streamed=True) == {"model": "there", "messages": messages} | streamed


def test_everything_about_decoding_has_its_name() -> None:
    body = asked(
        sampled(
            max_output_tokens=9,
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            seed=7,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            stop=("a", "b"),
            candidates=2,
            logprobs=3,
        )
    )
    del body["model"], body["messages"]
    assert body == {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop": ["a", "b"],
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
    }


def test_a_bound_of_the_context_and_more_is_left_to_the_server() -> None:
    for most, bound in ((99, 99), (100, None), (10**6, None)):
        body = asked(sampled(max_output_tokens=most), context_tokens=100)
        assert body.get("max_tokens") == bound


def test_openais_own_models_know_the_newer_name_of_the_bound_only() -> None:
    body = asked(sampled(max_output_tokens=9), server=Server.OPENAI)
    assert (body.get("max_tokens"), body["max_completion_tokens"]) == (None, 9)


@pytest.mark.parametrize("server", [Server.OPENAI, Server.OLLAMA, Server.TGI])
def test_top_k_is_refused_where_it_would_be_passed_over(server: Server) -> None:
    failed = chat_body(sampled(top_k=4), Manner("there", server=server), streamed=False)
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.UNSUPPORTED
    assert "top_k" not in asked(sampled(top_k=4, temperature=0.0), server=server)  # there it says nothing


def test_a_schema_is_a_response_format() -> None:
    schema = '{"type":"object","properties":{"b":{"type":"number"},"a":{"type":"string"}}}'
    body = asked(sampled(json_schema=schema))
    told = body["response_format"]
    assert told["type"] == "json_schema"
    assert json.dumps(told["json_schema"]["schema"], separators=(",", ":")) == schema  # in its order
    assert asked(sampled(json_schema='{"type":"object"}'))["response_format"] == {"type": "json_object"}


def test_choices_are_a_schema_and_come_back_as_they_are() -> None:
    choices = ("yes", 'say "no"\n')
    request = sampled(choices=choices)
    quoted = asked(request)["response_format"]["json_schema"]["schema"]
    assert quoted == {"type": "string", "enum": list(choices)}
    assert answered(request, content=json.dumps(choices[1])).text == choices[1]
    wrapped = asked(request, server=Server.OPENAI)["response_format"]["json_schema"]["schema"]
    assert wrapped["properties"] == {"answer": quoted}
    assert answered(request, content=json.dumps({"answer": choices[1]})).text == choices[1]
    assert answered(request, content='"ye', finish="length").text == '"ye'


def test_thinking_is_told_in_the_servers_way() -> None:
    off, some, all_of_it = (
        sampled(thinking_budget=0),
        sampled(thinking_budget=2_000),
        sampled(thinking_budget=-1),
    )
    assert "reasoning_effort" not in asked(off)  # a model that does not think would refuse it
    assert [asked(each, thinks=True)["reasoning_effort"] for each in (off, some, all_of_it)] == [
        "none",
        "medium",
        "high",
    ]
    assert asked(off, server=Server.VLLM)["chat_template_kwargs"]["enable_thinking"] is False
    assert asked(some, server=Server.VLLM)["chat_template_kwargs"]["enable_thinking"] is True


def test_fields_of_the_settings_are_added() -> None:
    assert asked(PLAIN, fields={"provider": {"only": ["x"]}})["provider"] == {"only": ["x"]}


def test_a_conversation_with_functions_goes_by_ids() -> None:
    request = Request(
        (
            Message(Role.SYSTEM, "Be brief."),
            Message(Role.USER, "What time is it, and where?"),
            Message(Role.MODEL, "", calls=(FunctionCall("now", "{}"), FunctionCall("here", "{}", "mine"))),
            Message(
                Role.TOOL,
                "Well?",
                returns=(FunctionReturn("here", '{"x":1}', "mine"), FunctionReturn("now", '{"h":9}')),
            ),
        )
    )
    system, user, model, here, now, rest = messages_of(request)
    assert (system["role"], user["role"], model["role"]) == ("system", "user", "assistant")
    ids = [call["id"] for call in model["tool_calls"]]
    assert model["content"] is None
    assert ids[1] == "mine"
    assert (here["tool_call_id"], here["content"]) == ("mine", '{"x":1}')
    assert (now["tool_call_id"], now["content"]) == (ids[0], '{"h":9}')
    assert rest == {"role": "user", "content": "Well?"}


@pytest.mark.parametrize(
    ("choice", "allowed", "told", "names"),
    [
        (Choice.AUTO, (), "auto", ["one", "two"]),
        (Choice.NONE, (), "none", ["one", "two"]),
        (Choice.ANY, (), "required", ["one", "two"]),
        (Choice.ANY, ("two",), {"type": "function", "function": {"name": "two"}}, ["two"]),
    ],
)
def test_only_what_may_be_called_is_declared(
    choice: Choice, allowed: tuple[str, ...], told: object, names: list[str]
) -> None:
    declared = (FunctionDeclaration("one", "First.", '{"type":"object"}'), FunctionDeclaration("two"))
    body = asked(Request(PLAIN.messages, functions=Functions(declared, choice, allowed)))
    assert body["tool_choice"] == told
    assert [tool["function"]["name"] for tool in body["tools"]] == names


def test_an_image_stands_where_it_stood() -> None:
    message = Message(Role.USER, "Before\nafter", attachments=(Attachment(6, "image/png", b"\x89PNG"),))
    (sent,) = messages_of(Request((message,)))
    assert sent["content"] == [
        {"type": "text", "text": "Before"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,iVBORw=="},
        },
        {"type": "text", "text": "after"},
    ]


def test_an_embedding_is_asked_for_in_a_compact_form() -> None:
    body = embeddings_body(
        Embedding("a text", Purpose.RETRIEVAL_DOCUMENT, title="A title", dimensions=8), Manner("there")
    )
    assert isinstance(body, bytes)
    assert json.loads(body) == {
        "model": "there",
        "input": "A title\na text",
        "encoding_format": "base64",
        "dimensions": 8,
    }


def test_half_a_character_is_no_prompt() -> None:
    for body in (
        chat_body(Request((Message(Role.USER, "\ud800"),)), Manner("there"), streamed=False),
        embeddings_body(Embedding("\ud800"), Manner("there")),
    ):
        assert isinstance(body, Failed)
        assert body.cause is Cause.INVALID


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
samplings = st.builds(
    Sampling,
    max_output_tokens=st.none() | st.integers(1, 10**6),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    seed=st.none() | st.integers(0, 2**31 - 1),
    stop=st.lists(texts, max_size=5).map(tuple),
    json_schema=st.none() | st.just('{"type":"object"}') | st.just('{"type":"number"}'),
    candidates=st.integers(1, 8),
    logprobs=st.none() | st.integers(0, 20),
)


@given(st.lists(texts, min_size=1, max_size=3), st.none() | texts, samplings)
def test_this_servers_own_reading_of_a_body_is_the_request(
    turns: list[str], system: str | None, sampling: Sampling
) -> None:
    """What is asked of another halfrate arrives there as it was."""
    roles = [Role.USER if (len(turns) - n) % 2 else Role.MODEL for n in range(len(turns))]
    said = tuple(Message(role, text) for role, text in zip(roles, turns, strict=True))
    opening = () if system is None else (Message(Role.SYSTEM, system),)
    request = Request(opening + said, sampling)
    body = chat_body(request, Manner("there"), streamed=False)
    assert isinstance(body, bytes)
    assert understand(read_chat(body)) == request


# --- what comes back


def completion(usage: object = None, **choice: Any) -> bytes:
    message = {"role": "assistant"} | {
        name: choice.pop(name)
        for name in ("content", "reasoning_content", "tool_calls", "refusal")
        if name in choice
    }
    told = {"index": 0, "message": message, "finish_reason": choice.pop("finish", "stop"), **choice}
    return json.dumps({"choices": [told], "usage": usage}).encode()


def outcome(request: Request = PLAIN, usage: object = None, **choice: Any) -> Outcome:
    return completion_outcome(completion(usage, **choice), request)


def answered(request: Request = PLAIN, usage: object = None, **choice: Any) -> Candidate:
    said = outcome(request, usage, **choice)
    assert isinstance(said, Answered), said
    (candidate,) = said.candidates
    return candidate


def test_usage_and_what_was_cached() -> None:
    for cached in (
        {"prompt_tokens_details": {"cached_tokens": 4}},
        {"prompt_cache_hit_tokens": 4},
        {"prompt_tokens_details": None, "prompt_cache_hit_tokens": 4},
    ):
        said = outcome(usage={"prompt_tokens": 9, "completion_tokens": 5, **cached}, content="x")
        assert isinstance(said, Answered)
        assert said.usage == Usage(9, 5, 4)


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("stop", Finish.STOP),
        ("length", Finish.LENGTH),
        ("eos_token", Finish.STOP),
        ("tool_calls", Finish.STOP),
    ],
)
def test_why_it_ends(told: str, finish: Finish) -> None:
    assert answered(content="x", finish=told).finish is finish


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"index": 0}]}', b"[" * 5_000, b'{"choices": 3}'],
)
def test_what_is_no_completion_is_the_servers_fault(body: bytes) -> None:
    said = completion_outcome(body, PLAIN)
    assert isinstance(said, Failed)
    assert said.cause is Cause.UPSTREAM


def test_calls_are_functions_called() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "now", "arguments": '{ "zone": "CET" }'}}]
    candidate = answered(content=None, tool_calls=calls, finish="tool_calls")
    assert candidate.calls == (FunctionCall("now", '{"zone":"CET"}', "a"),)
    assert candidate.finish is Finish.STOP


def test_a_call_that_was_cut_off_is_none() -> None:
    calls = [
        {"id": "a", "function": {"name": "now", "arguments": "{}"}},
        {"id": "b", "function": {"name": "then", "arguments": '{"zo'}},
    ]
    candidate = answered(content="", tool_calls=calls, finish="length")
    assert [call.name for call in candidate.calls] == ["now"]
    assert candidate.finish is Finish.MALFORMED_CALL


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_are_told_to_whoever_asked(name: str) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 10}
    for told in (True, False):
        said = json.loads(completion(usage, content="1234"))
        said["choices"][0]["message"][name] = "thinks"
        answer = completion_outcome(json.dumps(said).encode(), sampled(include_thoughts=told))
        assert isinstance(answer, Answered)
        (candidate,) = answer.candidates
        assert (candidate.text, candidate.thought) == ("1234", "thinks" if told else "")
        assert candidate.thought_tokens == 6  # by their length: this server does not tell


def test_thought_tokens_are_taken_as_told() -> None:
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 10,
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    assert answered(usage=usage, content="x").thought_tokens == 7


def test_log_probabilities() -> None:
    top = [{"token": "b", "logprob": -0.5}, {"token": "a", "logprob": -1.0}]
    told = {"content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": top}]}
    (step,) = answered(content="a", logprobs=told).logprobs
    likely = (TokenLogprob("b", NO_TOKEN_ID, -0.5), TokenLogprob("a", NO_TOKEN_ID, -1.0))
    assert step == TokenLogprob("a", NO_TOKEN_ID, -1.0, likely)


@pytest.mark.parametrize("finish", ["abort", "error"])
def test_what_the_server_broke_off_is_tried_again(finish: str) -> None:
    said = outcome(content="x", finish=finish)
    assert isinstance(said, Failed)
    assert said.cause.retriable


def test_a_vector_comes_as_base64_or_as_numbers_and_has_length_one() -> None:
    packed = Embedded.of([3.0, 4.0], Usage()).packed
    for sent in (base64.b64encode(packed).decode(), [3.0, 4.0]):
        body = json.dumps({"data": [{"embedding": sent}], "usage": {"prompt_tokens": 2}}).encode()
        said = embedding_outcome(body)
        assert isinstance(said, Embedded)
        assert list(said.values) == pytest.approx([0.6, 0.8])
        assert said.usage == Usage(2)


@pytest.mark.parametrize(
    "sent",
    ["!", "AAAA", [], [0.0, 0.0], [1e999]],
    ids=["no base64", "half a number", "none", "zero", "infinite"],
)
def test_what_is_no_vector_is_the_servers_fault(sent: object) -> None:
    said = embedding_outcome(json.dumps({"data": [{"embedding": sent}]}).encode())
    assert isinstance(said, Failed)
    assert said.cause is Cause.UPSTREAM


@pytest.mark.parametrize(
    ("code", "cause"),
    [(400, Cause.INVALID), (503, Cause.OVERLOADED), (7, Cause.UPSTREAM), ("x", Cause.UPSTREAM)],
)
def test_an_error_in_an_answer_is_an_error(code: object, cause: Cause) -> None:
    said = completion_outcome(json.dumps({"error": {"message": "No.", "code": code}}).encode(), PLAIN)
    assert isinstance(said, Failed)
    assert (said.cause, "No." in said.detail) == (cause, True)


def test_what_a_server_leaves_empty_is_nothing() -> None:
    """Null stands for what is not there, wherever it does in the answers of some server."""
    usage = {"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None}
    likely = [{"token": "x", "logprob": 0.0, "id": None, "top_logprobs": None}]
    candidate = answered(usage=usage, content="x", tool_calls=None, logprobs={"content": likely})
    assert (candidate.text, len(candidate.logprobs)) == ("x", 1)


# --- errors, as the known servers word them

TOO_LONG = [
    (400, {"error": {"message": "x", "code": "context_length_exceeded"}}),  # OpenAI
    (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}),
    (400, {"error": {"message": "The decoder prompt (length 9000) is longer than the maximum model length"}}),
    (
        400,
        {"error": {"message": "The input (9 tokens) is longer than the model's context length (4 tokens)."}},
    ),
    (400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "x", "n_ctx": 64}}),
    (500, {"error": {"message": "the request exceeds the available context size. try increasing it"}}),
    (
        422,
        {
            "error": "Input validation error: `inputs` must have less than 100 tokens.",
            "error_type": "validation",
        },
    ),
    (413, b"<html>Request Entity Too Large</html>"),
]


@pytest.mark.parametrize(("status", "said"), TOO_LONG)
def test_too_long_is_told_in_many_ways(status: int, said: object) -> None:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    assert cause_of(status, read_fault(body)) is Cause.TOO_LONG


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (400, {"error": {"message": "No."}}, "No."),
        (400, {"object": "error", "message": "No."}, "No."),
        (400, [{"error": {"message": "No.", "code": 400}}], "No."),
        (404, {"detail": "Not Found"}, "Not Found"),
        (422, {"detail": [{"loc": ["body"], "msg": "No."}]}, '[{"loc":["body"],"msg":"No."}]'),
        (400, {"error": "No."}, "No."),
    ],
)
def test_a_servers_sentence_is_found(status: int, said: object, message: str) -> None:
    fault = read_fault(json.dumps(said).encode())
    assert fault.message == message
    assert cause_of(status, fault) is Cause.INVALID


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | texts | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["error", "message", "detail", "code", "type"]), inner)
        ),
    ).map(msgspec.json.encode)
)
def test_any_body_is_a_fault_on_one_line(body: bytes) -> None:
    message = read_fault(body).message
    assert message.isprintable()
    assert len(message) < 600


def test_who_is_meant_by_a_refusal() -> None:
    assert locked_out(401, read_fault(b""))
    assert locked_out(403, read_fault(b'{"error": {"message": "Your key may not."}}'))
    assert not locked_out(403, read_fault(b'{"error": {"message": "Your input was flagged."}}'))
    assert out_of_quota(429, read_fault(b'{"error": {"code": "insufficient_quota"}}'))
    assert not out_of_quota(429, read_fault(b'{"error": {"code": "rate_limit_exceeded"}}'))


@pytest.mark.parametrize(
    ("message", "is_bound"),
    [
        ("'max_tokens' or 'max_completion_tokens' is too large: 4000.", True),
        ("max_tokens is too large: 10000. This model supports at most 4096 completion tokens", True),
        ("you requested 4001 tokens (1 in the messages, 4000 in the completion)", True),
        ("`inputs` tokens + `max_new_tokens` must be <= 100. Given: 1 `inputs` tokens", True),
        ("messages must not be empty", False),
    ],
)
def test_a_bound_that_is_too_large_is_told_from_a_prompt(message: str, is_bound: bool) -> None:
    assert bound_too_large(400, read_fault(json.dumps({"error": message}).encode())) is is_bound


# --- streams


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@given(
    st.lists(
        st.binary(max_size=20).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b"")), max_size=6
    ),
    st.sampled_from([b"\n", b"\r\n"]),
    st.lists(st.integers(0, 10**6), max_size=8),
)
def test_events_are_the_same_wherever_the_stream_is_cut(
    events: list[bytes], line_end: bytes, places: list[int]
) -> None:
    data = b"".join(
        b": a comment" + line_end + b"event: x" + line_end + b"data: " + each + line_end * 2
        for each in events
    )
    heard = Events()
    assert [event for piece in cut(data, places) for event in heard.feed(piece)] == events
    assert heard.end() == []


def test_the_last_event_needs_no_empty_line() -> None:
    heard = Events()
    assert heard.feed(b"data: one\n\ndata: two") == [b"one"]
    assert heard.end() == [b"two"]


def test_lines_of_one_event_are_its_data() -> None:
    assert Events().feed(b"data:one\ndata: two\n\n") == [b"one\ntwo"]


finishes = st.sampled_from([Finish.STOP, Finish.LENGTH])
candidates = st.builds(
    Candidate,
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    finish=finishes,
    thought=texts | st.just(""),
    calls=st.lists(st.builds(FunctionCall, texts, st.just('{"a":1}'), texts), max_size=2).map(tuple),
)


@given(st.lists(candidates, min_size=1, max_size=3), st.lists(st.integers(0, 10**6), max_size=8))
def test_a_stream_says_what_the_answer_says(said: list[Candidate], places: list[int]) -> None:
    """Of this server's own streams, cut anywhere: the pieces are the beginning, the end is the whole."""
    answer = Answered(tuple(said), Usage(5, 9, 2))
    request = sampled(candidates=len(said), include_thoughts=True)
    stream = CompletionStream(id="1", model="m", created=0, candidates=len(said), include_usage=True)
    events = stream.begin()
    for index, candidate in enumerate(said):
        if candidate.thought:
            events.append(stream.piece(Delta(thought=candidate.thought, index=index)))
        events += [stream.piece(Delta(text=char, index=index)) for char in candidate.text]
    events += stream.end(answer)
    data = b"".join(b"data: " + each + b"\n\n" for each in events)
    listening, heard = Said(request), Events()
    deltas = [
        delta for piece in cut(data, places) for each in heard.feed(piece) for delta in listening.add(each)
    ]
    at_once = completion_outcome(completion_body(answer, id="1", model="m", created=0), request)
    assert listening.outcome() == at_once
    assert isinstance(at_once, Answered)
    for index, candidate in enumerate(said):
        mine = [delta for delta in deltas if delta.index == index]
        assert "".join(delta.text for delta in mine) == candidate.text
        assert "".join(delta.thought for delta in mine) == candidate.thought
        back = at_once.candidates[index]
        assert (back.text, back.thought, back.calls) == (candidate.text, candidate.thought, candidate.calls)
