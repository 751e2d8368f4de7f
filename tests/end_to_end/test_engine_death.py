"""A real child process that really dies, again and again, in the middle of a Job."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from halfrate.app import App, open_app
from halfrate.clock import WallClock
from halfrate.config import Config, DispatchConfig, ModelConfig
from halfrate.domain.job import JobState
from halfrate.engines.embedded import EmbeddedEngine, EmbeddedSettings
from tests.engines import QUICK
from tests.fakes import line, results, submit, until
from tests.support.processes import ROOT

ATTEMPTS = 3
MINUTES = 120.0
HANG_SECONDS = 2.0


class Noting(WallClock):
    """A clock that notes how long was waited before each restart, and does not wait so long."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Noting:
    return Noting()


@asynccontextmanager
async def running(folder: Path, toy: Path, clock: Noting, **settings: float) -> AsyncIterator[App]:
    """The whole application, on an engine whose child comes to grief over certain words."""
    chosen: EmbeddedSettings = replace(QUICK, backoff_seconds=1.0, **settings)  # type: ignore[arg-type]
    engine = EmbeddedEngine(
        toy, settings=chosen, clock=clock, chance=lambda: 0.0, child_module="tests.support.deadly_child"
    )
    config = Config(
        data_dir=str(folder / "data"),
        models={"toy": ModelConfig(path=str(toy))},
        dispatch=DispatchConfig(attempts=ATTEMPTS, backoff_seconds=0.01, shard_requests=16),
    )
    async with open_app(config, make_engine=lambda _: engine) as app:
        yield app


@pytest.fixture(autouse=True)
def child_finds_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is started so that it does not look for modules where it happens to run."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))


async def run_job(app: App, texts: list[str]) -> list[str | None]:
    """Run a Job of these prompts to its end, and return the error of each, None where it was answered."""
    job = await submit(
        app, *(line(text, f"k{n}", maxOutputTokens=4) for n, text in enumerate(texts)), model="toy"
    )

    async def final() -> bool:
        return (await app.jobs.get(job.id)).state.final

    await until(final, seconds=MINUTES)
    job = await app.jobs.get(job.id)
    assert job.state is JobState.SUCCEEDED
    lines = await results(app, job)
    assert [entry["key"] for entry in lines] == [f"k{n}" for n in range(len(texts))]
    assert await app.store.check_integrity() == []
    return [entry["error"]["message"] if "error" in entry else None for entry in lines]


def among_others(*deadly: str) -> list[str]:
    """Prompts of which some are deadly."""
    texts = [f"Prompt number {n}" for n in range(40)]
    for n, word in enumerate(deadly):
        texts.insert(7 * (n + 1), f"{word} is what this prompt brings")
    return texts


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "KILL",
            "signal SIGKILL, perhaps sent by the kernel because memory ran out; if `dmesg` says so, lower",
        ),
        ("ABORT", "The engine's process ended: signal SIGABRT."),
        ("MEMORY", "it ran out of memory; lower models.NAME.kv_cache_gigabytes, or use a smaller model."),
        ("BAD_ALLOC", "it ran out of memory; lower models.NAME.kv_cache_gigabytes"),
        ("HANG", "it made no progress with the Requests it held in 2 s, and was killed."),
        ("SPIN", "it made no progress with the Requests it held in 2 s, and was killed."),
    ],
    ids=lambda value: value if value.isupper() else "",
)
async def test_a_prompt_the_process_ends_of_gets_an_error_and_all_others_their_answers(
    word: str, told: str, toy: Path, tmp_path: Path, clock: Noting
) -> None:
    """Once in company, then alone until its Attempts run out; then it says what happened and what to do."""
    texts = among_others(word)
    async with running(tmp_path, toy, clock, hang_seconds=HANG_SECONDS) as app:
        errors = await run_job(app, texts)
    assert [text for text, error in zip(texts, errors, strict=True) if error] == [texts[7]]
    error = errors[7]
    assert error is not None
    assert error.startswith(
        f"The engine's process ended {ATTEMPTS} times while it worked on this request alone, so the request "
        "is not tried again: change it, or leave it out. The last time: "
    )
    assert told in error
    # Each start waits twice as long as the one before it. Where the machine is slow, a hang may be seen in
    # what is none: then there are more of them.
    assert clock.waits[: ATTEMPTS + 1] == [1.0, 2.0, 4.0, 8.0]
    if word not in ("HANG", "SPIN"):
        assert len(clock.waits) == ATTEMPTS + 1


async def test_several_culprits_are_all_found(toy: Path, tmp_path: Path, clock: Noting) -> None:
    """Two that kill and one that runs out of memory, in different Shards of one Job."""
    texts = among_others("KILL", "MEMORY", "ABORT")
    async with running(tmp_path, toy, clock) as app:
        errors = await run_job(app, texts)
    culprits = {text.split()[0] for text, error in zip(texts, errors, strict=True) if error}
    assert culprits == {"KILL", "MEMORY", "ABORT"}
