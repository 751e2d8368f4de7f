"""Where an answer ends. A token here is one character, or what a table says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.engines.embedded.decoding import JsonWatch, StopWatch, Unfolding


def decoder(pieces: list[str]) -> Callable[[list[int]], str]:
    return lambda tokens: "".join(pieces[token] for token in tokens)


def written_until_end(watch: StopWatch | JsonWatch, count: int) -> int | None:
    """After how many tokens the watch calls it an end."""
    return next((n for n in range(1, count + 1) if watch.ended(list(range(n)))), None)


@pytest.mark.parametrize(
    ("pieces", "stop", "tokens", "text"),
    [
        (["one ", "two", " three"], ("two",), 2, "one "),
        (["a", "E", "N", "D", "b"], ("END",), 4, "a"),
        (["say foo.END and bar", "!"], ("END",), 1, "say foo."),
        (["x", "STOP", "y"], ("never", "STOP", "OP"), 2, "x"),
        (["\n", "\n", "q"], ("\n\n",), 2, ""),
        (["é", "日本", "語。", "b"], ("本語",), 3, "é日"),
    ],
)
def test_an_answer_ends_before_its_stop_string(
    pieces: list[str], stop: tuple[str, ...], tokens: int, text: str
) -> None:
    """However the string is spread over tokens, it is noticed at once and none of it is left."""
    watch = StopWatch(stop, decoder(pieces))
    assert written_until_end(watch, len(pieces)) == tokens
    assert watch.cut("".join(pieces[:tokens])) == (text, True)


def test_an_answer_without_its_stop_string_is_whole() -> None:
    watch = StopWatch(("END",), decoder(["E", "N", "d"]))
    assert written_until_end(watch, 3) is None
    assert watch.cut("ENd") == ("ENd", False)


def test_a_long_answer_is_not_decoded_again_and_again() -> None:
    """Each token costs the decoding of a short tail."""
    decoded = 0

    def decode(tokens: list[int]) -> str:
        nonlocal decoded
        decoded += len(tokens)
        return "x" * len(tokens)

    watch = StopWatch(("END",), decode)
    assert written_until_end(watch, 1000) is None
    assert decoded <= 1000 * 20


def test_white_space_after_complete_json_ends_the_answer() -> None:
    pieces = ['{"a"', ": 1", "}", *["\n\t"] * 20]
    watch = JsonWatch(decoder(pieces))
    assert written_until_end(watch, len(pieces)) == 11
    assert watch.cut('{"a": 1}\n\t\n') == ('{"a": 1}', True)


@pytest.mark.parametrize("text", ['{"a": 1', "12", "", '{"a": "b}'])
def test_json_that_may_go_on_is_not_ended(text: str) -> None:
    """A number is complete and yet may grow another digit."""
    pieces = [text, *[" "] * 20]
    watch = JsonWatch(decoder(pieces))
    assert written_until_end(watch, len(pieces)) is None
    assert watch.cut(text) == (text, False)


# --- as it is written

TEXT = st.text(st.sampled_from('ab \n{}"1é日🎉'), max_size=30)


@given(TEXT, st.lists(st.integers(1, 5), max_size=40), st.integers(0, 3))
def test_a_text_unfolds_in_whole_characters(text: str, cuts: list[int], blanks: int) -> None:
    """Tokens of bytes, which end anywhere in a character; some tokenizers begin a text without its blank."""
    data = b" " * blanks + text.encode()
    pieces: list[bytes] = []
    for cut in [*cuts, len(data)]:
        pieces, data = [*pieces, data[:cut]], data[cut:]

    def decode(tokens: list[int]) -> str:
        said = b"".join(pieces[token] for token in tokens).decode(errors="replace")
        return said[1:] if said.startswith(" ") else said

    unfolding = Unfolding(decode)
    before = ""
    for n in range(len(pieces) + 1):
        so_far = unfolding.text(list(range(n)))
        assert so_far.startswith(before)
        before = so_far
    assert before == decode(list(range(len(pieces))))


@given(TEXT, TEXT, st.lists(TEXT.filter(bool), min_size=1, max_size=3))
def test_what_is_sure_is_never_taken_back(begin: str, rest: str, stop: list[str]) -> None:
    """Whatever is written after it."""
    for watch in (StopWatch(stop, decoder([])), JsonWatch(decoder([]))):
        assert watch.cut(begin + rest)[0].startswith(watch.sure(begin))


def test_what_may_become_a_stop_string_is_held_back() -> None:
    """And no more than that."""
    watch = StopWatch(("END", "ENT"), decoder([]))
    assert [watch.sure(text) for text in ("aE", "aEN", "aENX", "aEND")] == ["a", "a", "aENX", "a"]
