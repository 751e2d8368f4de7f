"""The Webhooks API, and what receivers on the loopback interface are told."""

import json
import re
import stat
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import jwt
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from halfrate.app import open_app
from halfrate.config import Config, ModelConfig, WebhooksConfig
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.serve import asgi_of
from tests.fakes import line
from tests.support.receiver import answered, receiving
from tests.unit.server.conftest import finished, until, uploaded

URI = "https://hooks.test/a"
EVENTS = ["batch.succeeded", "batch.failed", "batch.cancelled", "batch.expired"]
PAGE = (Path(__file__).parents[3] / "docs" / "howto" / "webhooks.md").read_text("utf-8")


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def uri(receiver):
    return f"http://127.0.0.1:{receiver.port}/hook"


@pytest.fixture
def serve(tmp_path):
    @asynccontextmanager
    async def serve(**settings):
        config = Config(
            data_dir=str(tmp_path / "data"),
            models={"scripted": ModelConfig(path="scripted-1")},
            webhooks=WebhooksConfig(**({"allow": ("127.0.0.1",), "allow_http": True} | settings)),
        )
        engine = ScriptedEngine(failing("fail me"))
        async with open_app(config, make_engine=lambda _: engine) as app:
            transport = httpx.ASGITransport(asgi_of(app))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                yield client

    return serve


@pytest.fixture
async def client(serve):
    async with serve() as client:
        yield client


