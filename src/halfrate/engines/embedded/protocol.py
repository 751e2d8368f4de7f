"""What the server and the engine's child say to each other: length-prefixed msgpack frames. No I/O here.

The server sends one `Load`, then any number of `Ask`, `Embed`, `Count`, `CountText` and `Cancel`. The child
answers the `Load` with one `Loaded` or one `Broken`, every `Ask` it is not told to cancel with one `Done` or
one `Refused`, every `Embed` with one `Vector` or one `Refused`, every count with one `Counted` or one
`Refused`, and sends a `Beat` now and then while it works. Of an `Ask` that is streamed it sends a `Wrote`
whenever more of the answer is final.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from halfrate.domain.embedding import Embedding
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Answered, Cause, Delta
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.engines.api import Ability
from halfrate.engines.embedded.settings import EmbeddedSettings

EXIT_OUT_OF_MEMORY = 5
"""With this status a child ends that got no memory from the system."""

FRAME_BYTES_MAX = 64 * 1024 * 1024

_LENGTH = struct.Struct(">I")


class Load(msgspec.Struct, frozen=True, tag=True):
    """Load this model."""

    model: str
    settings: EmbeddedSettings
    kind: Kind = Kind.GENERATION


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Answer this Request. ``id`` is unique in the life of the child."""

    id: int
    request: Request
    interactive: bool
    streamed: bool = False


class Count(msgspec.Struct, frozen=True, tag=True):
    """Count the tokens of this Request's prompt."""

    id: int
    request: Request


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Forget this Ask: nobody waits for it. Unknown ids are ignored."""

    id: int


class Embed(msgspec.Struct, frozen=True, tag=True):
    """Turn this text into a vector. ``id`` as in `Ask`."""

    id: int
    embedding: Embedding
    interactive: bool


class CountText(msgspec.Struct, frozen=True, tag=True):
    """Count the tokens of this text."""

    id: int
    embedding: Embedding


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The model is in memory."""

    model_version: str
    context_tokens: int
    default_temperature: float
    lanes: int
    dimensions: int = 0
    abilities: frozenset[Ability] = frozenset()
    logprobs_max: int = 0
    thinks: bool = False


class Broken(msgspec.Struct, frozen=True, tag=True):
    """The model cannot be loaded, and trying again will not help. The child ends after this."""

    detail: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """An answer."""

    id: int
    answered: Answered


class Wrote(msgspec.Struct, frozen=True, tag=True):
    """More of an answer in the making."""

    id: int
    deltas: tuple[Delta, ...]


class Vector(msgspec.Struct, frozen=True, tag=True):
    """The vector of a text, as `halfrate.domain.embedding.Embedded` packs it."""

    id: int
    packed: bytes
    usage: Usage


class Refused(msgspec.Struct, frozen=True, tag=True):
    """No answer, or no count."""

    id: int
    cause: Cause
    detail: str


class Counted(msgspec.Struct, frozen=True, tag=True):
    """The length of a rendered prompt."""

    id: int
    tokens: int


class Beat(msgspec.Struct, frozen=True, tag=True):
    """The child made progress: ``steps`` of the pipeline so far, Requests decoding and waiting."""

    steps: int
    running: int
    waiting: int
    cache_percent: float


ToChild = Load | Ask | Count | Embed | CountText | Cancel
FromChild = Loaded | Broken | Wrote | Done | Vector | Refused | Counted | Beat

_encoder = msgspec.msgpack.Encoder()
_to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
_from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)


class BadFrame(Exception):
    """The other side does not speak this protocol: no later byte of the stream means anything."""


def encode(message: ToChild | FromChild) -> bytes:
    """One frame. Raise `BadFrame` if it would exceed `FRAME_BYTES_MAX`, or if msgpack cannot carry it."""
    try:
        body = _encoder.encode(message)
    except (UnicodeEncodeError, OverflowError) as error:  # half a surrogate pair; an integer beyond 64 bits
        raise BadFrame(f"cannot be sent: {error}") from error
    if len(body) > FRAME_BYTES_MAX:
        raise BadFrame(f"a frame of {len(body)} bytes is larger than {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(body)) + body


def decode_to_child(body: bytes) -> ToChild:
    """Read what the server sent. Raise `BadFrame` if it is no such message."""
    try:
        return _to_child.decode(body)
    except msgspec.DecodeError as error:
        raise BadFrame(f"not a message to the child: {error}") from error


def decode_from_child(body: bytes) -> FromChild:
    """Read what the child sent. Raise `BadFrame` if it is no such message."""
    try:
        return _from_child.decode(body)
    except msgspec.DecodeError as error:
        raise BadFrame(f"not a message from the child: {error}") from error


class Frames:
    """Cuts a stream of bytes into frame bodies, however the bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield every frame body completed by ``data``. Raise `BadFrame` at a length out of bounds."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > FRAME_BYTES_MAX:
                raise BadFrame(f"a frame of {length} bytes is larger than {FRAME_BYTES_MAX}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield body
