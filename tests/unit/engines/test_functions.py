"""Functions, with models that are known to want to call them: the real pipeline over a few kilobytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halfrate.domain.outcome import Candidate, Cause, Finish
from halfrate.domain.request import (
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
from halfrate.engines.embedded import gguf, protocol
from halfrate.engines.embedded.grammar import grammar_of, structured
from halfrate.engines.embedded.prompts import Prompts
from tests.batchers import Bench, parrot
from tests.engines import QUICK

PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}<go>"
ABLE = (
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    '{% for c in m.tool_calls %}<tool_call>{"name": "{{ c.function.name }}", "arguments": '
    "{{ c.function.arguments | tojson }}}</tool_call>{% endfor %}{% endfor %}<go>"
)
# Where a schema leaves it a choice of bytes: little white space, strings that end at once, and one call.
BYTES = {"{": '"', ":": '"', '"': "}", "ĉ": ":", ">": gguf.END}
CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = FunctionDeclaration("weather", "Tells it.", json.dumps(CITY))
TIME = FunctionDeclaration("time")


def asking(functions: Functions | None, *messages: Message, **sampling: object) -> Request:
    return Request(
        messages or (Message(Role.USER, "Hi."),),
        Sampling(**{"max_output_tokens": 120, **sampling}),  # type: ignore[arg-type]
        functions,
    )


@pytest.fixture(params=[PLAIN, ABLE], ids=["told in words", "by its template"])
def eager(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """A model that says something and then calls."""
    path = parrot(tmp_path, "Let", "See", "<tool_call>", template=request.param, follows=BYTES)
    return Bench(tmp_path, QUICK, path)


def test_a_call_is_valid_and_apart_from_the_text(eager: Bench) -> None:
    """The model began it of its own accord, and only its bytes are given."""
    answered = eager.answer(asking(Functions((WEATHER, TIME))))
    (candidate,) = answered.candidates
    assert candidate.text == "LetSee"
    assert candidate.finish is Finish.STOP
    assert candidate.calls
    for call in candidate.calls:
        assert call.name in {"weather", "time"}
        arguments = json.loads(call.arguments)
        assert arguments == {} if call.name == "time" else arguments["city"] in {"Rome", "Oslo"}


def test_one_that_must_call_calls_what_it_is_allowed_to(eager: Bench) -> None:
    functions = Functions((TIME, WEATHER, FunctionDeclaration("never")), Choice.ANY, ("weather",))
    (candidate,) = eager.answer(asking(functions)).candidates
    assert candidate.text == ""
    assert {call.name for call in candidate.calls} == {"weather"}
    assert candidate.finish is Finish.STOP


LOOPING = {**BYTES, ">": "\u010a"}  # after a call, a new line: and then the next


@pytest.fixture(params=[PLAIN, ABLE], ids=["told in words", "by its template"])
def looping(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """A model that would call again and again where it can."""
    path = parrot(tmp_path, "Let", "<tool_call>", template=request.param, follows=LOOPING)
    return Bench(tmp_path, QUICK, path)


def test_one_that_must_call_ends_where_it_repeats_itself(looping: Bench) -> None:
    answered = looping.answer(asking(Functions((TIME,), Choice.ANY), max_output_tokens=2_000))
    (candidate,) = answered.candidates
    assert candidate.calls == (FunctionCall("time", "{}", None),)
    assert candidate.finish is Finish.STOP
    assert answered.usage.output_tokens < 200


@pytest.mark.parametrize("choice", [Choice.ANY, Choice.AUTO])
def test_one_call_and_no_other(looping: Bench, choice: Choice) -> None:
    """Where there may be several, this model makes more, or the same again."""
    answered = looping.answer(
        asking(Functions((WEATHER, TIME), choice, several=False), max_output_tokens=2_000)
    )
    (candidate,) = answered.candidates
    assert len(candidate.calls) == 1
    assert candidate.finish is Finish.STOP
    assert answered.usage.output_tokens < 120


def test_one_that_must_not_call_ends_where_it_would(eager: Bench) -> None:
    (candidate,) = eager.answer(asking(Functions((WEATHER,), Choice.NONE))).candidates
    assert candidate == Candidate("LetSee", Finish.STOP)


def test_without_functions_there_are_no_calls(eager: Bench) -> None:
    (candidate,) = eager.answer(asking(None, max_output_tokens=3)).candidates
    assert candidate.calls == ()


@pytest.mark.parametrize("most", range(3, 60, 8))
def test_a_call_that_is_cut_is_malformed(eager: Bench, most: int) -> None:
    """And so is an answer that had to be a call and did not come to one."""
    one = Functions((WEATHER,))
    (candidate,) = eager.answer(asking(one, max_output_tokens=most)).candidates
    assert candidate == Candidate("LetSee", Finish.MALFORMED_CALL)
    (candidate,) = eager.answer(asking(Functions((WEATHER,), Choice.ANY), max_output_tokens=most)).candidates
    assert (candidate.finish, candidate.calls) == (Finish.MALFORMED_CALL, ())


def test_stop_strings_concern_what_is_said(eager: Bench) -> None:
    """Not what is called: this one is in every call."""
    calls = eager.answer(asking(Functions((WEATHER,)))).candidates[0].calls
    (candidate,) = eager.answer(asking(Functions((WEATHER,)), stop=("city",))).candidates
    assert candidate.calls == calls
    (candidate,) = eager.answer(asking(Functions((WEATHER,)), stop=("See",))).candidates
    assert candidate == Candidate("Let", Finish.STOP)


def test_a_shape_of_answers_leaves_calls_possible(eager: Bench) -> None:
    """The answer follows the schema, or is calls; one that must call has no such choice."""
    for sampling in ({"json_schema": json.dumps(CITY)}, {"choices": ("Let", "Led")}):
        (auto,) = eager.answer(asking(Functions((WEATHER,)), **sampling)).candidates
        assert auto.calls or auto.text in {"Let", "Led"} or json.loads(auto.text)["city"] in {"Rome", "Oslo"}
        (must,) = eager.answer(asking(Functions((WEATHER,), Choice.ANY), **sampling)).candidates
        assert must.calls
        assert must.text == ""


def test_every_candidate_calls(eager: Bench) -> None:
    answered = eager.answer(asking(Functions((WEATHER,), Choice.ANY), candidates=3))
    assert len(answered.candidates) == 3
    assert all(candidate.calls for candidate in answered.candidates)


@pytest.mark.parametrize(
    ("parameters", "cause"), [('{"type": "foo"}', Cause.INVALID), ('{"not": {}}', Cause.UNSUPPORTED)]
)
def test_parameters_that_cannot_be_held_to_are_refused(eager: Bench, parameters: str, cause: Cause) -> None:
    id = eager.request(asking(Functions((TIME, FunctionDeclaration("bad", "", parameters)))))
    refused = eager.run()[id]
    assert isinstance(refused, protocol.Refused)
    assert refused.cause is cause


def test_a_template_that_knows_functions_is_given_them(tmp_path: Path) -> None:
    """Declarations, calls and returns as it wants them, in the order in which they were."""
    bench = Bench(tmp_path, QUICK, parrot(tmp_path, "Yes", template=ABLE))
    messages = (
        Message(Role.USER, "Weather?"),
        Message(Role.MODEL, "I look.", calls=(FunctionCall("weather", '{"z":"Rome","a":1}'),)),
        Message(Role.TOOL, "And?", returns=(FunctionReturn("weather", '{"sun":1}'),)),
    )
    prompt = bench.batcher._prompts._text_of(asking(Functions((TIME,)), *messages))
    declared, said = prompt.split("[user]Weather?")
    assert json.loads(declared)["function"]["name"] == "time"
    assert said == (
        '[assistant]I look.<tool_call>{"name": "weather", "arguments": {"z": "Rome", "a": 1}}</tool_call>'
        '[tool]{"sun":1}[user]And?<go>'
    )


def test_a_template_that_does_not_is_told_in_words(tmp_path: Path) -> None:
    bench = Bench(tmp_path, QUICK, parrot(tmp_path, "Yes", template=PLAIN))
    prompt = bench.batcher._prompts._text_of(asking(Functions((TIME,))))
    assert prompt.startswith("[system]# Functions")
    assert prompt.endswith("[user]Hi.<go>")


def test_marks_are_read_though_a_tokenizer_hides_them(tmp_path: Path) -> None:
    """Decoded as other answers are, these tokens would be nothing."""
    bench = Bench(tmp_path, QUICK, parrot(tmp_path, "<tool_call>", "x", template=PLAIN))
    prompts: Prompts = bench.batcher._prompts
    tokens = (
        prompts._tokenizer.encode("<tool_call>x<|end|>", add_special_tokens=False).input_ids.data[0].tolist()
    )
    assert "<tool_call>" not in prompts.text(tokens)
    assert prompts.marked_text(tokens) == "<tool_call>x"


@pytest.mark.parametrize("choice", [Choice.ANY, Choice.AUTO])
@pytest.mark.parametrize("several", [True, False])
def test_the_grammar_says_whether_another_call_may_follow(choice: Choice, several: bool) -> None:
    grammar = grammar_of(asking(Functions((WEATHER, TIME), choice, several=several)))
    assert grammar is not None
    assert structured(grammar).compound_grammar.stop_after_first is not several  # type: ignore[union-attr]
