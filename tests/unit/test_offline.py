"""A file answered without a server."""

import asyncio
import json

import pytest

from halfrate.config import Config, DispatchConfig, ModelConfig
from halfrate.domain.errors import ConfigError, EngineBroken, InvalidArgument
from halfrate.engines.scripted import ScriptedEngine
from halfrate.offline import run_file, state_directory
from tests.fakes import FakeClock, line, text_of

REQUESTS = 60
CONFIG = Config(
    models={"pocket-1": ModelConfig(path="pocket-1.gguf")}, dispatch=DispatchConfig(shard_requests=7)
)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(line(f"say {n}", f"k{n}") for n in range(REQUESTS)))
    return path


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.jsonl"


async def run(source, output, engine, **options):
    return await run_file(
        CONFIG, source, output, model="pocket-1", make_engine=lambda entry: engine, **options
    )


async def interrupt(source, output, engine, *, after, **options):
    """Run until some Requests are settled, then stop as Ctrl-C does."""
    enough = asyncio.Event()

    def on_progress(job, progress):
        if job.counts.succeeded >= after:
            enough.set()

    running = asyncio.create_task(run(source, output, engine, on_progress=on_progress, **options))
    await enough.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def answers(output):
    return [json.loads(text) for text in output.read_text().splitlines()]


async def test_every_line_is_answered_and_nothing_else_is_left(source, output):
    await run(source, output, ScriptedEngine())
    assert [text_of(answer) for answer in answers(output)] == [f"say {n}" for n in range(REQUESTS)]
    assert {path.name for path in output.parent.iterdir()} == {"in.jsonl", "out.jsonl"}


async def test_an_interrupted_run_goes_on_where_it_was_however_long_after(source, output):
    clock = FakeClock()
    slow = ScriptedEngine(lanes=2, delay_seconds=0.01)
    await interrupt(source, output, slow, after=5, clock=clock)
    assert not output.exists()
    clock.advance(seconds=90 * 86_400)
    quick = ScriptedEngine()
    await run(source, output, quick, clock=clock)
    assert len(answers(output)) == REQUESTS
    assert quick.calls == REQUESTS - len(slow.answered)


async def test_the_answers_of_another_run_are_not_lost_by_a_slip(source, output, tmp_path):
    await interrupt(source, output, ScriptedEngine(lanes=2, delay_seconds=0.01), after=5)
    other = tmp_path / "other.jsonl"
    other.write_bytes(line("something else"))
    with pytest.raises(ConfigError, match=r"unfinished run of another input or model \(in.jsonl, pocket-1\)"):
        await run(other, output, ScriptedEngine())
    engine = ScriptedEngine()
    await run(source, output, engine)
    assert engine.calls < REQUESTS


async def test_a_refused_input_leaves_nothing_behind(source, output):
    source.write_text("nonsense\n")
    with pytest.raises(InvalidArgument, match="line 1"):
        await run(source, output, ScriptedEngine())
    assert not state_directory(output).exists()


async def test_a_model_that_cannot_be_loaded_is_told_at_once_and_can_be_mended(source, output):
    with pytest.raises(EngineBroken, match="no such model"):
        await run(source, output, ScriptedEngine(broken="no such model"))
    source.write_bytes(line("something else"))
    await run(source, output, ScriptedEngine())
    assert len(answers(output)) == 1, "where nothing was answered yet, nothing can be lost"


@pytest.mark.parametrize("bad", ["missing/out.jsonl", "."])
async def test_an_output_that_cannot_be_written_is_told_before_anything_runs(source, tmp_path, bad):
    with pytest.raises(ConfigError):
        await run(source, tmp_path / bad, ScriptedEngine())
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


async def test_an_input_that_is_not_there_is_named(tmp_path, output):
    with pytest.raises(ConfigError, match=r"nowhere\.jsonl cannot be read"):
        await run(tmp_path / "nowhere.jsonl", output, ScriptedEngine())
