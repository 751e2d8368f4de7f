"""Snapshots as clients hold them: tokens that mean nothing to them, and cannot be made by them."""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from halfrate.domain.job import Job
from halfrate.domain.shard import SegmentRef
from halfrate.domain.snapshot import Snapshot

_VERSION = b"\x01"
_VERSION_OF_SEVERAL_ENGINES = b"\x02"
_SEAL_BYTES = 9


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    ended: bool
    shards: int
    unfinished: list[tuple[int, int, int, int]]  # Shard, token, bytes, Results


class _PackedSpans(msgspec.Struct, array_like=True, frozen=True):
    shards: int
    unfinished: list[tuple[int, int, int, int]]
    others: list[tuple[int, int]]


_decoder = msgspec.msgpack.Decoder(_Packed)
_spans_decoder = msgspec.msgpack.Decoder(_PackedSpans)


def token_of(job: Job, snapshot: Snapshot) -> str:
    """Return the token of a Snapshot: some 20 characters, and 12 more for each unfinished Shard or Engine."""
    unfinished = [(s.shard, s.token, s.settled_bytes, s.results) for s in snapshot.unfinished]
    if snapshot.others:
        spans = _PackedSpans(snapshot.shards, unfinished, list(snapshot.others))
        body = _VERSION_OF_SEVERAL_ENGINES + msgspec.msgpack.encode(spans)
    else:
        body = _VERSION + msgspec.msgpack.encode(_Packed(snapshot.ended, snapshot.shards, unfinished))
    return _text(_seal(job, body) + body)


def snapshot_of(job: Job, token: str) -> Snapshot | None:
    """Return the Snapshot a token names. None unless this server made it, for this Job."""
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    seal, body = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    # The same text, too: what cannot be read in base64 is passed over.
    if seal != _seal(job, body) or _text(sealed) != token:
        return None
    version, packed = body[:1], body[1:]
    if version == _VERSION:
        one = _decoder.decode(packed)
        return Snapshot(job.id, one.shards, _unfinished(job, one.unfinished), ended=one.ended)
    if version == _VERSION_OF_SEVERAL_ENGINES:
        several = _spans_decoder.decode(packed)
        unfinished = _unfinished(job, several.unfinished)
        return Snapshot(job.id, several.shards, unfinished, others=tuple(several.others))
    return None


def _unfinished(job: Job, packed: list[tuple[int, int, int, int]]) -> tuple[SegmentRef, ...]:
    return tuple(SegmentRef(job.id, *numbers) for numbers in packed)


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _seal(job: Job, body: bytes) -> bytes:
    """Return what only this server can say of ``body``: the name of a Job's input is told to nobody."""
    known = f"{job.id} {job.input_blob} ".encode()
    return hashlib.blake2b(known + body, digest_size=_SEAL_BYTES).digest()
