"""A whole Job against the engines it could have been sent to: same weights, same threads, same prompts.

The service's arm is everything: the file is uploaded, the Job created, and the clock stops when its output
is published. The others hold their prompts in memory and write nothing down:

* `llama`: `llama-server` of the xllamacpp wheel, prompt cache on, at the number of slots a search finds best;
* `raw`: OpenVINO GenAI's own `generate`, given the prompts in the file's order;
* `vllm`: vLLM's CPU build, `LLM.generate` with prefix caching, of the environment that `--vllm` names.

All are loaded and warm before anything is timed. They take turns, and those that do not are stopped. Every
round has prompts that no arm has seen. The model is of random weights and knows the answer to each (see
`benchmarks.peers.counting`), so all that every arm says is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import check, read_output, report, spread
from benchmarks.peers import limits
from benchmarks.peers.counting import WORDS, Shape, expected, text_of, tokens_of, write_folder, write_gguf
from benchmarks.peers.process import Peer, PeerFailed
from halfrate.app import App, open_app
from halfrate.config import Config, ModelConfig
from halfrate.engines.embedded import EmbeddedSettings
from halfrate.engines.embedded.engine import EmbeddedEngine
from halfrate.engines.embedded.native import physical_cores

ANSWERED_RIGHT_MIN = 0.995
BLOCKS = 2048
BLOCKS_FEW = 128
"""A cache for a fifth of the documents of `documents`."""

WORDS_MAX = len(WORDS) - 200  # no prompt ends so late that the words after it run out

Prompt = list[int]
Prompts = list[Prompt]


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts of one kind. ``least`` is by how much the service is to be faster than each other arm.

    ``slots`` are worth trying in `llama-server`: each of them computes a shared beginning for itself, so
    where there is one, few may be the best.
    """

    make: Callable[[random.Random, int], Prompts]
    requests: int
    output_tokens: int
    blocks: int
    least: dict[str, float]
    computed_tokens: Callable[[int], int]  # of the prompts of so many Requests, computing nothing twice
    slots: tuple[int, ...] = (8, 16, 32)


def distinct(chance: random.Random, count: int) -> Prompts:
    """Prompts that have nothing in common."""
    return [_words(chance, 128) for _ in range(count)]


def short(chance: random.Random, count: int) -> Prompts:
    """Short ones, for answers of a word or two."""
    return [_words(chance, 48) for _ in range(count)]


def shared(chance: random.Random, count: int) -> Prompts:
    """All begin with the same 1,024 tokens."""
    opening = _words(chance, 1024)
    return [opening + _words(chance, 32) for _ in range(count)]


QUESTIONS = 8
DOCUMENT, QUESTION = 640, 32


