"""The embedded engine with its child: what only it promises."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from halfrate.domain.errors import EngineBroken, InvalidArgument
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.engines.api import EngineState
from halfrate.engines.embedded import EmbeddedEngine, gguf
from halfrate.engines.embedded.process import Child
from halfrate.engines.embedded.protocol import Load
from halfrate.engines.embedded.settings import EmbeddedSettings
from tests.engines import QUICK, alive, ask, eventually, real_model, toy_model
from tests.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[EmbeddedEngine]:
    """One for all the tests of answers: none of them harms it, which is part of what they test."""
    async with EmbeddedEngine(real_model(), settings=QUICK) as engine:
        await engine.ready()
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def toy(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """An engine whose answers are long, and mean nothing."""
    async with EmbeddedEngine(toy_model(tmp_path), settings=QUICK) as engine:
        await engine.ready()
        yield engine


async def answered(engine: EmbeddedEngine, request: Request) -> Answered:
    outcome = await engine.answer(request)
    assert isinstance(outcome, Answered), outcome
    return outcome


# --- answers


async def test_an_answer_stops_before_its_stop_string(engine: EmbeddedEngine) -> None:
    request = ask("Tell me about the sea.", max_output_tokens=40)
    whole = await answered(engine, request)
    middle = len(whole.text) // 2
    stop = whole.text[middle : middle + 3]
    cut = await answered(engine, ask("Tell me about the sea.", max_output_tokens=40, stop=(stop,)))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish is Finish.STOP
    assert cut.usage.output_tokens <= whole.usage.output_tokens


async def test_an_answer_is_as_long_as_it_may_be(engine: EmbeddedEngine) -> None:
    for most in (1, 2, 5):
        answer = await answered(engine, ask("Tell me about the sea.", max_output_tokens=most))
        assert answer.usage.output_tokens <= most
        if answer.finish is Finish.LENGTH:
            assert answer.usage.output_tokens == most


async def test_an_answer_follows_its_schema(engine: EmbeddedEngine) -> None:
    """Complete and valid whenever the model was not cut off."""
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "sure": {"type": "boolean"}},
        "required": ["mood", "sure"],
        "additionalProperties": False,
    }
    requests = [
        ask(f"How was day {n}?", json_schema=json.dumps(schema), max_output_tokens=120) for n in range(8)
    ]
    answers = await asyncio.gather(*(answered(engine, request) for request in requests))
    complete = [json.loads(answer.text) for answer in answers if answer.finish is Finish.STOP]
    assert complete
    for value in complete:
        assert set(value) == {"mood", "sure"}
        assert value["mood"] in {"good", "bad"}
        assert isinstance(value["sure"], bool)


async def test_a_seed_repeats_its_sample_alone_and_in_company(engine: EmbeddedEngine) -> None:
    """Each Request has a generator of its own."""
    request = ask("Tell me about the sea.", temperature=1.0, seed=11, max_output_tokens=24)
    alone = await answered(engine, request)
    others = [
        ask(f"Tell me about hill {n}.", temperature=1.2, seed=n, max_output_tokens=24) for n in range(7)
    ]
    beside = [asyncio.create_task(engine.answer(other)) for other in others]
    assert (await answered(engine, request)).text == alone.text
    await asyncio.gather(*beside)


async def test_without_a_seed_samples_differ(engine: EmbeddedEngine) -> None:
    """The pipeline seeds every Request with 0 unless told otherwise."""
    request = ask("Tell me about the sea.", temperature=2.0, max_output_tokens=24)
    answers = await asyncio.gather(*(answered(engine, request) for _ in range(6)))
    assert len({answer.text for answer in answers}) > 1


async def test_settings_of_sampling_are_accepted(engine: EmbeddedEngine) -> None:
    """Also at the ends of their ranges."""
    for sampling in (
        Sampling(temperature=0.0, top_p=0.0, top_k=1, seed=-5, max_output_tokens=4),
        Sampling(temperature=1e-9, top_p=1.0, top_k=10**6, seed=2**31, max_output_tokens=4),
        Sampling(
            temperature=2.0, top_p=0.0, presence_penalty=2.0, frequency_penalty=-2.0, max_output_tokens=4
        ),
    ):
        await answered(engine, Request((Message(Role.USER, "Hello."),), sampling))


async def test_a_conversation_is_read_in_turns(engine: EmbeddedEngine) -> None:
    """Each turn adds to the prompt."""
    turns = [
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "My name is Ada."),
        Message(Role.MODEL, "Hello, Ada."),
        Message(Role.USER, "What is my name?"),
    ]
    counts = [await engine.count_tokens(Request(tuple(turns[:n]))) for n in (2, 4)]
    assert 0 < counts[0] < counts[1]
    answer = await answered(engine, Request(tuple(turns), Sampling(max_output_tokens=8)))
    assert answer.usage.input_tokens == counts[1]


async def test_siblings_take_their_prefix_from_the_cache(engine: EmbeddedEngine) -> None:
    """They arrive together; one leads, and the others get what it computed."""
    system = "You sort letters into heaps. " * 12
    requests = [ask(f"Letter {n}.", system=system, max_output_tokens=2) for n in range(12)]
    answers = await asyncio.gather(*(answered(engine, request) for request in requests))
    cached = sorted(answer.usage.cached_tokens for answer in answers)
    assert cached[0] == 0
    assert cached[1] == cached[-1] >= 64


async def test_characters_of_many_bytes_come_whole(engine: EmbeddedEngine) -> None:
    answers = await asyncio.gather(
        *(
            answered(engine, ask(f"日本語 🎉 {n}", temperature=1.5, seed=n, max_output_tokens=n))
            for n in range(1, 12)
        )
    )
    for answer in answers:
        answer.text.encode()
        if answer.finish is Finish.LENGTH:
            assert not answer.text.endswith("\ufffd")


async def test_candidates_of_a_seed_differ_and_come_again(engine: EmbeddedEngine) -> None:
    """The first is what the seed gives alone."""
    sampling = {"temperature": 2.0, "seed": 3, "max_output_tokens": 16}
    several = ask("Tell me about the sea. " * 20, candidates=4, **sampling)
    first, again = await answered(engine, several), await answered(engine, several)
    assert first.candidates == again.candidates
    assert len({candidate.text for candidate in first.candidates}) > 1
    alone = await answered(engine, ask("Tell me about the sea. " * 20, **sampling))
    assert alone.candidates[0] == first.candidates[0]


async def test_each_token_has_its_log_probability(engine: EmbeddedEngine) -> None:
    """Those of the answer, and not of what ended it; the likeliest is not less likely than another."""
    greedy = await answered(engine, ask("Tell me about the sea.", max_output_tokens=12, logprobs=0))
    (candidate,) = greedy.candidates
    assert "".join(step.token for step in candidate.logprobs) == candidate.text
    assert all(step.logprob <= 0 and step.top == () for step in candidate.logprobs)
    assert any(step.logprob < 0 for step in candidate.logprobs)
    stop = candidate.logprobs[5].token
    request = ask("Tell me about the sea.", max_output_tokens=12, logprobs=0, stop=(stop,))
    (cut,) = (await answered(engine, request)).candidates
    assert cut.logprobs == candidate.logprobs[: len(cut.logprobs)]
    assert "".join(step.token for step in cut.logprobs) == cut.text == candidate.text.split(stop)[0]
    assert len(cut.logprobs) < len(candidate.logprobs)
    (none,) = (await answered(engine, ask("Tell me about the sea.", max_output_tokens=2))).candidates
    assert none.logprobs == ()


async def test_only_the_token_chosen_is_told_of(engine: EmbeddedEngine) -> None:
    outcome = await engine.answer(ask("Hello.", logprobs=1))
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.UNSUPPORTED
    assert "only how likely the token was that it chose" in outcome.detail


# --- what cannot be answered


async def test_a_huge_prompt_is_refused_unsent(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight megabytes are not encoded, nor even sent to the child, to find out that they are too long."""
    request = ask("word " * 1_600_000)
    monkeypatch.setattr(Child, "send", lambda *message: pytest.fail("it was sent"))
    outcome = await engine.answer(request)
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.TOO_LONG
    assert "8000000 bytes" in outcome.detail
    with pytest.raises(InvalidArgument, match="8000000 bytes"):
        await engine.count_tokens(request)


