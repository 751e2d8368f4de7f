"""Every kind of bad file there is, by every way a file is read: the same lines refused, in the same words.

The files are in ``bad_lines/``, with what each comes to in ``expectations.toml``. Those too large to keep
are made here.
"""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from halfrate import cli
from halfrate.app import App, open_app
from halfrate.config import Config, Limits, ModelConfig
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.line import Line, Rejection
from halfrate.engines.scripted import ScriptedEngine
from halfrate.ingest.hints import EXAMPLE
from halfrate.offline import run_file
from halfrate.serve import asgi_of
from halfrate.wire.lines import parse_line
from tests.support.measured import MEBIBYTE, Measured, measured

FOLDER = Path(__file__).parent / "bad_lines"
UPLOAD = {"X-Goog-Upload-Protocol": "raw", "Content-Type": "application/jsonl"}
MODELS = {"scripted": ModelConfig(path="scripted-1")}


@dataclass(frozen=True)
class Case:
    """A file, and what is expected of it."""

    name: str
    requests: int
    answered: int
    errors: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.jsonl"

    @property
    def numbers_refused(self) -> set[int]:
        """The lines that cannot be read, without those whose key was used before."""
        found = (re.match(r"Error on line (\d+): (?!duplicate)", error) for error in self.errors)
        return {int(match[1]) for match in found if match}


def cases() -> Iterator[Case]:
    for name, expected in tomllib.loads((FOLDER / "expectations.toml").read_text("utf-8")).items():
        errors = tuple(error.replace("<example>", EXAMPLE) for error in expected.get("errors", ()))
        yield Case(name, expected["requests"], expected["answered"], errors)


CASES = list(cases())
RUN_OFFLINE = {
    "carriage_return_inside_a_line",
    "cut_off_inside_a_character",
    "duplicate_keys",
    "gzip",
    "numbers",
}

# Each takes processes of its own, and goes by the same code as what a server is sent.
offline_cases = pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in RUN_OFFLINE], ids=lambda case: case.name
)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_file_has_what_is_expected_of_it():
    assert sorted(path.stem for path in FOLDER.glob("*.jsonl")) == sorted(case.name for case in CASES)


# A line by itself --------------------------------------------------------------------------------------


@every_case
def test_lines_are_read_or_refused(case: Case):
    data = case.path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    lines = [(n, raw) for n, raw in enumerate(data.split(b"\n"), 1) if raw and not raw.isspace()]
    parsed = {number: parse_line(raw) for number, raw in lines}
    assert len(parsed) == case.requests
    refused = {number for number, line in parsed.items() if isinstance(line, Rejection)}
    assert refused == case.numbers_refused
    for number, line in parsed.items():
        if isinstance(line, Rejection):
            (told,) = [error for error in case.errors if error.startswith(f"Error on line {number}: ")]
            assert line.message in told
            assert line.message.isprintable(), "one error is one line, whatever is in the file"
            assert re.search(r"\bcolumn \d+: |must be an object", line.message)


@every_case
def test_a_line_says_the_same_however_deep_the_stack_is(case: Case):
    """A recursion limit would be met sooner in one place than in another."""

    def deeper(frames: int, raw: bytes) -> Line | Rejection:
        return parse_line(raw) if frames == 0 else deeper(frames - 1, raw)

    for raw in case.path.read_bytes().split(b"\n"):
        assert deeper(400, raw) == parse_line(raw)


# The whole file ----------------------------------------------------------------------------------------