def documents(chance: random.Random, count: int) -> Prompts:
    """Some questions to each of many documents, in no order."""
    texts = [_words(chance, DOCUMENT) for _ in range(count // QUESTIONS)]
    prompts = [text + _words(chance, QUESTION) for text in texts for _ in range(QUESTIONS)]
    chance.shuffle(prompts)
    return prompts


WORKLOADS = {
    "distinct": Workload(
        distinct, 256, 64, BLOCKS, {"llama": 2.2, "vllm": 1.0, "raw": 0.97}, lambda count: 128 * count
    ),
    "short": Workload(short, 768, 2, BLOCKS, {"llama": 2.8, "vllm": 1.0}, lambda count: 48 * count),
    "shared": Workload(
        shared,
        192,
        16,
        BLOCKS,
        {"llama": 10.0, "vllm": 1.0},
        lambda count: 1024 + 32 * count,
        slots=(1, 2, 4, 8, 16),
    ),
    "documents": Workload(
        documents,
        256,
        4,
        BLOCKS_FEW,
        {"raw": 3.0},
        lambda count: count // QUESTIONS * DOCUMENT + count * QUESTION,
    ),
}
ARMS = ("service", "raw", "llama", "vllm")


class Arm:
    """Answers sets of prompts; ``answer`` returns seconds and answers as texts, or as tokens."""

    async def answer(self, prompts: Prompts, output_tokens: int) -> tuple[float, Sequence[object]]:
        """Answer all, in order."""
        raise NotImplementedError


class ServiceArm(Arm):
    """Uploads a file, makes a Job of it, and reads its output."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def answer(self, prompts: Prompts, output_tokens: int) -> tuple[float, Sequence[object]]:
        """Answer all. The clock runs from the first byte of the upload to the published output."""
        data = _input_file(prompts, output_tokens)
        began = time.perf_counter()
        upload = await self._app.uploads.begin(
            file_id=None, display_name="", mime_type="jsonl", declared_bytes=len(data)
        )
        await self._app.uploads.append(upload.id, offset=0, chunks=_arriving(data))
        file = await self._app.uploads.finish(upload.id)
        job = await self._app.jobs.create_from_file(
            model="counting", file_id=file.id, display_name="", priority=0
        )
        while not job.state.final:
            await asyncio.sleep(0.005)
            job = await self._app.jobs.get(job.id)
        seconds = time.perf_counter() - began
        output = await read_output(self._app, job)
        return seconds, [_text_in(line) for line in output.splitlines()]


class PeerArm(Arm):
    """Asks a peer's process, in its own manner of saying prompts."""

    def __init__(self, peer: Peer, say: Callable[[Prompt], object]) -> None:
        self._peer, self._say = peer, say

    async def answer(self, prompts: Prompts, output_tokens: int) -> tuple[float, Sequence[object]]:
        """Answer all. The clock is the peer's own."""
        said = [self._say(prompt) for prompt in prompts]
        answers = await asyncio.to_thread(self._peer.answer, said, output_tokens)
        return answers.seconds, answers.said


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the models are, and what all arms may use."""

    folder: Path
    shape: Shape
    threads: int
    vllm: str | None

    @property
    def gguf(self) -> Path:
        """The file for OpenVINO and llama.cpp: 8-bit weights, the best of both."""
        return self.folder / "counting.gguf"

    def write(self, arms: Sequence[str]) -> None:
        """Make the files that these arms need."""
        write_gguf(self.gguf, self.shape, "Q8_0")
        if "vllm" in arms:
            write_folder(self.folder / "counting", self.shape)


@asynccontextmanager
async def service(setting: Setting, blocks: int) -> AsyncIterator[Arm]:
    """Open an application over one engine, in a data directory of its own."""
    settings = EmbeddedSettings(threads=setting.threads, kv_blocks=blocks, keep_in=str(setting.folder))
    config = Config(
        data_dir=tempfile.mkdtemp(dir=setting.folder),
        models={"counting": ModelConfig(path=str(setting.gguf))},
    )
    async with open_app(
        config, make_engine=lambda entry: EmbeddedEngine(entry.path, settings=settings)
    ) as app:
        yield ServiceArm(app)


def peer(
    setting: Setting, stack: ExitStack, arm: str, *arguments: object, python: str = sys.executable
) -> Peer:
    """Start a peer's program, to be ended with ``stack``."""
    programs = {"raw": "raw_pipeline", "llama": "llama_server", "vllm": "vllm_offline"}
    command = [python, "-m", f"benchmarks.peers.{programs[arm]}", *map(str, arguments)]
    return stack.enter_context(Peer.start(command, log=setting.folder / f"{arm}.log"))


async def start(arm: str, setting: Setting, load: Workload, stack: AsyncExitStack) -> Arm | str:
    """Load an arm at its best settings for a Workload, or say why there is none."""
    processes = stack.enter_context(ExitStack())
    try:
        if arm == "service":
            return await stack.enter_async_context(service(setting, load.blocks))
        if arm == "raw":
            started = peer(setting, processes, arm, setting.gguf, setting.threads, load.blocks)
            return PeerArm(started, text_of)
        if arm == "llama":
            slots = await best_slots(setting, load)
            return PeerArm(peer(setting, processes, arm, setting.gguf, setting.threads, slots), text_of)
        if setting.vllm is None:
            return "no environment with vLLM was named (--vllm)"
        folder = setting.folder / "counting"
        started = peer(setting, processes, arm, folder, setting.threads, 1, python=setting.vllm)
        return PeerArm(started, tokens_of)
    except PeerFailed as failure:
        return str(failure)


async def best_slots(setting: Setting, load: Workload) -> int:
    """Search the number of slots with which `llama-server` answers fastest."""
    rates: dict[int, float] = {}
    for number, slots in enumerate(load.slots):
        count = max(2 * slots, load.requests // 8)
        with ExitStack() as stack:
            tried = PeerArm(peer(setting, stack, "llama", setting.gguf, setting.threads, slots), text_of)
            prompts = load.make(random.Random(1_000 + number), count)
            await tried.answer(prompts[:2], load.output_tokens)
            seconds, _ = await tried.answer(prompts, load.output_tokens)
        rates[slots] = count / seconds
        if rates[slots] < max(rates.values()) * 0.9:
            break  # more of them only wait for each other
    print(f"llama-server: requests/s by slots: {_rounded(rates)}", file=sys.stderr)
    return max(rates, key=lambda slots: rates[slots])


async def compare(
    name: str, setting: Setting, arms: Sequence[str], rounds: int, share: float, limit: limits.Limits
) -> bool:
    """Measure one Workload in all arms, report it, and say whether its claims hold."""
    load = WORKLOADS[name]
    count = max(32, int(load.requests * share) // QUESTIONS * QUESTIONS)
    chosen = [arm for arm in arms if arm == "service" or arm in load.least]
    rates: dict[str, list[float]] = {}
    absent: dict[str, str] = {}
    right: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        started: dict[str, Arm] = {}
        for arm in chosen:
            begun = await start(arm, setting, load, stack)
            if isinstance(begun, str):
                absent[arm] = begun
            else:
                started[arm] = begun
        for warm in started.values():  # the kernels of their sizes, and everything else that comes once
            await warm.answer(load.make(random.Random(99), count // 2), load.output_tokens)
        for number in range(rounds):
            prompts = load.make(random.Random(number), count)
            for arm in _order(list(started), number):
                seconds, said = await started[arm].answer(prompts, load.output_tokens)
                rates.setdefault(arm, []).append(count / seconds)
                right.setdefault(arm, []).append(_right(said, prompts, load.output_tokens))
    figures = _figures(load, count, rates, setting.shape, limit)
    checked = {arm: min(values) for arm, values in right.items()}
    report(f"engine.{name}", {**figures, "answers_right": checked, "absent": absent})
    return _claims(name, load, figures["times_faster"], checked, absent)  # type: ignore[arg-type]


def _figures(
    load: Workload, count: int, rates: dict[str, list[float]], shape: Shape, limit: limits.Limits
) -> dict[str, object]:
    mine = rates["service"]
    least_seconds = limit.seconds(
        shape,
        prompt_tokens=load.computed_tokens(count),
        output_tokens=count * load.output_tokens,
        sequences=64,
    )
    times = {
        arm: round(sum(1 / rate for rate in theirs) / sum(1 / rate for rate in mine), 3)
        for arm, theirs in rates.items()
        if arm != "service"
    }
    return {
        "requests": count,
        "requests_per_second": {arm: spread(values) for arm, values in rates.items()},
        "times_faster": times,
        "fraction_of_the_machine": round(max(mine) * least_seconds / count, 3),
        "machine_gflops": round(limit.flops / 1e9),
        "machine_gigabytes_per_second": round(limit.bytes_per_second / 1e9, 1),
    }


def _claims(
    name: str, load: Workload, times: dict[str, float], right: dict[str, float], absent: dict[str, str]
) -> bool:
    holds = [
        check(f"{name}: {arm} answers right", share >= ANSWERED_RIGHT_MIN) for arm, share in right.items()
    ]
    for arm, reason in absent.items():
        print(f"ABSENT: {name}: {arm}: {reason}", file=sys.stderr)
    for arm, faster in times.items():
        least = load.least[arm]
        holds.append(check(f"{name}: at least {least} times as fast as {arm} (is {faster})", faster >= least))
    return all(holds)


def _order(arms: list[str], number: int) -> list[str]:
    return arms if number % 2 == 0 else arms[::-1]


def _right(said: Sequence[object], prompts: Prompts, output_tokens: int) -> float:
    """The share of answers that are the one there is."""
    assert len(said) == len(prompts)
    pairs = zip(said, prompts, strict=True)
    return sum(_is_right(each, prompt, output_tokens) for each, prompt in pairs) / len(prompts)


def _is_right(said: object, prompt: Prompt, output_tokens: int) -> bool:
    if isinstance(said, list):
        return said == [tokens_of([0, prompt[-1] + step])[1] for step in range(1, output_tokens + 1)]
    return isinstance(said, str) and said.strip() == expected(prompt, output_tokens).strip()


def _input_file(prompts: Prompts, output_tokens: int) -> bytes:
    config = {"temperature": 0, "maxOutputTokens": output_tokens}
    lines = (
        {"request": {"contents": [{"parts": [{"text": text_of(prompt)}]}], "generationConfig": config}}
        for prompt in prompts
    )
    return "\n".join(map(json.dumps, lines)).encode()


async def _arriving(data: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), 1 << 20):
        yield data[begin : begin + (1 << 20)]


def _text_in(line: bytes) -> str:
    response = json.loads(line).get("response")
    return str(response["candidates"][0]["content"]["parts"][0]["text"]) if response else line.decode()


def _words(chance: random.Random, count: int) -> Prompt:
    return [chance.randrange(WORDS_MAX) for _ in range(count)]


def _rounded(rates: dict[int, float]) -> dict[int, float]:
    return {key: round(rate, 1) for key, rate in rates.items()}


async def measure(options: argparse.Namespace) -> int:
    """Measure what was chosen. 0 if all claims hold."""
    share, rounds = (0.25, 1) if options.quick else (1.0, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(Path(folder), Shape(), options.threads or physical_cores(), options.vllm)
        setting.write(options.arms)
        limit = limits.measure(setting.threads)
        holds = [
            await compare(name, setting, ["service", *options.arms], rounds, share, limit)
            for name in options.workloads
        ]
    return 0 if all(holds) else 1


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        named = text.split(",")
        if unknown := set(named) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return named

    return parse


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a quarter of the prompts")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workloads", type=_names(tuple(WORKLOADS)), default=list(WORKLOADS))
    parser.add_argument("--arms", type=_names(ARMS[1:]), default=list(ARMS[1:]))
    parser.add_argument(
        "--vllm",
        metavar="PYTHON",
        default=os.environ.get("HALFRATE_BENCH_VLLM"),
        help="the interpreter of an environment with vLLM (or the variable HALFRATE_BENCH_VLLM)",
    )
    return asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
