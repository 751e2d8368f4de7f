import pytest

from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import InvalidArgument
from halfrate.wire.gemini.times import parse_deadline, timestamp


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("7200", Deadline(7_200)),
        (" 7200s ", Deadline(7_200)),
        ("0.5", Deadline(0.5)),
        ("2026-01-01T00:00:00Z", Deadline(1_767_225_600, absolute=True)),
        ("2026-01-01T02:00:00.5+02:00", Deadline(1_767_225_600.5, absolute=True)),
    ],
)
def test_a_deadline_is_seconds_or_an_instant(text, meant):
    assert parse_deadline(text) == meant
    assert meant.instant(10) == (meant.seconds if meant.absolute else 10 + meant.seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "inf", "nan", "1e9", "٣", "2026-01-01T00:00:00", "2h"])
def test_anything_else_is_refused_and_told_how(text):
    with pytest.raises(InvalidArgument, match=r"number of seconds, as in 7200.*2026-12-31T08:00:00Z"):
        parse_deadline(text)


def test_instants_have_microseconds():
    assert timestamp(1_767_225_600.25) == "2026-01-01T00:00:00.250000Z"
