"""The official SDK registers receivers at a real server, and they are told, over kills of it too."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from google import genai
from google.genai import types
from standardwebhooks import Webhook

from tests.end_to_end.conftest import MakeRequests
from tests.support.processes import Server, serving
from tests.support.receiver import answered, receiving


@pytest.fixture
def arguments(toy: Path, tmp_path: Path) -> tuple[object, ...]:
    settings = tmp_path / "halfrate.toml"
    settings.write_text(
        f"[models.toy]\npath = '{toy}'\n"
        "[webhooks]\nallow = ['127.0.0.1']\nallow_http = true\ntimeout_seconds = 30\n"
    )
    return ("--data", tmp_path / "data", "--config", settings)


@pytest.fixture
def local(arguments: tuple[object, ...]) -> Iterator[Server]:
    with serving(*arguments) as server:
        yield server


def sdk(server: Server) -> genai.Client:
    return genai.Client(api_key="none", http_options=types.HttpOptions(base_url=server.url))


async def test_the_sdk_manages_webhooks(local: Server) -> None:
    async with receiving() as receiver:
        uri = f"http://127.0.0.1:{receiver.port}/hook"
        await asyncio.to_thread(_manage, sdk(local), uri)
        client = sdk(local).aio
        made = await client.webhooks.create(uri=uri, subscribed_events=["batch.succeeded"], name="a")
        assert (await client.webhooks.get(made.id)).uri == uri
        await client.webhooks.ping(made.id)
        assert len(receiver.calls) == 2
        await client.webhooks.delete(made.id)


def _manage(client: genai.Client, uri: str) -> None:
    made = client.webhooks.create(uri=uri, subscribed_events=["batch.succeeded", "batch.failed"], name="n")
    assert made.id
    assert made.new_signing_secret
    assert made.create_time
    (listed,) = client.webhooks.list(page_size=5).webhooks or []
    assert (listed.id, listed.new_signing_secret, listed.state) == (made.id, None, "enabled")
    changed = client.webhooks.update(
        made.id, subscribed_events=["batch.expired"], update_mask="subscribed_events"
    )
    assert (changed.subscribed_events, changed.name) == (["batch.expired"], "n")
    rotated = client.webhooks.rotate_signing_secret(
        made.id, revocation_behavior="revoke_previous_secrets_immediately"
    )
    assert rotated.secret != made.new_signing_secret
    client.webhooks.ping(made.id)
    client.webhooks.delete(made.id)
    assert not client.webhooks.list().webhooks


async def test_both_kinds_of_receivers_are_told_by_a_real_server(
    local: Server, make_requests: MakeRequests
) -> None:
    client = sdk(local).aio
    async with receiving() as receiver:
        uri = f"http://127.0.0.1:{receiver.port}"
        made = await client.webhooks.create(uri=f"{uri}/all", subscribed_events=["batch.succeeded"])
        file = await client.files.upload(file=make_requests(2), config={"mime_type": "jsonl"})
        assert file.name
        every = await client.batches.create(model="toy", src=file.name)
        (call,) = await receiver.wait_for(1)
        assert made.new_signing_secret
        event = Webhook(made.new_signing_secret).verify(call.body, call.headers)
        found = await client.batches.get(name=every.name or "")
        assert found.dest
        assert event["data"] == {"id": every.name, "output_file_uri": found.dest.file_name}
        hook = types.WebhookConfig(uris=[f"{uri}/one"], user_metadata={"job_group": "nightly", "n": 1})
        single = await client.batches.create(
            model="toy", src=file.name, config=types.CreateBatchJobConfig(webhook_config=hook)
        )
        _, call = await receiver.wait_for(2)
        assert (call.path, json.loads(call.body)["data"]["id"]) == ("/one", single.name)
        assert json.loads(call.body)["data"]["user_metadata"] == {"job_group": "nightly", "n": 1}
        keys = jwt.PyJWKClient(f"{local.url}/.well-known/jwks.json")
        token = call.headers["webhook-signature"]
        key = await asyncio.to_thread(keys.get_signing_key_from_jwt, token)
        assert jwt.decode(token, key.key, algorithms=["RS256"], audience=f"{uri}/one")


async def test_a_kill_between_the_call_and_its_note_repeats_the_call(
    arguments: tuple[object, ...], make_requests: MakeRequests
) -> None:
    async with receiving() as receiver:
        receiver.answer = lambda call: None
        with serving(*arguments) as server:
            client = sdk(server).aio
            await client.webhooks.create(
                uri=f"http://127.0.0.1:{receiver.port}/", subscribed_events=["batch.succeeded"]
            )
            file = await client.files.upload(file=make_requests(1), config={"mime_type": "jsonl"})
            await client.batches.create(model="toy", src=file.name or "")
            await receiver.wait_for(1)
            server.kill()
        receiver.answer = lambda call: answered(200)
        with serving(*arguments):
            first, again = await receiver.wait_for(2)
        assert first.headers["webhook-id"] == again.headers["webhook-id"]
        assert first.body == again.body
