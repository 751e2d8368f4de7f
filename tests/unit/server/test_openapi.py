"""What the API says of itself is complete, and true: each call it shows is sent to a server."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from halfrate.app import App, open_app
from halfrate.config import Config, ModelConfig, WebhooksConfig
from halfrate.domain.kind import Kind
from halfrate.engines.scripted import ScriptedEngine
from halfrate.server import unbuilt
from halfrate.server.manual import Example, entry_of
from halfrate.server.openapi import document, path_of
from tests.support.described import Described, bare_asgi, operations
from tests.support.receiver import Receiver, receiving
from tests.unit.server.conftest import LIMITS, finished, uploaded

ASGI = bare_asgi()
ROUTES = [
    route
    for route in ASGI.routes
    # What leads nowhere, and what looks like the download of a file, is described by others.
    if isinstance(route, Route) and "{rest:" not in route.path and ":result}" not in route.path
]
DOCUMENT = document(ROUTES)
RECEIVER = Receiver()
LINES = b"".join(
    json.dumps({"key": key, "request": {"contents": [{"parts": [{"text": text}]}]}}).encode() + b"\n"
    for key, text in (("a", "Say one."), ("b", "fail me"))
)


@pytest.fixture
async def app(tmp_path: Path, engine: ScriptedEngine) -> AsyncIterator[App]:
    """A server whose model has the name that the examples use."""
    config = Config(
        data_dir=str(tmp_path / "data"),
        models={
            "pocket-1": ModelConfig(path="scripted-1"),
            "gemini-embedding-001": ModelConfig(path="embeds", kind=Kind.EMBEDDING),
        },
        limits=LIMITS,
        webhooks=WebhooksConfig(allow=("127.0.0.1",), allow_http=True),
    )
    async with (
        receiving() as receiver,
        open_app(
            config, make_engine=lambda entry: ScriptedEngine(dimensions=2) if entry.kind else engine
        ) as app,
    ):
        RECEIVER.port = receiver.port
        yield app


def test_every_route_has_its_entry() -> None:
    unserved = {(route.path, *sorted(route.methods)) for route in unbuilt.routes()}
    for route in ROUTES:
        assert (route.path, *sorted(route.methods)) in unserved or entry_of(route), (
            f"{route.path} is not described: put @entry(...) of halfrate.server.manual on {route.endpoint}, "
            "as the other handlers have it"
        )


def test_the_document_is_valid_and_every_operation_has_a_name_of_its_own() -> None:
    validate({**DOCUMENT, "servers": [{"url": "http://localhost"}]})
    names = [operation.name for operation in operations(DOCUMENT)]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    used = {tag for operation in operations(DOCUMENT) for tag in operation.operation["tags"]}
    assert used == tags, (
        "every section has its sentence in _TAGS of halfrate.server.openapi, and none is empty"
    )


def test_every_body_that_is_sent_is_shown() -> None:
    for operation in operations(DOCUMENT):
        for media in operation.operation.get("requestBody", {}).get("content", {}).values():
            assert media.get("examples"), f"{operation.name} takes a body: give its entry an Example"


def test_every_example_is_what_its_schema_says() -> None:
    for operation in operations(DOCUMENT):
        sent = operation.operation.get("requestBody", {}).get("content", {})
        answered = operation.operation["responses"].get("200", {}).get("content", {})
        for media in (*sent.values(), *answered.values()):
            for example in media.get("examples", {}).values():
                operation.check_json(media["schema"], example["value"])


# Calls ------------------------------------------------------------------------------------------------

Make = Callable[[httpx.AsyncClient], Awaitable[str]]


async def a_file(client: httpx.AsyncClient) -> str:
    return (await uploaded(client, LINES, name="files/questions")).removeprefix("files/")


async def a_batch(client: httpx.AsyncClient) -> str:
    """One that has ended, with a Request that failed."""
    body = {"batch": {"input_config": {"file_name": await uploaded(client, LINES)}}}
    created = await client.post("/v1beta/models/pocket-1:batchGenerateContent", json=body)
    await finished(client, created.json()["name"])
    return str(created.json()["name"]).removeprefix("batches/")


async def a_model(_: httpx.AsyncClient) -> str:
    return "pocket-1"


async def a_webhook(client: httpx.AsyncClient) -> str:
    body = {"uri": f"http://127.0.0.1:{RECEIVER.port}/", "subscribed_events": ["batch.failed"]}
    made = await client.post("/v1beta/webhooks", json=body)
    return str(made.json()["id"])


async def a_cache(client: httpx.AsyncClient) -> str:
    body = {"model": "models/pocket-1", "contents": [{"parts": [{"text": "word " * 40}]}]}
    made = await client.post("/v1beta/cachedContents", json=body)
    return str(made.json()["name"]).removeprefix("cachedContents/")


async def an_asset(_: httpx.AsyncClient) -> str:
    return "page.css"


MAKE: dict[str, Make] = {
    "file": a_file,
    "batch": a_batch,
    "model": a_model,
    "webhook": a_webhook,
    "cache": a_cache,
    "asset": an_asset,
}


def calls() -> list[Any]:
    """Every example of every operation; of an operation without one, the call without a body."""
    found = []
    for route in ROUTES:
        entry = entry_of(route)
        if entry is None:
            continue
        for operation in operations(DOCUMENT):
            if operation.path == path_of(route) and operation.method in route.methods:
                for example in entry.examples or (Example("plain"),):
                    found.append(pytest.param(operation, example, id=f"{operation.name}-{example.name}"))
    return list({param.id: param for param in found}.values())


def sent(operation: Described, body: Any) -> dict[str, Any]:
    """Return an example's body as an argument for the client."""
    if body is None:
        return {}
    if "multipart/form-data" in operation.operation["requestBody"]["content"]:
        fields = {name: value for name, value in body.items() if name != "file"}
        return {"data": fields, "files": {"file": ("questions.jsonl", body["file"])}}
    return {"content": body} if isinstance(body, str) else {"json": body}


