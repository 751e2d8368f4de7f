"""Answers as the API gives them: JSON, compressed where the client takes that."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request as Call
from starlette.responses import Response, StreamingResponse

JSON = "application/json; charset=UTF-8"

_IN_THREAD_BYTES = 256 << 10  # compressing more than this would hold up the event loop
_GZIP_LEVEL = 4


class Answer(Response):
    """A whole body whose header names keep their capitals: some clients look them up that way."""

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        named = {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        }
        self.raw_headers = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]


async def json_answer(call: Call, body: bytes) -> Answer:
    """Return a success with a JSON body, compressed if the client accepts it."""
    if not takes_gzip(call):
        return Answer(body, headers={"Vary": "Accept-Encoding"})
    if len(body) > _IN_THREAD_BYTES:
        packed = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL)
    else:
        packed = gzip.compress(body, _GZIP_LEVEL)
    return Answer(packed, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})


class JsonStream(StreamingResponse):
    """A success whose JSON is made, compressed and sent piece by piece."""

    def __init__(self, call: Call, pieces: AsyncIterator[bytes]) -> None:
        headers = {"Content-Type": JSON, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
        if takes_gzip(call):
            headers["Content-Encoding"] = "gzip"
            pieces = _compressed(pieces)
        super().__init__(pieces)
        self.raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]


async def _compressed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)  # 16: with gzip's header and trailer
    async for piece in pieces:
        if packed := await asyncio.to_thread(packer.compress, piece):
            yield packed
    yield packer.flush()


def takes_gzip(call: Call) -> bool:
    """Whether the client takes a compressed body."""
    for offered in call.headers.get("accept-encoding", "").split(","):
        coding, _, weight = offered.strip().partition(";")
        if coding in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0")
    return False
