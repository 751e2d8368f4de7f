"""Uploads over sockets that are cut, at any byte, and by many clients at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random

import pytest

from halfrate.config import ServerConfig
from halfrate.service.uploads import INCOMING_MAX
from tests.fakes import open_files
from tests.unit.server.test_socket import Wire, begin, listening, received

CLIENTS = 200


def head_of(target: str, offset: int, length: int, *, command: str) -> bytes:
    lines = [
        f"POST {target} HTTP/1.1",
        "Host: localhost",
        f"X-Goog-Upload-Command: {command}",
        f"X-Goog-Upload-Offset: {offset}",
        f"Content-Length: {length}",
        "\r\n",
    ]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("seed", range(12))
async def test_an_upload_that_is_cut_at_any_byte_goes_on_from_what_arrived(app, seed):
    """In the head or in the body, early or just before the answer; with the last step's command or not."""
    chance = random.Random(seed)
    data = chance.randbytes(chance.choice((1, 1_000, 300_000)))
    async with listening(app, ServerConfig()) as port:
        target = await begin(await Wire.to(port), len(data))
        for _ in range(chance.randrange(1, 6)):
            offset = await received(port, target)
            command = chance.choice(("upload", "upload, finalize"))
            length = chance.randrange(len(data) - offset + 1) if command == "upload" else len(data) - offset
            call = head_of(target, offset, length, command=command) + data[offset : offset + length]
            wire = await Wire.to(port)
            await wire.write(call[: chance.randrange(len(call))])
            wire.abort()
        offset = await received(port, target)
        last = {"X_Goog_Upload_Command": "upload, finalize", "X_Goog_Upload_Offset": str(offset)}
        head, body = await (await Wire.to(port)).call(target, data[offset:], **last)
        assert head.startswith("HTTP/1.1 200 "), body
        file = await app.files.get(json.loads(body)["file"]["name"].removeprefix("files/"))
        assert (file.size_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


async def test_many_clients_that_stop_half_way_hold_next_to_nothing(app):
    async with listening(app, ServerConfig(silence_seconds=0.3)) as port:
        starter = await Wire.to(port)
        targets = [await begin(starter, 1_000) for _ in range(CLIENTS)]
        wires = [await Wire.to(port) for _ in targets]
        for wire, target in zip(wires, targets, strict=True):
            await wire.write(head_of(target, 0, 1_000, command="upload") + b"x" * 30)
        most = 0
        answers = [asyncio.create_task(wire.answer()) for wire in wires]
        while not all(answer.done() for answer in answers):
            most = max(most, sum("/uploads/" in name for name in open_files()))
            await asyncio.wait(answers, timeout=0.05)
        # One that is being opened is written to and read at the same time.
        assert 0 < most <= 2 * INCOMING_MAX < CLIENTS
        for answer in answers:
            head, _ = answer.result()
            assert head.startswith("HTTP/1.1 408 ")
            assert "X-Goog-Upload-Size-Received: 30" in head
        assert await received(port, targets[0]) == 30