async def test_odd_text_is_answered_or_refused_and_harms_nobody(engine: EmbeddedEngine) -> None:
    for text in ("\0", "", " ", "\ufeff", "<|im_end|>", "{{ 7 * 7 }}", "\u202e\u0301" * 50):
        outcome = await engine.answer(ask(text, max_output_tokens=2))
        assert isinstance(outcome, Answered) or outcome.cause is Cause.INVALID
    half = "half \ud800 a pair"
    for request in (
        ask(half),
        ask("Hi.", stop=(half,)),
        ask("Hi.", json_schema=half),
        ask("Hi.", seed=10**30),
    ):
        outcome = await engine.answer(request)
        assert isinstance(outcome, Failed)
        assert outcome.cause is Cause.INVALID
    await answered(engine, ask("Hi.", stop=("",), max_output_tokens=2))
    pid = engine.pid
    await answered(engine, ask("Still well?", max_output_tokens=2))
    assert engine.pid == pid


# --- models that cannot be loaded


async def trouble_with(model: Path | str) -> str:
    async with EmbeddedEngine(model, settings=QUICK) as engine, asyncio.timeout(60):
        with pytest.raises(EngineBroken) as raised:
            await engine.ready()
        assert engine.state is EngineState.BROKEN
        return str(raised.value)


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "gone.gguf") in await trouble_with(tmp_path / "gone.gguf")


