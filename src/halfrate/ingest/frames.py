"""What goes through the pipes between the server and its ingest workers: length, then msgpack."""

from __future__ import annotations

import errno as codes
import struct
from asyncio import IncompleteReadError, StreamReader
from enum import StrEnum
from typing import BinaryIO

import msgspec

from halfrate.domain.errors import CorruptData
from halfrate.ingest.tasks import Report, Task

_LENGTH = struct.Struct("<I")


class Kind(StrEnum):
    """What went wrong with a task."""

    CORRUPT = "corrupt"
    MISSING = "missing"
    SYSTEM = "system"
    BUG = "bug"


class Failure(msgspec.Struct, frozen=True, tag=True):
    """A task could not be done."""

    kind: Kind
    message: str
    errno: int | None = None

    def error(self) -> Exception:
        """Return what `halfrate.ingest.tasks.perform` raised, as far as its callers tell errors apart."""
        match self.kind:
            case Kind.CORRUPT:
                return CorruptData(self.message)
            case Kind.MISSING:
                return FileNotFoundError(codes.ENOENT, self.message)
            case Kind.SYSTEM:
                return OSError(self.errno or codes.EIO, self.message)
            case Kind.BUG:
                return RuntimeError(self.message)


_ENCODER = msgspec.msgpack.Encoder()
_TASK: msgspec.msgpack.Decoder[Task] = msgspec.msgpack.Decoder(Task)
_REPORT: msgspec.msgpack.Decoder[Report | Failure] = msgspec.msgpack.Decoder(Report | Failure)


def encode(message: Task | Report | Failure) -> bytes:
    """Return a frame."""
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


def read_task(pipe: BinaryIO) -> Task | None:
    """Return the next task, None when the other end is gone. Blocks."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = pipe.read(length)
    return _TASK.decode(body) if len(body) == length else None


async def read_report(pipe: StreamReader) -> Report | Failure | None:
    """Return the next report, None when the other end is gone."""
    try:
        (length,) = _LENGTH.unpack(await pipe.readexactly(_LENGTH.size))
        return _REPORT.decode(await pipe.readexactly(length))
    except IncompleteReadError:
        return None
