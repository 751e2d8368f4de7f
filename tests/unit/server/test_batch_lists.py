"""Lists of batches with a filter, and changes of a batch, over HTTP."""

from __future__ import annotations

import httpx
import pytest

from tests.unit.server.conftest import LIMITS, finished

ITEMS = {"requests": {"requests": [{"request": {"contents": [{"parts": [{"text": "hi"}]}]}}]}}


async def create(client: httpx.AsyncClient, name: str, model: str = "gemini-x") -> str:
    batch = {"batch": {"displayName": name, "inputConfig": ITEMS}}
    reply = await client.post(f"/v1/models/{model}:batchGenerateContent", json=batch)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["name"])


async def listed(client: httpx.AsyncClient, filter: str, **more: str) -> dict:
    reply = await client.get("/v1/batches", params={"filter": filter, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def names(page: dict) -> list[str]:
    return [operation["metadata"]["displayName"] for operation in page.get("operations", ())]


async def test_a_list_may_be_filtered(client):
    await finished(client, await create(client, "first"))
    await finished(client, await create(client, "second", model="other-name"))
    assert names(await listed(client, 'state = "BATCH_STATE_SUCCEEDED" AND model = other-name')) == ["second"]
    assert names(await listed(client, 'displayName : "IR"', returnPartialSuccess="true")) == ["first"]
    assert await listed(client, "done = false") == {}
    shown = (await listed(client, 'display_name = "first"'))["operations"][0]["metadata"]["createTime"]
    assert names(await listed(client, f'create_time = "{shown}"')) == ["first"], "as it is shown"
    assert names(await listed(client, f'create_time > "{shown}"')) == ["second"]


async def test_pages_of_a_filtered_list_belong_together(client):
    for number in range(5):
        await create(client, f"{'even' if number % 2 == 0 else 'odd'} {number}")
    first = await listed(client, "display_name : even", page_size="2")
    assert names(first) == ["even 4", "even 2"]
    second = await listed(client, "display_name : even", pageSize="2", page_token=first["nextPageToken"])
    assert names(second) == ["even 0"]
    assert "nextPageToken" not in second
    for other in ("display_name : odd", ""):
        params = {"filter": other, "pageToken": first["nextPageToken"]}
        refused = await client.get("/v1/batches", params=params)
        assert refused.status_code == 400
        assert "another filter" in refused.json()["error"]["message"]


async def test_a_wrong_filter_is_refused_with_its_column(client):
    refused = await client.get("/v1/batches", params={"filter": "state = ASLEEP"})
    assert refused.status_code == 400
    assert "at column 9: 'ASLEEP' is no state" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("mask", "body", "name", "priority"),
    [
        ("displayName", {"displayName": "new", "priority": "5"}, "new", None),
        ("display_name,priority", {"display_name": "new", "priority": 5}, "new", "5"),
        ("priority", {"priority": "-7"}, "old", "-7"),
        ("display_name", {}, None, None),
        ("*", {"priority": 1}, None, "1"),
        (None, {"priority": 1, "state": "BATCH_STATE_PENDING", "name": "batches/x"}, "old", "1"),
    ],
)
@pytest.mark.parametrize("method", ["updateGenerateContentBatch", "updateEmbedContentBatch"])
async def test_a_batch_is_changed_as_far_as_the_mask_says(client, engine, method, mask, body, name, priority):
    engine._delay_seconds = 3_600
    batch = await create(client, "old")
    params = {} if mask is None else {"updateMask": mask}
    reply = await client.patch(f"/v1/{batch}:{method}", params=params, json=body)
    assert reply.status_code == 200, reply.text
    changed = reply.json()
    assert (changed["name"], changed.get("displayName"), changed.get("priority")) == (batch, name, priority)
    assert "metadata" not in changed
    assert "@type" not in changed
    shown = (await client.get(f"/v1/{batch}")).json()["metadata"]
    assert (shown.get("displayName"), shown.get("priority")) == (name, priority)


@pytest.mark.parametrize(
    ("mask", "body", "status", "says"),
    [
        ("input_config", {}, 400, "inputConfig: the requests of a batch stay"),
        (None, {"inputConfig": {"fileName": "files/x"}}, 400, "stay as they were given"),
        ("model", {"model": "models/x"}, 400, "a batch stays with its model"),
        ("state", {}, 400, "state: only the server sets it"),
        ("foo", {}, 400, "foo: there is no such field"),
        ("a(b)", {}, 400, "no path of fields"),
        ("displayName", {"foo": 1}, 400, 'Unknown name \\"foo\\"'),
        ("priority", {"priority": str(2**70)}, 400, "batch.priority"),
    ],
)
async def test_a_wrong_change_is_refused(client, mask, body, status, says):
    batch = await create(client, "old")
    params = {} if mask is None else {"updateMask": mask}
    reply = await client.patch(f"/v1/{batch}:updateGenerateContentBatch", params=params, json=body)
    assert reply.status_code == status
    assert says in reply.text


async def test_the_priority_of_a_batch_that_has_ended_stays(client):
    batch = await create(client, "old")
    await finished(client, batch)
    path = f"/v1/{batch}:updateGenerateContentBatch"
    refused = await client.patch(path, json={"priority": 1})
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert (await client.patch(path, json={"displayName": "new"})).json()["displayName"] == "new"
    unknown = await client.patch("/v1/batches/nope:updateGenerateContentBatch", json={"priority": 1})
    assert unknown.status_code == 404


async def test_a_batch_may_be_deleted_by_name(client):
    batch = await create(client, "old")
    assert (await client.get(f"/v1/{batch}:delete")).json() == {}
    assert (await client.get(f"/v1/{batch}")).status_code == 404


async def test_inline_results_beyond_a_size_are_a_file(client):
    text = "x" * LIMITS.inline_results_bytes
    items = {"requests": {"requests": [{"request": {"contents": [{"parts": [{"text": text}]}]}}]}}
    created = await client.post(
        "/v1/models/gemini-x:batchGenerateContent", json={"batch": {"inputConfig": items}}
    )
    done = await finished(client, created.json()["name"])
    output = {"responsesFile": done["name"].replace("batches/", "files/batch-")}
    assert done["metadata"]["output"] == output
    assert done["response"] == {"@type": done["metadata"]["@type"] + "Output", **output}
    (entry,) = (await client.get("/v1/batches")).json()["operations"]
    assert entry["metadata"]["output"] == output
    results = await client.get(f"/v1/{output['responsesFile']}:download")
    assert results.json()["response"]["candidates"][0]["content"]["parts"] == [{"text": text}]
