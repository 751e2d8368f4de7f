"""What the pages show can be run, and where they point there is something."""

import ast
import re
import textwrap
import tomllib
from pathlib import Path

import pytest

from halfrate.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
COMMANDS = {command.callback.__name__ for command in app.registered_commands if command.callback}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def packages() -> list[str]:
    extras = PROJECT["optional-dependencies"].values()
    asked = [*PROJECT["dependencies"], *(package for extra in extras for package in extra)]
    return sorted({re.split(r"[<>=;\[ ]", package)[0] for package in asked})


def test_the_readme_begins_with_the_demo_and_the_tests() -> None:
    first = blocks(ROOT / "README.md", "sh")[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_on_a_page_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(textwrap.dedent(block), str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_on_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            words = line.split("#")[0].split()
            if "make" in words:
                assert words[words.index("make") + 1] in targets, line
            elif words and words[0].endswith("halfrate"):
                assert words[1] in COMMANDS, line


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("package", packages())
def test_every_dependency_has_its_reason_and_what_dropping_it_takes(package: str) -> None:
    text = (ROOT / "docs" / "explanation" / "dependencies.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{re.escape(package)}` \| (.+) \|$", text, re.MULTILINE)
    assert len(row.split(" | ")) == 2


def test_no_reason_is_given_for_what_is_not_asked_for() -> None:
    text = (ROOT / "docs" / "explanation" / "dependencies.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == packages()


def test_every_version_is_exact_and_from_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(page.name[:4]) for page in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
