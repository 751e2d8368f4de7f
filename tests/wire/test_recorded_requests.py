"""Every request the official SDKs were recorded sending is understood as they mean it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halfrate.domain.line import Line
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Request
from halfrate.wire.gemini import batches, files, models
from halfrate.wire.gemini.lines import asked_of, parse_line

EXCHANGES = {
    f"{path.stem}: {exchange['scenario']}": exchange
    for path in sorted((Path(__file__).parent / "exchanges").glob("*.json"))
    for exchange in json.loads(path.read_text())
}


def of_kind(verb: str) -> list[object]:
    return [
        pytest.param(exchange, id=name)
        for name, exchange in EXCHANGES.items()
        if exchange["path"].endswith(verb)
    ]


def body(exchange: dict) -> bytes:
    return b"" if exchange["body"] is None else json.dumps(exchange["body"]).encode()


@pytest.mark.parametrize("exchange", of_kind("/files"))
def test_the_start_of_an_upload(exchange):
    new = files.parse_new_file(body(exchange), exchange["headers"])
    assert new.declared_bytes == int(exchange["headers"]["x-goog-upload-header-content-length"])
    assert new.mime_type == exchange["headers"]["x-goog-upload-header-content-type"]
    sent = exchange["body"]["file"]
    assert new.display_name == sent.get("display_name", sent.get("displayName", ""))
    assert new.id == (sent["name"].removeprefix("files/") if "name" in sent else None)
    assert files.parse_commands(exchange["headers"]["x-goog-upload-command"]) == {files.UploadCommand.START}


@pytest.mark.parametrize("exchange", of_kind(":batchGenerateContent"))
def test_the_creation_of_a_batch(exchange):
    sent = exchange["body"]["batch"]
    new = batches.parse_create(body(exchange), model="stub-model")
    assert new.display_name == sent.get("displayName", "")
    config = sent.get("webhookConfig", {})
    metadata = config.get("user_metadata", config.get("userMetadata"))
    assert list(new.notify.uris) == config.get("uris", [])
    assert (new.notify.user_metadata and json.loads(new.notify.user_metadata)) == metadata
    if "fileName" in sent["inputConfig"]:
        assert new.file_id == sent["inputConfig"]["fileName"].removeprefix("files/")
        assert new.lines == ()
    else:
        items = sent["inputConfig"]["requests"]["requests"]
        assert [json.loads(line) for line in new.lines] == items
        for line, item in zip(map(parse_line, new.lines), items, strict=True):
            assert isinstance(line, Line)
            assert (line.metadata and json.loads(line.metadata)) == item.get("metadata")
            asked = asked_of(line, "stub-model")
            if item["request"].keys() & {"tools", "cachedContent"}:
                assert isinstance(asked, Failed)
                assert asked.cause is Cause.UNSUPPORTED
            elif "model" in item["request"]:
                assert isinstance(asked, Failed)
                assert asked.cause is Cause.INVALID
            else:
                assert isinstance(asked, Request)


@pytest.mark.parametrize("exchange", of_kind(":generateContent"))
def test_a_generate_call(exchange):
    sent = exchange["body"]
    request = models.parse_generate(body(exchange), model="stub-model")
    assert request.messages[0].text == sent["contents"][0]["parts"][0]["text"]
    assert request.cache == (sent["cachedContent"].split("/")[1] if "cachedContent" in sent else None)
    assert (request.functions is None) == ("tools" not in sent)


@pytest.mark.parametrize("exchange", of_kind(":countTokens"))
def test_a_count_of_tokens(exchange):
    request = models.parse_count_tokens(body(exchange), model="stub-model")
    assert request.messages[0].text == exchange["body"]["contents"][0]["parts"][0]["text"]
