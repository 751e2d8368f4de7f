from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

GOOD = '{"key": "%s", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def test_a_good_file_is_said_to_be_good(halfrate: Run, file: Path) -> None:
    file.write_text(GOOD % "a" + GOOD % "b")
    ended = halfrate("validate", file)
    assert (ended.code, ended.out) == (0, "")
    assert "2 requests, none of them bad" in ended.err


def test_every_bad_line_is_named_with_its_number(halfrate: Run, file: Path) -> None:
    """A truncated line, a wrong type, an unknown field, a key used twice; blank lines count."""
    file.write_text(
        GOOD % "a"
        + '{"key": "b", "request": {"contents"\n'
        + "\n"
        + '{"key": "c", "request": {"contents": "Hello"}}\n'
        + '{"key": "d", "request": {"contents": [{"parts": [{"text": "x"}]}], "thinking": 1}}\n'
        + GOOD % "a"
    )
    ended = halfrate("validate", file)
    assert ended.code == 1
    told = [line.split(":")[0] for line in ended.out.splitlines()]
    assert told == [f"Error on line {number}" for number in (2, 4, 5, 6)]
    assert "4 of 5 lines are bad" in ended.err


def test_an_empty_file_has_no_requests(halfrate: Run, file: Path) -> None:
    file.touch()
    ended = halfrate("validate", file)
    assert ended.code == 1
    assert "no requests" in ended.out


def test_a_csv_file_is_told_what_a_line_looks_like(halfrate: Run, file: Path) -> None:
    file.write_text("key,prompt\na,Hello\n")
    ended = halfrate("validate", file)
    assert ended.code == 1
    assert '{"key": "1", "request":' in ended.out


def test_a_line_of_8_megabytes_is_too_long(halfrate: Run, file: Path) -> None:
    file.write_text(GOOD % "a" + GOOD.replace("Hello", "x" * (8 << 20)) % "b" + GOOD % "c")
    ended = halfrate("validate", file, "--json")
    assert ended.code == 1
    (error,) = ended.document["errors"]
    assert error.startswith("Error on line 2: the line has 8,")


def test_what_cannot_be_done_is_a_warning_on_the_right_line(halfrate: Run, file: Path) -> None:
    too_long = GOOD.replace("Hello", "x" * (8 << 20)) % "b"
    search = (
        '{"key": "c", "request": {"contents": [{"parts": [{"text": "x"}]}], "tools": [{"googleSearch": {}}]}}'
    )
    file.write_text("\n" + too_long + search + "\n")
    ended = halfrate("validate", file)
    assert "Warning on line 3: it will get an error result" in ended.out


def test_a_good_file_is_told_what_its_order_is_worth(halfrate: Run, file: Path) -> None:
    lines = [GOOD.replace("Hello", f"{n % 2} {'the document ' * 40} {n}") % n for n in range(8)]
    file.write_text("".join(lines))
    ended = halfrate("validate", file)
    assert "75% of their text is alike at the beginning of another, in 2 groups" in ended.err
    assert "up to 4.0 times less to compute" in ended.err
    document = halfrate("validate", file, "--json").document
    assert document["groups"] == 2
    assert document["sharedBytes"] / document["promptBytes"] == pytest.approx(0.745, abs=0.005)


def test_nothing_is_said_of_prompts_that_have_nothing_in_common(halfrate: Run, file: Path) -> None:
    file.write_text(GOOD.replace("Hello", "one") % "a" + GOOD.replace("Hello", "two") % "b")
    ended = halfrate("validate", file)
    assert (ended.code, "less to compute" in ended.err) == (0, False)


def test_lines_without_a_key_are_counted(halfrate: Run, file: Path) -> None:
    file.write_text('{"request": {"contents": [{"parts": [{"text": "Hello"}]}]}}\n' + GOOD % "a")
    ended = halfrate("validate", file)
    assert ended.code == 0
    assert "1 have no key" in ended.err


def test_the_last_line_counts_without_its_newline(halfrate: Run, file: Path) -> None:
    file.write_text((GOOD % "a" + GOOD % "b").rstrip("\n"))
    assert halfrate("validate", file, "--json").document["requests"] == 2


def test_a_missing_file_is_named(halfrate: Run, tmp_path: Path) -> None:
    ended = halfrate("validate", tmp_path / "nowhere.jsonl")
    assert ended.code == 1
    assert "nowhere.jsonl" in ended.err


def test_a_folder_is_no_file(halfrate: Run, tmp_path: Path) -> None:
    ended = halfrate("validate", tmp_path)
    assert ended.code == 1
    assert "is no file" in ended.err


def test_nothing_is_left_behind(
    halfrate: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file.write_text(GOOD % "a")
    halfrate("validate", file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
