"""The page of the API names every method and every field, and none that is not there."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from halfrate.server import unbuilt
from halfrate.wire.gemini.content import GenerateContentRequest, Part
from halfrate.wire.gemini.embeddings import EmbedContentRequest
from halfrate.wire.gemini.generation_config import GenerationConfig
from tests.support.described import bare_asgi

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text("utf-8")


def paths() -> list[str]:
    unserved = {route.path for route in unbuilt.routes()}
    asgi = bare_asgi()
    served = {route.path for route in asgi.routes if isinstance(route, Route)} - unserved
    return sorted(
        re.sub(r"\{(\w+):\w+\}", r"{\1}", path.replace("{version:version}", "v1beta")).replace(
            "{kind}/", "models/"
        )
        for path in served
        if "/openai" not in path  # on a page of its own
    )


@pytest.mark.parametrize("path", paths())
def test_every_path_is_on_the_page(path: str) -> None:
    assert re.search(rf"[` ]{re.escape(path)}`", PAGE)


def test_what_is_not_built_is_on_the_page() -> None:
    for route in unbuilt.routes():
        name = re.split(r"[/:]", re.sub(r"/?\{\w+:\w+\}", "", route.path))[-1]
        assert name in PAGE, route.path


@pytest.mark.parametrize("message", [GenerateContentRequest, GenerationConfig, Part, EmbedContentRequest])
def test_every_field_is_in_its_table(message: type) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    first = {
        GenerateContentRequest: "field",
        GenerationConfig: "generation config",
        Part: "part",
        EmbedContentRequest: "embedding",
    }[message]
    (table,) = [table for table in tables if table.startswith(f"| {first} |")]
    named = {field for row in table.splitlines() for field in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(message.__struct_fields__)