async def create(client, *, uri=URI, events=EVENTS, path="/v1/webhooks", **fields):
    answer = await client.post(path, json={"uri": uri, "subscribed_events": events, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def batch(client, **fields):
    requests = [{"request": json.loads(line("hi"))["request"]}]
    body = {"batch": {"inputConfig": {"requests": {"requests": requests}}, **fields}}
    answer = await client.post("/v1/models/scripted:batchGenerateContent", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def receiver_code() -> SimpleNamespace:
    """The functions that the page gives to its readers."""
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        if "def " in block:
            exec(compile(block, "webhooks.md", "exec"), names)
    return SimpleNamespace(**names)


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_a_webhook_is_created_shown_changed_and_deleted(client, version):
    path = f"/{version}/webhooks"
    made = await create(client, path=path, name="n")
    assert re.fullmatch(r"[0-9a-f-]{36}", made["id"])
    assert made["new_signing_secret"].startswith("whsec_")
    assert made["signing_secrets"] == [{"truncated_secret": f"whsec_...{made['new_signing_secret'][-4:]}"}]
    assert (made["uri"], made["subscribed_events"], made["state"]) == (URI, EVENTS, "enabled")
    del made["new_signing_secret"]  # shown once
    one = f"{path}/{made['id']}"
    assert (await client.get(one)).json() == made
    assert (await client.get(path)).json() == {"webhooks": [made]}
    changed = (await client.patch(one, json={"subscribed_events": ["batch.failed"]})).json()
    assert (changed["subscribed_events"], changed["name"], changed["uri"]) == (["batch.failed"], "n", URI)
    assert (await client.delete(one)).json() == {}
    assert (await client.get(one)).status_code == 404
    assert (await client.delete(one)).status_code == 404
    assert (await client.patch(one, json={"name": "x"})).status_code == 404
    assert (await client.post(f"{one}:ping")).status_code == 404
    assert (await client.post(f"{one}:rotateSigningSecret")).status_code == 404


async def test_an_update_mask_says_what_changes(client):
    made = await create(client, name="n")
    one = f"/v1/webhooks/{made['id']}"
    body = {"name": "other", "uri": "https://b.test/", "state": "disabled"}
    changed = (await client.patch(one, params={"update_mask": "uri,state"}, json=body)).json()
    assert (changed["name"], changed["uri"], changed["state"]) == ("n", "https://b.test/", "disabled")
    changed = (await client.patch(one, params={"updateMask": "name"}, json={})).json()
    assert "name" not in changed
    changed = (await client.patch(one, params={"update_mask": "subscribedEvents"}, json=made)).json()
    assert changed["subscribed_events"] == EVENTS
    changed = (await client.patch(one, params={"update_mask": "*"}, json={**made, "name": "all"})).json()
    assert (changed["name"], changed["uri"], changed["state"]) == ("all", URI, "enabled")


async def test_lists_come_in_pages(client):
    made = [(await create(client))["id"] for _ in range(5)]
    found, token = [], None
    while True:
        params = {"page_size": 2} | ({"page_token": token} if token else {})
        page = (await client.get("/v1/webhooks", params=params)).json()
        assert len(page["webhooks"]) <= 2
        found += [webhook["id"] for webhook in page["webhooks"]]
        if (token := page.get("next_page_token")) is None:
            break
    assert sorted(found) == sorted(made)
    assert len(found) == 5


async def test_an_id_can_be_chosen(client):
    made = await create(client, path="/v1/webhooks?webhook_id=mine")
    assert made["id"] == "mine"
    again = await client.post("/v1/webhooks?webhook_id=mine", json={"uri": URI, "subscribed_events": EVENTS})
    assert (again.status_code, again.json()["error"]["status"]) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("query", "body", "field"),
    [
        ("", {"subscribed_events": EVENTS}, "uri"),
        ("", {"uri": URI}, "subscribed_events"),
        ("", {"uri": URI, "subscribed_events": []}, "subscribed_events"),
        ("", {"uri": URI, "subscribed_events": ["batch.begun"]}, "subscribed_events"),
        ("", {"uri": URI, "subscribed_events": ["webhook.ping"]}, "subscribed_events"),
        ("", {"uri": URI, "subscribed_events": EVENTS, "name": "x" * 513}, "name"),
        ("?webhook_id=No%20Id", {"uri": URI, "subscribed_events": EVENTS}, "webhook_id"),
    ],
)
async def test_what_cannot_be_registered_is_named(client, query, body, field):
    answer = await client.post(f"/v1/webhooks{query}", json=body)
    assert answer.status_code == 400
    (detail,) = answer.json()["error"]["details"]
    assert [violation["field"] for violation in detail["fieldViolations"]] == [field]
    assert (await client.get("/v1/webhooks")).json() == {}


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?update_mask=id", {}),
        ("?update_mask=uri", {}),
        ("?update_mask=subscribed_events", {}),
        ("", {"state": "asleep"}),
        ("", {"uri": "https://10.0.0.1/"}),
    ],
)
async def test_what_cannot_be_changed_is_refused(client, query, body):
    made = await create(client)
    assert (await client.patch(f"/v1/webhooks/{made['id']}{query}", json=body)).status_code == 400
    assert (await client.get(f"/v1/webhooks/{made['id']}")).json()["uri"] == URI


async def test_nobody_can_have_what_is_inside_called(serve):
    async with serve(allow=()) as client:
        for uri in ("http://hooks.test/", "https://127.0.0.1/", "https://169.254.169.254/", "file:///etc"):
            body = {"uri": uri, "subscribed_events": EVENTS}
            assert (await client.post("/v1/webhooks", json=body)).status_code == 400
            requests = {"requests": {"requests": [json.loads(line("hi"))]}}
            new = {"batch": {"inputConfig": requests, "webhookConfig": {"uris": [uri]}}}
            answer = await client.post("/v1/models/scripted:batchGenerateContent", json=new)
            assert (answer.status_code, "cannot be called" in answer.text) == (400, True)


