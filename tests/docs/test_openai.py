"""The page of OpenAI's dialect names every method and every field, and none that is not there."""

import re
from pathlib import Path

from halfrate.wire.openai.chat import ChatRequest
from tests.support.described import bare_asgi

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "openai.md").read_text("utf-8")
PLAIN = "/openai/v1"


def served() -> set[str]:
    asgi = bare_asgi()
    return {
        f"{method} {shown(route.path.removeprefix(PLAIN))}"
        for route in asgi.routes
        if route.path.startswith(PLAIN) and not route.path.endswith("{rest:any}")
        for method in route.methods - {"HEAD"}
    }


def shown(path: str) -> str:
    return re.sub(r"{([a-z]+):[a-z]+}", r"{\1}", path)


def named(table: str) -> list[str]:
    rows = re.search(rf"(?:^\| {table} \|.*\n)(?:^\|.*\n)+", PAGE, re.MULTILINE)
    assert rows is not None, table
    return rows[0].splitlines()[2:]


def test_every_method_is_on_the_page() -> None:
    assert set(re.findall(r"`((?:GET|POST|DELETE) [^`]+)`", "\n".join(named("method")))) == served()


def test_every_field_is_in_the_table() -> None:
    rows = named("field")
    assert {field for row in rows for field in re.findall(r"`(\w+)`", row.split("|")[1])} == set(
        ChatRequest.__struct_fields__
    )
