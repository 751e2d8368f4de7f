"""The pages say what there is, all of it."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from halfrate.cli.app import app
from halfrate.cli.exits import Exit
from halfrate.config import Config, ModelConfig, UpstreamConfig
from halfrate.domain import errors
from halfrate.domain.job import JobState
from halfrate.domain.outcome import Cause
from halfrate.domain.outlook import Eta, Outlook, Promise
from halfrate.domain.usage import Usage
from halfrate.domain.waiting import Waiting, WaitingCode
from halfrate.server.batches import DEADLINE, ON_INVALID
from halfrate.server.files import SNAPSHOT
from halfrate.wire.gemini import batches
from tests.fakes import make_job
from tools import state_diagram

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def headings(page: Path) -> set[str]:
    return set(re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE))


def error_names() -> list[str]:
    return [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.HalfrateError)
    ]


def settings(struct: Any = Config, prefix: str = "") -> list[tuple[str, Any]]:
    """Every setting by its full name, with its default."""
    found: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(struct):
        name = prefix + field.name
        if field.type == dict[str, ModelConfig]:
            found += settings(ModelConfig, f"{name}.NAME.")
        elif field.type == UpstreamConfig | None:
            found += settings(UpstreamConfig, f"{name}.")
        elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += settings(field.type, f"{name}.")
        else:
            found.append((name, field.default))
    return found


@pytest.mark.parametrize("command", [command.callback.__name__ for command in app.registered_commands])
def test_every_command_has_its_heading(command: str) -> None:
    assert f"halfrate {command}" in headings(REFERENCE / "cli.md")


def test_no_heading_names_a_command_that_is_not_there() -> None:
    told = {name.removeprefix("halfrate ") for name in headings(REFERENCE / "cli.md") if "halfrate" in name}
    assert told == {command.callback.__name__ for command in app.registered_commands if command.callback}


@pytest.mark.parametrize("code", Exit)
def test_every_exit_code_is_told(code: Exit) -> None:
    assert f"\n| {code.value} | " in (REFERENCE / "cli.md").read_text("utf-8")


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_its_heading(state: JobState) -> None:
    assert state.value in headings(REFERENCE / "states.md")


@pytest.mark.parametrize("name", error_names())
def test_every_error_has_its_heading(name: str) -> None:
    assert name in headings(REFERENCE / "errors.md")


@pytest.mark.parametrize("code", WaitingCode)
def test_every_reason_for_waiting_is_told(code: WaitingCode) -> None:
    assert f"\n| `{code.value}` | " in (ROOT / "docs" / "howto" / "waiting.md").read_text("utf-8")


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_told(cause: Cause) -> None:
    assert f"\n| `{cause.value}` | " in (REFERENCE / "errors.md").read_text("utf-8")


@pytest.mark.parametrize(("name", "default"), settings())
def test_every_setting_is_told_with_its_default(name: str, default: Any) -> None:
    page = (REFERENCE / "config.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{re.escape(name)}` \| (.+?) \|", page, re.MULTILINE)
    if isinstance(default, int | float) and not isinstance(default, bool):
        assert row == f"`{default:_}`"


def test_no_setting_is_told_that_is_not_there() -> None:
    page = (REFERENCE / "config.md").read_text("utf-8")
    told = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    assert told == {name for name, _ in settings()}


def test_the_state_diagram_is_the_table() -> None:
    page = state_diagram.PAGE.read_text("utf-8")
    assert state_diagram.updated(page) == page, "run: python -m tools.state_diagram"


def test_the_examples_of_settings_are_settings() -> None:
    for page in (REFERENCE / "config.md", ROOT / "docs" / "howto" / "own-model.md"):
        for block in re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            assert msgspec.toml.decode(block, type=Config).models


def test_what_is_added_to_the_protocol_is_told() -> None:
    page = (REFERENCE / "api.md").read_text("utf-8")
    job = make_job(
        retry_of="x", usage=Usage(1, 1, 1), cost_picos=1, interactive_cost_picos=2, output_expires_at=1.0
    )
    outlook = Outlook(Waiting(WaitingCode.QUEUED, "x"), Eta(0, 1, 2, 3), Promise(4, False, "x"))
    operation = msgspec.json.decode(batches.operation(job, outlook=outlook))
    added = operation["metadata"]["halfrate"]
    inside = [*added["usage"], *added["etaRange"], *added["promise"]]
    assert {name for name in (*added, *inside) if f"`{name}`" not in page} == set()
    assert ON_INVALID in page.lower()
    assert DEADLINE in page.lower()
    assert SNAPSHOT in page