@offline_cases
def test_validate_tells_exactly_this(
    case: Case, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["halfrate", "validate", str(case.path), "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = json.loads(capfd.readouterr().out)
    assert told["errors"] == list(case.errors)
    assert told["requests"] == case.requests
    assert told["requests"] - told["bad"] - told["willFail"] == case.answered
    assert ended.value.code == (1 if case.errors else 0)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    config = Config(data_dir=str(tmp_path / "data"), models=MODELS)
    async with open_app(config, make_engine=lambda _: ScriptedEngine()) as app:
        yield app


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    asgi = asgi_of(app)
    transport = httpx.ASGITransport(asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def created(client: httpx.AsyncClient, path: Path, **headers: str) -> httpx.Response:
    uploaded = await client.post("/upload/v1/files", headers=UPLOAD, content=path.read_bytes())
    assert uploaded.status_code == 200, uploaded.text
    body = {"batch": {"inputConfig": {"fileName": uploaded.json()["file"]["name"]}}}
    return await client.post("/v1/models/scripted:batchGenerateContent", json=body, headers=headers)


async def test_a_job_of_a_bad_file_is_refused_with_exactly_this(client: httpx.AsyncClient):
    for case in CASES:
        reply = await created(client, case.path)
        if case.errors:
            assert (reply.status_code, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
            assert reply.json()["error"]["message"].split("\n") == list(case.errors), case.name
        else:
            assert reply.status_code == 200, case.name


async def test_a_job_that_keeps_going_answers_the_other_lines(client: httpx.AsyncClient):
    jobs = {}
    for case in CASES:
        reply = await created(client, case.path, **{"X-Halfrate-On-Invalid": "skip"})
        if case.requests == 0:
            assert reply.status_code == 400, case.name
        else:
            jobs[case] = reply.json()["name"]
    for case, name in jobs.items():
        async with asyncio.timeout(60):
            while not (shown := (await client.get(f"/v1/{name}")).json()).get("done"):
                await asyncio.sleep(0.02)
        output = await client.get(f"/v1/{shown['response']['responsesFile']}:download")
        check_results(case, output.content)


@offline_cases
async def test_a_run_that_keeps_going_answers_the_other_lines(case: Case, tmp_path: Path):
    def make_engine(_: ModelConfig) -> ScriptedEngine:
        return ScriptedEngine()

    output = tmp_path / "results.jsonl"
    config = Config(models=MODELS)
    if case.errors:
        with pytest.raises(InvalidArgument) as refusal:
            await run_file(config, case.path, output, model="scripted", make_engine=make_engine)
        assert str(refusal.value).split("\n") == list(case.errors)
    await run_file(config, case.path, output, model="scripted", keep_going=True, make_engine=make_engine)
    check_results(case, output.read_bytes())


def check_results(case: Case, output: bytes) -> None:
    """One Result for each line, in order: an error where the line is bad, and with its number."""
    # Split as readers in text mode do: a carriage return within a line would make two of it.
    results = [json.loads(line) for line in re.split(rb"\r\n|\r|\n", output.removesuffix(b"\n"))]
    assert len(results) == case.requests, case.name
    assert sum("response" in result for result in results) == case.answered, case.name
    failed = [result["error"]["message"] for result in results if "error" in result]
    numbers = {error.split(":")[0] for error in case.errors}
    assert {m.split(":")[0] for m in failed if m.startswith("Error on line ")} == numbers, case.name


# What is too large to keep -----------------------------------------------------------------------------

GOOD = b'{"key": "a", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}\n'
HUGE_BYTES = 64 * MEBIBYTE
SLACK_BYTES = 24 * MEBIBYTE
"""What a bad file may take more than a good one of one line: less than half of its longest line."""


def one_line(path: Path, *, newline: bytes) -> None:
    with path.open("wb") as file:
        file.write(GOOD)
        file.write(b'{"key": "b", "request": {"contents": [{"parts": [{"text": "')
        for _ in range(HUGE_BYTES // MEBIBYTE):
            file.write(b"x" * MEBIBYTE)
        file.write(b'"}]}]}}' + newline)


def bad_lines(path: Path) -> None:
    with path.open("wb") as file:
        for number in range(1_000_000):
            file.write(b'{"key": "%d", "request": }\n' % number)


def keys_far_apart(path: Path) -> None:
    with path.open("wb") as file:
        for number in range(300_000):
            file.write(b'{"key": "%d"}\n' % (number % 299_999))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Measured]:
    """Do with a good file what is done with the bad ones."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "good.jsonl").write_bytes(GOOD)
    done: dict[str, Measured] = {}

    def do(what: str) -> Measured:
        paths = (folder / "good.jsonl", *([folder / "results.jsonl"] if what == "run" else []))
        return done.setdefault(what, measured(what, *paths))

    return do


@pytest.mark.parametrize("newline", [b"\n", b""], ids=["ended", "not ended"])
def test_a_line_of_64_megabytes_is_refused_without_being_held(newline: bytes, tmp_path: Path, good):
    path = tmp_path / "huge.jsonl"
    one_line(path, newline=newline)
    told = measured("validate", path)
    (error,) = told.told
    assert error.startswith(
        "Error on line 2: the line has 67,108,930 bytes, and at most 4,194,304 are allowed"
    )
    assert told.peak_bytes < good("validate").peak_bytes + SLACK_BYTES
    ran = measured("run", path, tmp_path / "results.jsonl")
    assert ran.told == ["1 answered, 1 failed"]
    assert ran.peak_bytes < good("run").peak_bytes + SLACK_BYTES
    failed = json.loads((tmp_path / "results.jsonl").read_bytes().splitlines()[1])
    assert "67,108,930 bytes" in failed["error"]["message"]


def test_a_million_bad_lines_are_counted_and_a_thousand_told(tmp_path: Path, good):
    path = tmp_path / "bad.jsonl"
    bad_lines(path)
    told = measured("validate", path)
    assert len(told.told) == 1_001
    assert told.told[0].startswith("Error on line 1: invalid JSON, near column")
    assert told.told[-1] == "and 999,000 more bad lines"
    assert told.peak_bytes < good("validate").peak_bytes + SLACK_BYTES


def test_a_key_used_again_far_away_is_found(tmp_path: Path):
    path = tmp_path / "keys.jsonl"
    keys_far_apart(path)
    told = measured("validate", path).told
    assert told[0] == (
        "Error on line 300000: duplicate key '0', first used on line 1; "
        "give every line a key of its own, so that results can be told apart"
    )


def test_a_line_of_the_longest_length_is_served(tmp_path: Path):
    path = tmp_path / "long.jsonl"
    room = Limits().line_bytes - len(GOOD) + 1
    path.write_bytes(GOOD.replace(b"Hello", b"Hello" + b"x" * room))
    assert measured("run", path, tmp_path / "results.jsonl").told == ["1 answered, 0 failed"]
