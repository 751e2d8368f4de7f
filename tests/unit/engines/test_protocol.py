"""What server and child say to each other survives the way."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.outcome import Answered, Cause, Delta, Finish
from halfrate.domain.usage import Usage
from halfrate.engines.api import Ability
from halfrate.engines.embedded import protocol
from halfrate.engines.embedded.settings import EmbeddedSettings
from tests.engines import ask

TO_CHILD: list[protocol.ToChild] = [
    protocol.Load("model.gguf", EmbeddedSettings(threads=3)),
    protocol.Ask(1, ask("hi", system="be kind", stop=("a", "b"), json_schema="{}", seed=7), True),
    protocol.Count(2, ask("日本語 🎉")),
    protocol.Cancel(3),
]
FROM_CHILD: list[protocol.FromChild] = [
    protocol.Loaded("m", 100, 0.5, 16),
    protocol.Loaded("m", 100, 0.5, 16, 0, frozenset({Ability.CHOICES}), 3, thinks=True),
    protocol.Broken("no such file"),
    protocol.Done(1, Answered.of("text", Finish.LENGTH, Usage(1, 2, 3))),
    protocol.Wrote(1, (Delta("te"), Delta(thought="hm", index=1))),
    protocol.Refused(1, Cause.TOO_LONG, "too long"),
    protocol.Counted(2, 17),
    protocol.Beat(5, 1, 2, 33.3),
]


@given(st.lists(st.integers(1, 50), max_size=200))
def test_messages_arrive_whole_however_the_bytes_come(cuts: list[int]) -> None:
    """A pipe cuts where it likes."""
    stream = b"".join(protocol.encode(message) for message in TO_CHILD)
    frames, got = protocol.Frames(), []
    for cut in [*cuts, len(stream)]:
        got += [protocol.decode_to_child(body) for body in frames.feed(stream[:cut])]
        stream = stream[cut:]
    assert got == TO_CHILD


def test_what_the_child_says_survives_too() -> None:
    stream = b"".join(protocol.encode(message) for message in FROM_CHILD)
    assert [protocol.decode_from_child(body) for body in protocol.Frames().feed(stream)] == FROM_CHILD


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81\xa4type\xa4Nope", protocol.encode(FROM_CHILD[0])[4:]])
def test_what_is_no_message_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(protocol.BadFrame):
        protocol.decode_to_child(body)


def test_a_frame_out_of_bounds_is_refused_before_it_is_read() -> None:
    """A stray byte must not make the reader wait for gigabytes."""
    with pytest.raises(protocol.BadFrame, match="larger than"):
        list(protocol.Frames().feed(struct.pack(">I", protocol.FRAME_BYTES_MAX + 1)))
    with pytest.raises(protocol.BadFrame, match="larger than"):
        protocol.encode(protocol.Broken("x" * (protocol.FRAME_BYTES_MAX + 1)))
