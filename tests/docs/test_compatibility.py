"""The page of compatibility has a row for every method and field, and each row names a test that is there."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from starlette.routing import Match, Route

from halfrate.server import unbuilt
from halfrate.server.openapi import document
from halfrate.server.schemas import Schemas
from halfrate.wire.gemini.lines import BareLine, KeyedLine, ResultLine
from tests.support.described import bare_asgi, operations

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "compatibility.md"
WORDS = {"works", "differs", "refused", "never sent", "own"}
LINES = (KeyedLine, BareLine, ResultLine)
ROUTES = bare_asgi().routes
DOCUMENT = document(ROUTES)


@dataclass(frozen=True)
class Row:
    """One line of a table: the names in its first cell, and what is said of them."""

    names: tuple[str, ...]
    word: str
    note: str
    test: str


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0] not in ("what", "---"):
            found.append(Row(tuple(names_in(cells[0])), cells[1], cells[2], cells[3].strip("`")))
    return found


def names_in(cell: str) -> list[str]:
    """Return the names in a cell; one that begins with a dot belongs to the message before."""
    names: list[str] = []
    message = ""
    for name in re.findall(r"`([^`]+)`", cell):
        message = message if name.startswith(".") else name.partition(".")[0]
        names.append(message + name if name.startswith(".") else name)
    return names


def named(*words: str) -> set[str]:
    return {name for row in ROWS if not words or row.word in words for name in row.names}


def fields() -> set[str]:
    """Every field of every message that is read or written, but of the bare line what it has of its own."""
    schemas = Schemas()
    for line in LINES:
        schemas.ref(line)
    every = {**schemas.all(), **DOCUMENT["components"]["schemas"]}
    all_fields = {f"{name}.{field}" for name, schema in every.items() for field in schema["properties"]}
    request = DOCUMENT["components"]["schemas"]["GenerateContentRequest"]["properties"]
    return all_fields - {f"BareLine.{field}" for field in request}


ROWS = rows()
FIELDS = sorted(fields())
METHODS = [f"{operation.method} {operation.path}" for operation in operations(DOCUMENT)]


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_its_row(field: str) -> None:
    assert field in named(*WORDS - {"never sent"}), (
        f"{field} has no row. Add to docs/reference/compatibility.md: "
        f"| `{field}` | works, differs, refused or own | how | `a/test_file.py::test_name` |"
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_its_row(method: str) -> None:
    assert method in named("works", "differs", "own"), (
        f"{method} is served and has no row that says so. Add to docs/reference/compatibility.md: "
        f"| `{method}` | works | | `a/test_file.py::test_name` |"
    )


@pytest.mark.parametrize("route", unbuilt.routes(), ids=lambda route: route.path)
def test_every_method_that_is_not_built_is_refused_in_its_row(route: Route) -> None:
    def meets(name: str) -> bool:
        method, _, path = name.partition(" ")
        scope = {"type": "http", "method": method, "path": re.sub(r"[{}]", "", path)}
        return route.matches(scope)[0] is Match.FULL

    assert any(meets(name) for name in named("refused") if " /" in name), f"{route.path} has no row"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.names[0] if row.names else row.note or row.test)
def test_a_row_says_what_is_known_and_names_a_test_that_is_there(row: Row) -> None:
    assert row.word in WORDS
    assert row.note or row.word not in ("differs", "refused"), "say how"
    path, _, test = row.test.partition("::")
    assert test in names_of_tests(TESTS / path), f"{row.test} is not there"


@cache
def names_of_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")}


def test_no_row_is_about_what_is_not_there() -> None:
    of_messages = {name for name in named(*WORDS - {"never sent"}) if re.fullmatch(r"[A-Z]\w+\.[@\w]+", name)}
    assert of_messages <= set(FIELDS)
    served = {name for name in named("works", "differs", "own") if " /" in name}
    assert served <= set(METHODS)
    assert not named("never sent") & set(FIELDS)


def test_nothing_has_two_rows() -> None:
    every = [name for row in ROWS for name in row.names]
    assert sorted({name for name in every if every.count(name) > 1}) == []
