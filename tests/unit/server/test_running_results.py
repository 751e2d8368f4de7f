"""Results over HTTP while their Job runs."""

from __future__ import annotations

import json

import httpx
import pytest

from halfrate.engines.scripted import ScriptedEngine
from tests.fakes import line
from tests.unit.server.conftest import finished, until, uploaded

SNAPSHOT = "x-halfrate-snapshot"


@pytest.fixture
async def engine() -> ScriptedEngine:
    return ScriptedEngine(delay_seconds=0.005, lanes=2)


async def started(client: httpx.AsyncClient, *, at_least: int = 10) -> tuple[str, str]:
    """A batch of which some is answered and much is not, and the name of its output."""
    file = await uploaded(client, b"\n".join(line(f"say {n:03}", f"k{n:03}") for n in range(400)))
    made = await client.post(
        "/v1/models/scripted:batchGenerateContent", json={"batch": {"inputConfig": {"fileName": file}}}
    )
    name = made.json()["name"]
    assert "output" not in made.json()["metadata"], "a batch that waits has no results"
    await settled(client, name, at_least)
    return name, f"/v1/files/batch-{name.removeprefix('batches/')}:download"


async def settled(client: httpx.AsyncClient, name: str, at_least: int) -> None:
    async def so_many() -> bool:
        stats = (await client.get(f"/v1/{name}")).json()["metadata"]["batchStats"]
        return int(stats.get("successfulRequestCount", 0)) >= at_least

    await until(so_many)


def keys(body: bytes) -> list[str]:
    return [json.loads(text)["key"] for text in body.splitlines()]


async def test_a_running_batch_names_its_output_and_is_not_done(client):
    name, path = await started(client)
    shown = (await client.get(f"/v1/{name}")).json()
    assert shown["metadata"]["state"] == "BATCH_STATE_RUNNING"
    assert f"/v1/{shown['metadata']['output']['responsesFile']}:download" == path
    assert "done" not in shown
    assert "response" not in shown


async def test_the_output_of_a_running_batch_is_a_file_in_processing(client):
    name, path = await started(client)
    file_path = path.removesuffix(":download")
    file = (await client.get(file_path)).json()
    assert (file["name"], file["state"], file["source"]) == (file_path[4:], "PROCESSING", "GENERATED")
    assert not {"sizeBytes", "sha256Hash", "expirationTime"} & set(file)
    assert keys((await client.get(file["downloadUri"])).content)
    refused = await client.delete(file_path)
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    await client.post(f"/v1/{name}:cancel")
    await finished(client, name)
    assert (await client.get(file_path)).json()["state"] == "ACTIVE"


async def test_a_download_that_broke_off_goes_on_with_the_same_bytes(client):
    name, path = await started(client)
    first = await client.get(path)
    etag, size = first.headers["etag"], len(first.content)
    assert first.status_code == 200
    assert "content-length" not in first.headers
    assert etag.startswith(f'"{first.headers[SNAPSHOT]}.')
    await settled(client, name, 30)
    for headers in ({"If-Range": etag}, {}):
        rest = await client.get(path, headers={"Range": "bytes=50-", **headers})
        assert (rest.status_code, rest.content) == (206, first.content[50:])
        assert rest.headers["content-range"] == f"bytes 50-{size - 1}/{size}"
        assert rest.headers["etag"] == etag
    last = await client.get(path, headers={"Range": "bytes=-7"})
    assert last.content == first.content[-7:]
    beyond = await client.get(path, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


async def test_pages_are_of_one_snapshot_and_a_page_from_the_start_takes_a_new_one(client):
    name, path = await started(client)
    paged = b""
    while True:
        page = await client.get(path, headers={"Range": f"bytes={len(paged)}-{len(paged) + 999}"})
        if page.status_code == 416:
            break
        assert page.status_code == 206
        assert page.headers["content-range"].startswith(f"bytes {len(paged)}-")
        paged += page.content
        await settled(client, name, 20)
    found = keys(paged)
    assert len(found) >= 10
    assert found == sorted(found)
    assert page.headers["content-range"] == f"bytes */{len(paged)}"
    await settled(client, name, 60)
    again = await client.get(path, headers={"Range": "bytes=0-99"})
    assert again.headers["content-range"] == "bytes 0-99/*", "its size is not known yet"
    assert (
        again.content == (await client.get(path, headers={"If-Range": again.headers["etag"]})).content[:100]
    )


async def test_a_part_of_something_else_is_not_given(client):
    _, path = await started(client)
    whole = await client.get(path)
    for validator in ('"forged"', f"W/{whole.headers['etag']}", "Tue, 24 Nov 2026 12:00:00 GMT", "junk"):
        answer = await client.get(path, headers={"Range": "bytes=50-", "If-Range": validator})
        assert answer.status_code == 200
        assert keys(answer.content)
    from_start = await client.get(path, headers={"Range": "bytes=0-"})
    assert from_start.status_code == 200, "sent while it is made"


async def test_since_gives_what_is_new_until_the_end(client):
    name, path = await started(client)
    first = await client.get(path)
    seen, token = keys(first.content), first.headers[SNAPSHOT]
    await settled(client, name, 40)
    second = await client.get(path, params={"since": token})
    assert second.status_code == 200
    assert not set(keys(second.content)) & set(seen)
    seen += keys(second.content)
    await client.post(f"/v1/{name}:cancel")
    await finished(client, name)
    last = await client.get(path, params={"since": second.headers[SNAPSHOT], "alt": "media"})
    seen += keys(last.content)
    assert sorted(seen) == [f"k{n:03}" for n in range(400)]
    whole = await client.get(path)
    assert whole.headers[SNAPSHOT] == last.headers[SNAPSHOT]
    nothing = await client.get(path, params={"since": last.headers[SNAPSHOT]})
    assert (nothing.status_code, nothing.content) == (200, b"")


async def test_a_foreign_token_is_refused(client):
    _, path = await started(client)
    for token in ("junk", ""):
        refused = await client.get(path, params={"since": token})
        assert refused.status_code == 400
        assert "X-Halfrate-Snapshot" in refused.json()["error"]["message"]


async def test_a_file_has_an_etag_that_guards_its_parts(client):
    name = await uploaded(client, b"0123456789")
    path = f"/v1/{name}:download"
    etag = (await client.head(path)).headers["etag"]
    assert SNAPSHOT not in (await client.get(path)).headers
    part = await client.get(path, headers={"Range": "bytes=5-", "If-Range": etag})
    assert (part.status_code, part.content) == (206, b"56789")
    whole = await client.get(path, headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (whole.status_code, whole.content) == (200, b"0123456789")
