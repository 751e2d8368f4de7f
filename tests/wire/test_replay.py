"""Every request the official SDKs were recorded sending, sent to a real server in its order."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Match

from halfrate.app import open_app
from halfrate.config import Config, Limits, ModelConfig
from halfrate.domain.kind import Kind
from halfrate.engines.scripted import ScriptedEngine, echo
from halfrate.serve import asgi_of
from halfrate.server.manual import entry_of
from tests.support.described import operation_for
from tests.unit.server.conftest import finished

TRACES = sorted((Path(__file__).parent / "traces").glob("*.jsonl"))
OTHERWISE = {
    "javascript-2.32.0: batches.createEmbeddings file": 400,  # the file has lines for generateContent
    "python-3.4.0-sync: batches.create_embeddings file": 400,
    "openai-3.54.0: batches.create": 404,  # its file was never uploaded
    "openai-3.54.0: batches.retrieve": 404,
    "openai-3.54.0: batches.cancel": 404,
    "openai-3.54.0: files.content": 404,
    "python-3.4.0-sync: generate_content function+json schema+service tier": 403,  # it points at files/x
    "python-3.4.0-sync: webhooks.ping": 400,  # nobody is there to be called
}
"""Requests that are answered in another way than the stub did, because the stub did not do what they ask."""


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    config = Config(
        data_dir=str(tmp_path / "data"),
        models={
            "scripted": ModelConfig(path="scripted-1", aliases=("stub-model", "other-model", "gemini-*")),
            "embeds": ModelConfig(path="embeds", kind=Kind.EMBEDDING, aliases=("gemini-embedding-*",)),
        },
        limits=Limits(cache_tokens_min=0),
    )

    def make_engine(entry: ModelConfig) -> ScriptedEngine:
        return ScriptedEngine(echo, dimensions=8 if entry.kind is Kind.EMBEDDING else 0)

    async with open_app(config, make_engine=make_engine) as app:
        transport = httpx.ASGITransport(asgi_of(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
            yield client


class Replay:
    """A client's requests, with what this server gave where the stub's gifts are spent again."""

    def __init__(self, name: str, client: httpx.AsyncClient, document: dict[str, Any]) -> None:
        self._name = name
        self._client = client
        self._document = document
        self._ours: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._batches: list[str] = []
        self._never_made: set[str] = set()

    async def send(self, recorded: dict[str, Any]) -> None:
        """Send one request, and hold what comes back against what the client needs and the document says."""
        if self._never_made & set(re.findall(r"[a-z0-9]+", recorded["path"])):
            return  # it was to be made by a request that cannot be answered yet
        query = dict(recorded.get("query", {}))
        if "pageToken" in query:
            if query["pageToken"] not in self._tokens:
                return  # our list ended earlier than the stub's
            query["pageToken"] = self._tokens[query["pageToken"]]
        if ":download" in recorded["path"]:
            for batch in self._batches:
                await finished(self._client, batch)
        reply = await self._client.request(
            recorded["method"],
            self._translated(recorded["path"]),
            params={name: self._translated(value) for name, value in query.items()},
            headers=recorded["headers"],
            **self._body(recorded),
        )
        self._check(recorded, reply)
        if reply.status_code == 200:
            self._learn(recorded, reply)
        else:
            self._never_made |= set(recorded.get("gave", {}).values())

    def _body(self, recorded: dict[str, Any]) -> dict[str, Any]:
        if "json" in recorded:
            text = json.dumps(recorded["json"])
            if "cachedContents" in recorded["path"]:
                text = text.replace('"2026-01-02T', f'"{datetime.now(UTC).year + 1}-01-02T')
                text = text.replace('{"googleSearch": {}}', '{"functionDeclarations": [{"name": "search"}]}')
            return {"content": self._translated(text)}
        return {"content": recorded.get("text", "a" * recorded.get("bytes", 0)) or None}

    def _translated(self, text: str) -> str:
        """Put what our server gave in the place of what the stub did."""
        if text in self._ours:
            return self._ours[
                text
            ]  # the token of a page is a mere number: it counts where it is all there is
        return re.sub(r"[a-z][a-z0-9]*", lambda word: self._ours.get(word[0], word[0]), text)

    def _check(self, recorded: dict[str, Any], reply: httpx.Response) -> None:
        name = f"{recorded['scenario']}: {recorded['method']} {recorded['path']} got {reply.text[:300]}"
        if not self._served(recorded):
            assert reply.status_code in (404, 501), name
            return
        expected = OTHERWISE.get(f"{self._name}: {recorded['scenario']}", recorded["status"])
        assert reply.status_code == expected, name
        operation = operation_for(self._document, recorded["method"], recorded["path"])
        assert operation is not None, name
        operation.check(reply)

    def _served(self, recorded: dict[str, Any]) -> bool:
        scope = {"type": "http", "method": recorded["method"], "path": recorded["path"], "headers": []}
        routes = self._client._transport.app.routes
        matching = [route for route in routes if route.matches(scope)[0] is Match.FULL]
        return bool(matching) and entry_of(matching[0]) is not None

    def _learn(self, recorded: dict[str, Any], reply: httpx.Response) -> None:
        gave = recorded.get("gave", {})
        if "upload_id" in gave:
            self._ours[gave["upload_id"]] = httpx.URL(reply.headers["x-goog-upload-url"]).params["upload_id"]
        if "file.name" in gave:
            self._ours[gave["file.name"]] = reply.json()["file"]["name"].removeprefix("files/")
        if "nextPageToken" in gave:
            token = reply.json().get("nextPageToken")
            self._tokens = {gave["nextPageToken"]: token} if token else {}
        if "id" in gave:
            self._ours[gave["id"]] = reply.json()["id"]
        if "name" in gave:
            name = reply.json()["name"]
            self._ours[gave["name"]] = name.partition("/")[2]
            if name.startswith("batches/"):
                self._batches.append(name)


@pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.stem)
async def test_what_a_client_was_recorded_sending_is_answered(client: httpx.AsyncClient, trace: Path) -> None:
    replay = Replay(trace.stem, client, (await client.get("/openapi.json")).json())
    for line in trace.read_text("utf-8").splitlines():
        await replay.send(json.loads(line))


def test_every_request_that_is_answered_otherwise_was_recorded() -> None:
    recorded = {
        f"{trace.stem}: {json.loads(line)['scenario']}"
        for trace in TRACES
        for line in trace.read_text("utf-8").splitlines()
    }
    assert recorded >= OTHERWISE.keys()