async def test_a_registered_receiver_is_told_and_can_check_it(client, receiver, uri):
    made = await create(client, uri=uri)
    file = await uploaded(client, line("hello", "k"))
    job = {"batch": {"inputConfig": {"fileName": file}}}
    name = (await client.post("/v1/models/scripted:batchGenerateContent", json=job)).json()["name"]
    (call, *_) = await receiver.wait_for(1)
    event = receiver_code().event_of_registered(made["new_signing_secret"], call.headers, call.body)
    assert event == {
        "type": "batch.succeeded",
        "version": "v1",
        "timestamp": event["timestamp"],
        "data": {"id": name, "output_file_uri": f"files/batch-{name.removeprefix('batches/')}"},
    }
    shown = (await client.get(f"/v1/{name}")).json()
    assert shown["metadata"]["endTime"] == event["timestamp"]
    assert call.headers["webhook-id"] == f"evt_{name.removeprefix('batches/')}_{made['id']}"
    with pytest.raises(WebhookVerificationError):
        Webhook(made["new_signing_secret"]).verify(call.body + b" ", call.headers)


async def test_the_end_of_an_inline_batch_has_no_file(client, receiver, uri):
    await create(client, uri=uri)
    name = (await batch(client))["name"]
    (call,) = await receiver.wait_for(1)
    assert json.loads(call.body)["data"] == {"id": name}


async def test_a_receiver_of_one_batch_is_told_instead_and_can_check_it(client, receiver, uri, tmp_path):
    await create(client, uri=uri + "/registered")
    made = await batch(client, webhookConfig={"uris": [uri], "user_metadata": {"job_group": "n", "n": 1}})
    shown = made["metadata"]["webhookConfig"]
    assert shown == {"uris": [uri], "userMetadata": {"job_group": "n", "n": 1}}
    (call,) = await receiver.wait_for(1)
    assert call.path == "/hook"
    published = (await client.get("/.well-known/jwks.json")).json()
    keys = jwt.PyJWKClient("http://localhost/.well-known/jwks.json")
    keys.fetch_data = lambda: published
    check = receiver_code().event_of_one_job
    event = check(keys, uri, call.headers, call.body)
    assert event["data"] == {"id": made["name"], "user_metadata": {"job_group": "n", "n": 1}}
    with pytest.raises(ValueError, match="not the one that was signed"):
        check(keys, uri, call.headers, call.body + b" ")
    with pytest.raises(jwt.InvalidAudienceError):
        check(keys, uri + "/other", call.headers, call.body)
    claims = jwt.decode(call.headers["webhook-signature"], options={"verify_signature": False})
    assert claims["jti"] == call.headers["webhook-id"]
    assert claims["exp"] - claims["iat"] == 300
    assert stat.S_IMODE((tmp_path / "data" / "webhooks.pem").stat().st_mode) == 0o600
    assert set(published["keys"][0]) == {"kty", "use", "alg", "kid", "n", "e"}  # and nothing that is secret


async def test_the_key_stays_the_same(serve):
    async with serve() as client:
        first = (await client.get("/.well-known/jwks.json")).json()
    async with serve() as client:
        assert (await client.get("/.well-known/jwks.json")).json() == first


async def test_a_damaged_key_is_told_and_not_replaced(serve, tmp_path):
    async with serve() as client:
        (tmp_path / "data" / "webhooks.pem").write_text("no key")
        answer = await client.get("/.well-known/jwks.json")
    assert (answer.status_code, "is no RSA key" in answer.text) == (500, True)
    assert (tmp_path / "data" / "webhooks.pem").read_text() == "no key"


async def test_a_failed_and_a_cancelled_batch_are_told_as_such(client, receiver, uri):
    await create(client, uri=uri)
    file = await uploaded(client, b"\n".join(line("x", f"k{n}") for n in range(3)))
    new = {"batch": {"inputConfig": {"fileName": file}}}
    name = (await client.post("/v1/models/scripted:batchGenerateContent", json=new)).json()["name"]
    await client.post(f"/v1/{name}:cancel")
    operation = await finished(client, name)
    (call,) = await receiver.wait_for(1)
    state = operation["metadata"]["state"].removeprefix("BATCH_STATE_").lower()
    assert json.loads(call.body)["type"] == f"batch.{state}"


