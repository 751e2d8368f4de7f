"""Bodies of calls, read within bounds."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO

from starlette.requests import Request as Call

from halfrate.domain.errors import InvalidArgument, TooSlow

_LARGE_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must come: some of it every ``silence_seconds``, ``bytes_per_second`` on the whole.

    Only the time that is spent waiting for the client counts, and the first ``silence_seconds`` of it are
    free: a short stop in a fast transfer is no slow transfer.
    """

    silence_seconds: float = 60.0
    bytes_per_second: float = 1_000.0

    def patience_seconds(self, *, waited_seconds: float, received_bytes: int) -> float:
        """Return how long the next bytes may take, given those that came and the time they took."""
        earned_seconds = received_bytes / self.bytes_per_second
        return min(self.silence_seconds, self.silence_seconds + earned_seconds - waited_seconds)


class Bodies:
    """Reads bodies of calls as they come, or whole ones of at most ``bytes_max`` bytes.

    Only one large body is held in memory at a time. The others wait in temporary files, so that many
    slow clients together hold no more than one quick one.
    """

    def __init__(self, *, bytes_max: int, pace: Pace) -> None:
        self._bytes_max = bytes_max
        self._pace = pace
        self._large = asyncio.Lock()

    def arriving(self, call: Call) -> AsyncIterator[bytes]:
        """Yield the body of a call as it comes, in pieces of bounded size, decompressed if it was compressed.

        Raise `TooSlow` when the client does not keep pace, `InvalidArgument` if it cannot be decompressed.
        """
        pieces = self._sent(call)
        match call.headers.get("content-encoding", "identity").strip().lower():
            case "identity" | "":
                return pieces
            case "gzip" | "x-gzip":
                return _decompressed(pieces)
            case coding:
                raise InvalidArgument(f"Content-Encoding is {coding[:40]!r}; it may be gzip or identity.")

    async def _sent(self, call: Call) -> AsyncIterator[bytes]:
        # Without a bound a connection that died without a word would hold its upload for ever.
        pieces = call.stream()
        now = asyncio.get_running_loop().time
        waited_seconds, received_bytes = 0.0, 0
        while True:
            patience_seconds = self._pace.patience_seconds(
                waited_seconds=waited_seconds, received_bytes=received_bytes
            )
            begun = now()
            try:
                async with asyncio.timeout(patience_seconds):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _too_slow(received_bytes, waited_seconds + now() - begun) from None
            waited_seconds += now() - begun
            received_bytes += len(piece)
            yield piece

    @asynccontextmanager
    async def whole(self, call: Call) -> AsyncIterator[bytes]:
        """Hold the body of a call. Raise `InvalidArgument` as soon as it is longer than allowed."""
        with SpooledTemporaryFile(max_size=_LARGE_BYTES) as spool:
            size_bytes = await self._receive(call, spool)
            async with self._large if size_bytes > _LARGE_BYTES else nullcontext():
                spool.seek(0)
                yield spool.read()

    async def _receive(self, call: Call, spool: IO[bytes]) -> int:
        announced = call.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._bytes_max:
            raise _too_large(self._bytes_max)
        size_bytes = 0
        async for piece in self.arriving(call):
            size_bytes += len(piece)
            if size_bytes > self._bytes_max:
                raise _too_large(self._bytes_max)
            spool.write(piece)
        return size_bytes


async def _decompressed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what gzip made ``pieces`` of. However little that was, a piece has at most `_PIECE_BYTES`."""
    unpacker = _unpacker()
    begun = False
    async for arrived in pieces:
        packed = arrived
        while packed or begun:
            begun = True
            piece = await asyncio.to_thread(_unpack, unpacker, packed)
            yield piece
            packed = unpacker.unconsumed_tail
            if unpacker.eof:  # another file may follow: gzip takes them for one
                packed, unpacker, begun = unpacker.unused_data, _unpacker(), False
            elif not packed and len(piece) < _PIECE_BYTES:
                break
    if begun:
        raise InvalidArgument("The body of the call is in gzip and ends too early. Send it again.")


def _unpacker() -> zlib._Decompress:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with gzip's header and trailer


def _unpack(unpacker: zlib._Decompress, packed: bytes) -> bytes:
    try:
        return unpacker.decompress(packed, _PIECE_BYTES)
    except zlib.error as error:
        raise InvalidArgument(
            f"Content-Encoding says gzip, and the body of the call is none ({error})."
        ) from None


def _too_large(bytes_max: int) -> InvalidArgument:
    return InvalidArgument(
        f"Request payload size exceeds the limit: {bytes_max} bytes. "
        "Upload the requests as a file, and make the batch from that."
    )


def _too_slow(received_bytes: int, waited_seconds: float) -> TooSlow:
    return TooSlow(
        f"The body of the call comes too slowly: {received_bytes} bytes in {waited_seconds:.0f} s. "
        "Send it again, or in smaller pieces if it is an upload: what has arrived of that is kept."
    )
