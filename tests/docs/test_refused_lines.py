"""The errors of lines that the page shows are the errors that lines get."""

import re
from pathlib import Path

import pytest

from halfrate.domain.line import Rejection
from halfrate.wire.gemini.lines import parse_line

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text("utf-8")
SECTION = PAGE.partition("## Refused lines")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(.+)` \| `(.+)` \|$", SECTION, re.MULTILINE)


def test_there_are_examples():
    assert len(ROWS) > 20


@pytest.mark.parametrize(("line", "error"), ROWS)
def test_an_example_is_refused_in_these_words(line: str, error: str):
    rejection = parse_line(line.encode())
    assert isinstance(rejection, Rejection)
    assert rejection.message.removeprefix("invalid JSON, ") == error