@pytest.mark.parametrize(("operation", "example"), calls())
async def test_every_call_that_is_shown_is_answered_as_its_schema_says(
    client: httpx.AsyncClient, operation: Described, example: Example
) -> None:
    pieces = {}
    for piece in re.findall(r"\{(\w+)\}", operation.path):
        assert piece in MAKE, f"say in MAKE how a test gets a {piece} that is there"
        pieces[piece] = example.path.get(piece) or await MAKE[piece](client)
    if re.search("file(s/|-)questions", json.dumps(example.body)):
        await a_file(client)
    path = re.sub(r"\{(\w+)\}", lambda match: pieces[match[1]], operation.path)
    reply = await client.request(
        operation.method,
        path,
        params=dict(example.query),
        headers=dict(example.headers),
        **sent(operation, example.body),
    )
    assert reply.status_code == 200, reply.text
    operation.check(reply)


# As it is served --------------------------------------------------------------------------------------


async def test_it_is_served_under_the_address_its_reader_knows(client, connect):
    reply = await client.get("/openapi.json")
    assert reply.json()["servers"] == [{"url": "http://localhost:8080"}]
    assert reply.json()["paths"].keys() == DOCUMENT["paths"].keys()
    public = connect(public_url="https://api.example/llm", base_url="https://api.example/llm")
    assert (await public.get("/openapi.json")).json()["servers"] == [{"url": "https://api.example/llm"}]


async def test_who_has_it_already_is_told_so(client):
    first = await client.get("/openapi.json")
    again = await client.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/openapi.json", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


async def test_it_is_small_on_its_way(client):
    reply = await client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert reply.headers["content-encoding"] == "gzip"
    assert len(gzip.compress(reply.content)) < 64 << 10
    plain = await client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == reply.content


async def test_nothing_but_what_the_page_needs_is_sent(client):
    assert (await client.get("/docs/rapidoc-min.js")).headers["content-type"].startswith("text/javascript")
    for name in ("index.html", "..%2Fapp.py", "nothing"):
        assert (await client.get(f"/docs/{name}")).status_code == 404
    policy = (await client.get("/docs")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
