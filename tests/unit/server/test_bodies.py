"""How long a client's next bytes are waited for, and what they are unpacked to."""

import gzip

from halfrate.server.bodies import Pace, _decompressed

PACE = Pace(silence_seconds=60, bytes_per_second=1_000)


def test_a_silent_client_is_given_up_after_a_minute():
    assert PACE.patience_seconds(waited_seconds=0, received_bytes=0) == 60
    assert PACE.patience_seconds(waited_seconds=59, received_bytes=0) == 1
    assert PACE.patience_seconds(waited_seconds=3_600, received_bytes=1 << 30) == 60


def test_a_slow_client_earns_time_with_every_byte():
    assert PACE.patience_seconds(waited_seconds=100, received_bytes=90_000) == 50
    assert PACE.patience_seconds(waited_seconds=100, received_bytes=39_000) == -1


async def test_however_little_was_sent_it_is_unpacked_by_the_piece():
    """A thousandth of its size can stand for a body."""
    packed = gzip.compress(b" " * (5 << 20))

    async def sent():
        yield packed

    sizes = [len(piece) async for piece in _decompressed(sent())]
    assert sum(sizes) == 5 << 20
    assert max(sizes) <= 1 << 20