async def test_both_secrets_hold_while_one_takes_over_from_the_other(client, receiver, uri):
    made = await create(client, uri=uri)
    one = f"/v1/webhooks/{made['id']}"
    answer = await client.post(f"{one}:rotateSigningSecret")
    assert (answer.status_code, list(answer.json())) == (200, ["secret"])
    shown = (await client.get(one)).json()["signing_secrets"]
    assert ["expire_time" in secret for secret in shown] == [False, True]
    assert (await client.post(f"{one}:ping")).json() == {}
    (call,) = receiver.calls
    for secret in (made["new_signing_secret"], answer.json()["secret"]):
        Webhook(secret).verify(call.body, call.headers)


@pytest.mark.parametrize(
    "behavior", ["revoke_previous_secrets_immediately", "REVOKE_PREVIOUS_SECRETS_IMMEDIATELY"]
)
async def test_a_secret_can_be_revoked_at_once(client, receiver, uri, behavior):
    made = await create(client, uri=uri)
    one = f"/v1/webhooks/{made['id']}"
    answer = await client.post(f"{one}:rotateSigningSecret", json={"revocation_behavior": behavior})
    assert (await client.post(f"{one}:ping", json={})).json() == {}
    (call,) = receiver.calls
    Webhook(answer.json()["secret"]).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made["new_signing_secret"]).verify(call.body, call.headers)


async def test_a_behaviour_that_is_not_known_is_refused_and_secrets_do_not_pile_up(client):
    made = await create(client)
    path = f"/v1/webhooks/{made['id']}:rotateSigningSecret"
    assert (await client.post(path, json={"revocation_behavior": "never"})).status_code == 400
    codes = [(await client.post(path)).status_code for _ in range(10)]
    assert codes == [200] * 9 + [429]
    immediately = {"revocation_behavior": "revoke_previous_secrets_immediately"}
    assert (await client.post(path, json=immediately)).status_code == 200


async def test_a_ping_says_what_is_wrong(client, receiver, uri):
    made = await create(client, uri=uri)
    receiver.answer = lambda call: answered(500)
    answer = await client.post(f"/v1/webhooks/{made['id']}:ping")
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert "The receiver answered 500." in answer.json()["error"]["message"]
    assert json.loads(receiver.calls[0].body)["type"] == "webhook.ping"
    assert json.loads(receiver.calls[0].body)["data"] == {}


@pytest.mark.parametrize(
    "config",
    [
        {"uris": [f"https://{n}.test/" for n in range(11)]},
        {"uris": [URI], "user_metadata": "text"},
        {"uris": [URI], "user_metadata": {"x": "y" * 20_000}},
    ],
)
async def test_a_config_out_of_bounds_is_refused(client, config):
    requests = {"requests": {"requests": [json.loads(line("hi"))]}}
    body = {"batch": {"inputConfig": requests, "webhookConfig": config}}
    answer = await client.post("/v1/models/scripted:batchGenerateContent", json=body)
    assert (answer.status_code, "batch.webhook_config" in answer.text) == (400, True)


async def test_a_retry_tells_the_same_receivers(client, receiver, uri):
    requests = [{"request": json.loads(line("fail me"))["request"]}]
    config = {"inputConfig": {"requests": {"requests": requests}}, "webhookConfig": {"uris": [uri]}}
    answer = await client.post("/v1/models/scripted:batchGenerateContent", json={"batch": config})
    name = answer.json()["name"]
    await finished(client, name)
    retry = (await client.post(f"/v1/{name}:retry")).json()["name"]
    told = {json.loads(call.body)["data"]["id"] for call in await receiver.wait_for(2)}
    assert told == {name, retry}


async def test_what_was_told_is_counted(client, receiver, uri):
    await create(client, uri=uri)
    await batch(client)

    async def counted() -> bool:
        text = (await client.get("/metrics")).text
        return 'halfrate_webhook_deliveries_total{outcome="delivered"} 1.0' in text

    await until(counted)
    assert "halfrate_webhook_deliveries_waiting 0.0" in (await client.get("/metrics")).text
