"""OpenAI's official client, unmodified, against a real server of ours, beside the Gemini API's."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from google import genai
from openai import OpenAI
from openai.types import Batch

from tests.sdk.test_official_sdks import serving

pytestmark = pytest.mark.sdk
ENDED = {"completed", "failed", "cancelled", "expired"}
WAIT_SECONDS = 60
MESSAGES = [{"role": "user", "content": "one two three"}]
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from serving(tmp_path_factory.mktemp("data"), "scripted")


@pytest.fixture(params=["openai/v1", "v1beta/openai"])
def client(request: pytest.FixtureRequest, url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/{request.param}", api_key="none-needed", max_retries=0) as client:
        yield client


def test_a_completion(client: OpenAI) -> None:
    said = client.chat.completions.create(model="pocket-1", messages=MESSAGES, n=2, max_tokens=2)
    assert [choice.message.content for choice in said.choices] == ["one two", "one two"]
    assert said.choices[0].finish_reason == "length"
    assert said.usage is not None
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    assert said.usage.prompt_tokens_details is not None


def test_a_stream(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="pocket-1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == "one two three"
    assert len([piece for piece in pieces if piece]) == 3
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_a_tool_is_called_and_answered(client: OpenAI) -> None:
    first = client.chat.completions.create(
        model="pocket-1", messages=MESSAGES, tools=[TOOL], tool_choice="required"
    )
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.name == "look"
    returned = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "seen"}
    then = {"role": "user", "content": "so?"}
    second = client.chat.completions.create(
        model="pocket-1", messages=[*MESSAGES, message, returned, then], tools=[TOOL]
    )
    assert second.choices[0].message.content == "so?"


def test_an_answer_of_a_form(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "soft": {"type": "boolean"}}}
    said = client.chat.completions.create(
        model="pocket-1",
        messages=MESSAGES,
        response_format={"type": "json_schema", "json_schema": {"name": "cheese", "schema": schema}},
    )
    assert json.loads(said.choices[0].message.content or "") == {"name": "Brie", "soft": True}


def test_what_gemini_adds(client: OpenAI) -> None:
    thinking = {"google": {"thinking_config": {"include_thoughts": True}}}
    for extra in (thinking, {"extra_body": thinking}):
        said = client.chat.completions.create(model="pocket-1", messages=MESSAGES, extra_body=extra)
        assert said.choices[0].message.content == "one two three"


def test_errors(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="pocket-1", messages=MESSAGES, temperature=3)
    assert "not from 0 to 2" in refused.value.response.text
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "pocket-1" in names
    assert client.models.retrieve("pocket-1").id == "pocket-1"


def test_embeddings(client: OpenAI) -> None:
    # The client asks for base64 of itself, and unpacks it.
    packed = client.embeddings.create(model="gemini-embedding-001", input=["a text", "another"])
    plain = client.embeddings.create(model="gemini-embedding-001", input="a text", encoding_format="float")
    assert len(packed.data) == 2
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)


def lines() -> bytes:
    return b"".join(
        json.dumps(
            {
                "custom_id": f"k{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "pocket-1",
                    "messages": [{"role": "user", "content": f"number {number}"}],
                    **({"n": 99} if number == 3 else {}),
                },
            }
        ).encode()
        + b"\n"
        for number in range(5)
    )


def ended(client: OpenAI, batch_id: str) -> Batch:
    deadline = time.monotonic() + WAIT_SECONDS
    while (batch := client.batches.retrieve(batch_id)).status not in ENDED:
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
    return batch


def test_a_batch(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(lines())
    file = client.files.create(file=path, purpose="batch")
    assert (file.bytes, file.filename) == (len(lines()), "in.jsonl")
    assert client.files.content(file.id).content == lines()
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
    )
    batch = ended(client, made.id)
    assert batch.status == "completed"
    assert batch.metadata == {"a": "b"}
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (4, 1)
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [one["custom_id"] for one in answers] == ["k0", "k1", "k2", "k4"]
    assert answers[0]["response"]["body"]["choices"][0]["message"]["content"] == "number 0"
    (error,) = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    assert (error["custom_id"], error["response"]["status_code"]) == ("k3", 400)
    assert batch.id in [each.id for each in client.batches.list(limit=1)]
    assert file.id in [each.id for each in client.files.list(limit=1)]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_batch_is_cancelled(client: OpenAI) -> None:
    many = b"".join(lines().replace(b'"k', f'"{number}-k'.encode()) for number in range(400))
    file = client.files.create(file=("many.jsonl", io.BytesIO(many)), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.cancel(made.id).status in {"cancelling", "cancelled"}
    assert ended(client, made.id).status == "cancelled"


def test_programs_for_geminis_layer(url: str, tmp_path: Path) -> None:
    """As its documentation has it: the file goes up and the results come down with the native client."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(lines())
    native = genai.Client(api_key="none-needed", http_options={"base_url": url})
    with OpenAI(base_url=f"{url}/v1beta/openai/", api_key="none-needed") as client:
        file = native.files.upload(file=path, config={"mime_type": "jsonl", "display_name": "in"})
        made = client.batches.create(
            input_file_id=file.name or "", endpoint="/v1/chat/completions", completion_window="24h"
        )
        batch = ended(client, made.id)
        told = native.batches.get(name=batch.id)
        assert told.state is not None
        assert told.state.name == "JOB_STATE_SUCCEEDED"
        results = native.files.download(file=batch.output_file_id or "")
        assert [json.loads(line)["custom_id"] for line in results.splitlines()] == ["k0", "k1", "k2", "k4"]
        assert told.dest is not None
        own = [json.loads(line) for line in native.files.download(file=told.dest.file_name).splitlines()]
        assert [one["key"] for one in own] == ["k0", "k1", "k2", "k3", "k4"]
        assert own[0]["response"]["candidates"][0]["content"]["parts"][0]["text"] == "number 0"
