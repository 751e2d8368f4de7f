"""Embeddings as users make them: the real model, a real server, the official SDK."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.bert import real_encoder
from tests.support.processes import Server, halfrate, serving

MODEL = "gemini-embedding-001"
TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    *(f"Text {n} has {n % 9} of these: {'and more words ' * (n % 100)}" for n in range(120)),
]

pytestmark = pytest.mark.filterwarnings("ignore::google.genai._common.ExperimentalWarning")


@pytest.fixture(scope="module")
def default_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a configuration."""
    real_encoder()
    with serving("--data", tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def client(default_server: Server) -> genai.Client:
    return genai.Client(api_key="none", http_options={"base_url": default_server.url})


def finished(client: genai.Client, job: types.BatchJob) -> types.BatchJob:
    deadline = time.monotonic() + 60
    while not job.done:
        assert time.monotonic() < deadline, job.state
        time.sleep(0.05)
        job = client.batches.get(name=job.name or "")
    assert job.state is types.JobState.JOB_STATE_SUCCEEDED
    return job


def online(client: genai.Client, texts: list[str], **config: Any) -> list[list[float]]:
    vectors = []
    for start in range(0, len(texts), 100):
        result = client.models.embed_content(
            model=MODEL, contents=list(texts[start : start + 100]), config=types.EmbedContentConfig(**config)
        )
        vectors += [embedding.values or [] for embedding in result.embeddings or []]
    return vectors


def lines(texts: list[str], **request: object) -> bytes:
    return b"\n".join(
        json.dumps({"key": str(n), "request": {"content": {"parts": [{"text": text}]}, **request}}).encode()
        for n, text in enumerate(texts)
    )


def in_a_file(client: genai.Client, content: bytes) -> list[dict[str, Any]]:
    file = client.files.upload(file=io.BytesIO(content), config={"mime_type": "jsonl"})
    source = types.EmbeddingsBatchJobSource(file_name=file.name)
    job = finished(client, client.batches.create_embeddings(model=MODEL, src=source))
    assert job.dest is not None
    downloaded = client.files.download(file=job.dest.file_name or "")
    return [json.loads(line) for line in downloaded.splitlines()]


def test_a_text_has_the_same_vector_in_a_batch_and_alone(client: genai.Client) -> None:
    """To the last bit: one by one, a hundred at a time, from a file, and inline."""
    together = online(client, TEXTS)
    found = in_a_file(client, lines(TEXTS))
    assert [line["key"] for line in found] == [str(n) for n in range(len(TEXTS))]
    assert [line["response"]["embedding"]["values"] for line in found] == together
    for text, vector in list(zip(TEXTS, together, strict=True))[::20]:
        assert online(client, [text]) == [vector]
    inlined = {"inlined_requests": {"contents": TEXTS[:5]}}
    job = finished(client, client.batches.create_embeddings(model=MODEL, src=inlined))
    assert job.dest is not None
    responses = job.dest.inlined_embed_content_responses or []
    assert [each.response.embedding.values for each in responses] == together[:5]  # type: ignore[union-attr]
    assert all(each.response.token_count for each in responses)  # type: ignore[union-attr]


def test_the_vectors_are_those_of_the_model_that_was_published(client: genai.Client) -> None:
    """Similarities as in the documentation of sentence-transformers."""
    a, b, c = online(client, TEXTS[:3])
    for x, y, similarity in ((a, a, 1.0), (a, b, 0.6660), (a, c, 0.1046), (b, c, 0.1411)):
        assert sum(p * q for p, q in zip(x, y, strict=True)) == pytest.approx(similarity, abs=1e-4)


def test_options_are_the_same_in_a_batch_and_alone(client: genai.Client) -> None:
    config = {"task_type": "RETRIEVAL_DOCUMENT", "title": "Weather", "output_dimensionality": 64}
    found = in_a_file(
        client, lines(TEXTS[:3], taskType="RETRIEVAL_DOCUMENT", title="Weather", output_dimensionality=64)
    )
    vectors = [line["response"]["embedding"]["values"] for line in found]
    assert vectors == online(client, TEXTS[:3], **config)
    assert {len(vector) for vector in vectors} == {64}


def test_the_default_models_tell_who_does_what(client: genai.Client) -> None:
    embedding = client.models.get(model=MODEL)
    assert "embedContent" in (embedding.supported_actions or [])
    assert embedding.input_token_limit == 256
    for call in (
        lambda: client.models.generate_content(model=MODEL, contents="x"),
        lambda: client.models.embed_content(model="gemini-2.5-flash", contents="x"),
    ):
        with pytest.raises(errors.ClientError) as caught:
            call()
        assert caught.value.code == 400


def test_a_file_is_embedded_without_a_server(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(TEXTS[:3]))
    ended = halfrate("run", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "-m", real_encoder())
    assert ended.returncode == 0, ended.stderr
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [len(line["response"]["embedding"]["values"]) for line in found] == [384] * 3