async def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("This is a poem.")
    assert "is no GGUF model" in await trouble_with(path)


async def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    assert "holds no openvino_model.xml" in await trouble_with(tmp_path)


async def test_an_architecture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "falcon.gguf"
    gguf.write_toy(path)
    path.write_bytes(path.read_bytes().replace(b"llama", b"mamba"))
    trouble = await trouble_with(path)
    assert "'mamba'" in trouble
    assert "llama, qwen2, qwen3" in trouble


async def test_a_model_cut_short_is_named(tmp_path: Path) -> None:
    """A download that was interrupted; native code would read past the file's end."""
    path = toy_model(tmp_path)
    path.write_bytes(path.read_bytes()[:9000])
    assert "it is cut short" in await trouble_with(path)


async def test_a_model_that_native_code_dies_of_does_not_loop(tmp_path: Path) -> None:
    """The attempts to load are bounded, and the last one is told."""
    settings = replace(QUICK, load_seconds_max=0.01, load_attempts_max=2)
    async with EmbeddedEngine(toy_model(tmp_path), settings=settings) as engine, asyncio.timeout(60):
        with pytest.raises(EngineBroken, match=r"in 2 attempts.*did not finish loading"):
            await engine.ready()


async def test_a_damaged_model_is_said_to_be_one(tmp_path: Path) -> None:
    """What native code says is passed on, without the places in its sources it says it from."""
    path = toy_model(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_Q.weight"))
    trouble = await trouble_with(path)
    assert "cannot be loaded" in trouble
    assert ".cpp" not in trouble


# --- the child's life


async def test_a_silent_child_is_killed(tmp_path: Path) -> None:
    """It holds work, gives no sign of life, and someone waits."""
    settings = replace(QUICK, hang_seconds=0.3)
    async with EmbeddedEngine(toy_model(tmp_path), settings=settings) as engine, asyncio.timeout(30):
        await engine.ready()
        first = engine.pid
        os.kill(first or 0, signal.SIGSTOP)
        outcome = await engine.answer(ask("Anyone?", max_output_tokens=5))
        assert isinstance(outcome, Failed)
        assert outcome.cause is Cause.ENGINE_DIED
        assert "made no progress with the Requests it held in 0.3 s" in outcome.detail
        assert "models.NAME.hang_seconds" in outcome.detail
        await engine.ready()
        assert engine.pid != first


async def test_a_silent_child_without_work_is_left_alone(tmp_path: Path) -> None:
    settings = replace(QUICK, hang_seconds=0.1)
    async with EmbeddedEngine(toy_model(tmp_path), settings=settings) as engine:
        await engine.ready()
        pid = engine.pid
        await asyncio.sleep(0.5)
        assert engine.pid == pid
        await answered(engine, ask("Anyone?", max_output_tokens=5))


async def test_a_death_says_how_it_came(toy: EmbeddedEngine) -> None:
    os.kill(toy.pid or 0, signal.SIGSTOP)
    waiting = asyncio.create_task(toy.answer(ask("Anyone?")))
    await asyncio.sleep(0)
    os.kill(toy.pid or 0, signal.SIGSEGV)
    os.kill(toy.pid or 0, signal.SIGCONT)
    outcome = await waiting
    assert isinstance(outcome, Failed)
    assert "SIGSEGV" in outcome.detail


async def test_a_dead_child_says_when_it_is_started_again(tmp_path: Path, clock: FakeClock) -> None:
    settings = replace(QUICK, backoff_seconds=20)
    engine = EmbeddedEngine(toy_model(tmp_path), settings=settings, clock=clock, chance=lambda: 0.0)
    async with engine, asyncio.timeout(60):
        await engine.ready()
        os.kill(engine.pid or 0, signal.SIGKILL)
        await eventually(lambda: engine.trouble is not None and engine.trouble.attempt is not None)
        trouble = engine.trouble
        assert trouble is not None
        assert "SIGKILL" in trouble.what
        assert (trouble.again_at, trouble.attempt) == (clock.now() + 20, 1)
        clock.advance(seconds=20)
        await engine.ready()
        assert engine.trouble is None


async def test_a_cancelled_wait_is_told_to_the_child(toy: EmbeddedEngine) -> None:
    """An answer nobody waits for is not written to its end."""
    task = asyncio.create_task(toy.answer(ask("Go on.", max_output_tokens=4000)))
    await eventually(lambda: toy.beat is not None and toy.beat.running == 1)
    task.cancel()
    await eventually(lambda: toy.beat is not None and toy.beat.running == 0)
    assert toy.beat is not None
    assert toy.beat.steps < 4000


async def test_a_child_that_says_nonsense_is_killed() -> None:
    """Who breaks the protocol once cannot be followed any more."""
    async with Child.start(stop_seconds=5) as child:
        child._stdin.write(b"\xff" * 8)
        assert [message async for message in child.messages()] == []
        assert "BadFrame" in await child.last_words()


@pytest.mark.parametrize("when", ["loading", "working"])
async def test_the_child_ends_when_the_server_is_killed(tmp_path: Path, when: str) -> None:
    """``kill -9`` of the server leaves no process behind, whatever the child was doing."""
    program = f"""
import asyncio
from halfrate.engines.embedded import EmbeddedEngine
from tests.engines import QUICK, ask
async def main():
    async with EmbeddedEngine({str(toy_model(tmp_path))!r}, settings=QUICK) as engine:
        if {when!r} == "working":
            await engine.ready()
            asks = [asyncio.create_task(engine.answer(ask(str(n), max_output_tokens=900))) for n in range(50)]
            print(engine.pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert server.stdout is not None
    if when == "working":
        await server.stdout.readline()
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    await eventually(lambda: bool(children.read_text().split()))
    (child,) = map(int, children.read_text().split())
    server.kill()
    await server.wait()
    await eventually(lambda: not alive(child))


async def test_an_interrupt_from_the_keyboard_is_not_for_the_child(toy: EmbeddedEngine) -> None:
    """The server decides when the child ends, so that what is under way can be saved."""
    assert os.getpgid(toy.pid or 0) != os.getpgid(0)


async def test_nothing_is_reported_to_anyone(toy: EmbeddedEngine) -> None:
    """The child opens no socket: OpenVINO's statistics are off, and no model is fetched by path."""
    await answered(toy, ask("Hello.", max_output_tokens=3))
    links = [str(link.readlink()) for link in Path(f"/proc/{toy.pid}/fd").iterdir()]
    assert links
    assert not [link for link in links if link.startswith("socket:")]


async def test_telemetry_cannot_be_imported_in_the_child() -> None:
    """Importing OpenVINO would otherwise send an event."""
    program = (
        "import sys; from halfrate.engines.embedded import native; native.genai();"
        "loaded = [name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module];"
        "assert not loaded, loaded; import openvino.tools.ovc as ovc; print(ovc.telemetry.__module__)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert b"telemetry_stub" in said


async def test_leaving_before_the_child_was_started_leaves_nobody_waiting(tmp_path: Path) -> None:
    async with EmbeddedEngine(toy_model(tmp_path), settings=QUICK) as engine:
        pass
    async with asyncio.timeout(5):
        with pytest.raises(EngineBroken, match="stopped"):
            await engine.ready()
        assert isinstance(await engine.answer(ask("Anyone?")), Failed)


async def test_a_frame_for_a_dead_child_is_dropped() -> None:
    """Its askers learn of the death; writing to it raises nothing."""
    async with Child.start(stop_seconds=5) as child:
        child.kill("the test says so")
        await child.last_words()
        child.send(Load("model", EmbeddedSettings()))
