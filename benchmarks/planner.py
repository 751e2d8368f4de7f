"""From bytes on the disk to a plan: indexed, put in order and cut into Shards, at growing numbers of lines.

The other arm is how serving engines know prefixes: a radix tree in Python, as SGLang keeps one, into which
prompts are inserted, and which is then walked depth-first. It is given characters, as the order is exact to
the character. A million prompts would take 20 GB there, so it gets a hundred thousand, and its time for a
line is compared, which grows with the tree. How it does with tokens is told too: of four bytes each, with
tokenising left out.

Checked with every file: the order is the depth-first walk of the trie of its prompts. In no order of them can
neighbours have more characters in common than the trie has shared, and in that walk they have all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import MemoryWatch, check, report, spread
from halfrate.cli.loop import run_async
from halfrate.config import Config
from halfrate.domain.line import Line
from halfrate.domain.request import Request
from halfrate.ingest.inputs import Inputs
from halfrate.ingest.workers import ProcessWorkers
from halfrate.store.blob.local import LocalBlobStore
from halfrate.wire.lines import parse_lines

LINES = (10_000, 100_000, 1_000_000)
RADIX_LINES_MAX = 100_000

SECONDS_MAX = 12.0
MEGABYTES_MAX = 256.0
TIMES_RADIX = 20.0
SLOPE_MAX = 1.1

_QUESTIONS = 25  # about each document
_DOCUMENT_CHARS = 1_365
_QUESTION_CHARS = 500
_READ_LINES = 1_000
_BLOB = "inputs/questions"
_WARM_UP = ("inputs/one", "inputs/other")


# The workload -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Workload:
    """Questions about documents, in no order: each document is shared by some prompts, all else differs."""

    lines: int

    def write(self, path: Path) -> None:
        """Write the file."""
        chance = random.Random(self.lines)
        words = [f"{chance.getrandbits(chance.choice([8, 16, 24, 32])):x}" for _ in range(5_000)]
        pool = " ".join(chance.choice(words) + ("" if n % 30 else ".\n") for n in range(400_000))
        numbers = list(range(self.lines))
        chance.shuffle(numbers)
        with path.open("wb", buffering=1 << 20) as file:
            for number in numbers:
                document = self._head(number) + _piece(pool, number // _QUESTIONS, _DOCUMENT_CHARS)
                question = _tail(number) + _piece(pool, number, _QUESTION_CHARS)
                request = {"contents": [{"parts": [{"text": f"{document}\n{question}"}]}]}
                file.write(msgspec.json.encode({"key": f"question-{number}", "request": request}) + b"\n")
            file.flush()
            os.fsync(file.fileno())  # or the disk writes it while others are measured

    def shared_chars(self) -> int:
        """Return how many characters the trie of all prompts has shared: what a prompt begins with like an
        earlier one, whatever the order.

        Documents and questions begin with numbers of one length, no two alike.
        """
        numbers = range(self.lines)
        documents = [self._head(number) for number in numbers[::_QUESTIONS]]
        shared = _shared_of(documents)
        for first in numbers[::_QUESTIONS]:
            asked = numbers[first : first + _QUESTIONS]
            # A document and the newline after it.
            shared += (len(asked) - 1) * (len(documents[0]) + _DOCUMENT_CHARS + 1)
            shared += _shared_of([_tail(number) for number in asked])
        return shared

    def _head(self, number: int) -> str:
        return f"{number // _QUESTIONS:06} "


def _tail(number: int) -> str:
    return f"{number:07} "


def _piece(pool: str, number: int, chars: int) -> str:
    start = number * 7_919 % (len(pool) - chars)
    return pool[start : start + chars]


def _shared_of(different: Sequence[str]) -> int:
    """Return the characters shared in the trie of texts of one length."""
    return sum(
        len(different) - len({text[:depth] for text in different}) for depth in range(1, len(different[0]))
    )


# The planner ------------------------------------------------------------------------------------------


async def plan(folder: Path) -> dict[str, float]:
    """Index an input that lies in ``folder``, and cut its order, as the server does."""
    config = Config().dispatch
    async with ProcessWorkers(folder) as workers:
        inputs = _inputs(folder, workers)
        # A server has its workers running: to start them is no part of what grows with the lines.
        await asyncio.gather(*map(inputs.read_summary, _WARM_UP))
        began, used = time.perf_counter(), time.process_time()
        summary = await inputs.read_summary(_BLOB)
        indexed = time.perf_counter()
        (shards,) = await inputs.cut(
            _BLOB,
            [summary.requests],
            requests_max=config.shard_requests,
            bytes_max=config.shard_bytes,
        )
        told = {
            "shards": len(shards),
            "seconds": time.perf_counter() - began,
            "index_seconds": indexed - began,
            "server_cpu_seconds": time.process_time() - used,
        }
    # Of workers that have ended, with their start.
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told | {"workers_cpu_seconds": ended.ru_utime + ended.ru_stime}


def _inputs(folder: Path, workers: ProcessWorkers) -> Inputs:
    blobs, spill = LocalBlobStore(folder), folder.parent / "spill"
    return Inputs(blobs, workers, parse=parse_lines, spill=spill, limits=Config().limits)


def planned(folder: Path) -> dict[str, float]:
    """Plan in a process of its own, and return what it told, and the most memory it had with its workers."""
    command = [sys.executable, "-m", "benchmarks.planner", "--plan", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, MemoryWatch(process.pid) as watch:
        assert process.stdout is not None
        told: dict[str, float] = json.loads(process.stdout.read())
    return told | {"peak_rss_mb": watch.peak_megabytes}


def in_order(folder: Path, lines: int) -> Iterator[str]:
    """Yield the prompts in the order to run them."""
    # Of these workers none is started: nothing is asked of them.
    with _inputs(folder, ProcessWorkers(folder)).lines(_BLOB) as indexed:
        for first in range(0, lines, _READ_LINES):
            for _, line in indexed.in_run_order(first, min(_READ_LINES, lines - first)):
                assert isinstance(line, Line)
                yield _prompt(line)


def _prompt(line: Line) -> str:
    request = line.request
    assert isinstance(request, Request)
    return request.messages[0].text


def walked_chars(prompts: Iterator[str]) -> tuple[int, int]:
    """Return how many characters each prompt has in common with the one before, together; and of all."""
    common = chars = 0
    last = ""
    for prompt in prompts:
        common += _common(last, prompt)
        chars += len(prompt)
        last = prompt
    return common, chars


def _common(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


# The radix tree ---------------------------------------------------------------------------------------


class Node:
    """A node of a radix tree: what leads to it, what is kept there, and when it was last used."""

    __slots__ = ("children", "key", "last_used", "value")

    def __init__(self, key: list[int], value: list[int]) -> None:
        self.children: dict[int, Node] = {}
        self.key = key
        self.value = value
        self.last_used = time.monotonic()


def insert(root: Node, key: list[int], value: list[int]) -> int:
    """Insert a prompt, and return how much of it was there."""
    node, shared = root, 0
    node.last_used = time.monotonic()
    while key and (child := node.children.get(key[0])):
        child.last_used = time.monotonic()
        common = _matched(child.key, key)
        shared += common
        key, value = key[common:], value[common:]
        if common < len(child.key):
            child = _split(node, child, common)
        node = child
    if key:
        node.children[key[0]] = Node(key, value)
    return shared


def _matched(one: list[int], other: list[int]) -> int:
    common = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        common += 1
    return common


def _split(parent: Node, child: Node, at: int) -> Node:
    upper = Node(child.key[:at], child.value[:at])
    upper.children[child.key[at]] = child
    child.key, child.value = child.key[at:], child.value[at:]
    parent.children[upper.key[0]] = upper
    return upper


def walked(root: Node) -> int:
    """Walk the tree depth-first, and return how many leaves it has."""
    leaves, waiting = 0, [root]
    while waiting:
        children = waiting.pop().children
        leaves += not children
        waiting.extend(children.values())
    return leaves


def radix(path: Path, *, token_bytes: int) -> dict[str, float]:
    """Read the prompts of a file into a radix tree and walk it. Of tokens, their making is not counted."""
    began = time.perf_counter()
    with path.open("rb") as file:
        texts = [json.loads(line)["request"]["contents"][0]["parts"][0]["text"] for line in file]
    seconds = time.perf_counter() - began
    tokens = [_tokens(text.encode(), token_bytes) for text in texts] if token_bytes > 1 else []
    root, shared = Node([], []), 0
    began = time.perf_counter()
    for key in tokens or (list(map(ord, text)) for text in texts):
        shared += insert(root, key, key)
    assert walked(root) == len(texts)
    seconds += time.perf_counter() - began
    return {"line_microseconds": seconds / len(texts) * 1e6, "shared": shared}


def _tokens(text: bytes, token_bytes: int) -> list[int]:
    tokens = array({2: "H", 4: "I"}[token_bytes])
    tokens.frombytes(text[: len(text) // token_bytes * token_bytes])
    return tokens.tolist()


# Both -------------------------------------------------------------------------------------------------


def measure(lines: int, rounds: int, folder: Path, *, beside_radix: bool) -> dict[str, Any]:
    """Plan a file of so many lines some times, and return the figures and whether the order is right."""
    blobs = folder / "blobs"
    path = blobs / _BLOB
    path.parent.mkdir(parents=True)
    workload = Workload(lines)
    workload.write(path)
    for other in _WARM_UP:
        Workload(1).write(blobs / other)
    runs = []
    for _ in range(rounds):
        shutil.rmtree(blobs / "indexes", ignore_errors=True)
        runs.append(planned(blobs))
    common, chars = walked_chars(in_order(blobs, lines))
    shared = workload.shared_chars()
    figures: dict[str, Any] = {
        "megabytes": round(path.stat().st_size / 1e6),
        "shared_fraction": round(shared / chars, 3),
        "shards": runs[0]["shards"],
        **{name: spread([run[name] for run in runs]) for name in _MEASURED},
        "in_order": common == shared,
    }
    if beside_radix:
        characters, tokens = radix(path, token_bytes=1), radix(path, token_bytes=4)
        assert characters["shared"] == shared, "the trie is not what its prompts were made to be"
        figures["radix_line_microseconds"] = round(characters["line_microseconds"], 1)
        figures["radix_tokens_line_microseconds"] = round(tokens["line_microseconds"], 1)
    shutil.rmtree(folder)
    return figures


_MEASURED = ("seconds", "index_seconds", "server_cpu_seconds", "workers_cpu_seconds", "peak_rss_mb")


def slopes(figures: dict[int, dict[str, Any]]) -> list[float]:
    """Return how time grows with lines, as exponents: from the fewest to the most, and between neighbours."""
    counts = sorted(figures)
    pairs = [(counts[0], counts[-1]), *pairwise(counts)] if len(counts) > 1 else []
    return [round(_growth(figures, few, more), 3) for few, more in pairs]


def _growth(figures: dict[int, dict[str, Any]], few: int, more: int) -> float:
    times = figures[more]["seconds"]["median"] / figures[few]["seconds"]["median"]
    return math.log(times) / math.log(more / few)


def main() -> int:
    """Measure, report, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=LINES, help="two numbers at least")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plan", type=Path)
    options = parser.parse_args()
    if options.plan:
        print(json.dumps(run_async(plan(options.plan))))
        return 0
    with tempfile.TemporaryDirectory() as name:
        compared = max((lines for lines in options.lines if lines <= RADIX_LINES_MAX), default=0)
        figures = {
            lines: measure(lines, options.rounds, Path(name, str(lines)), beside_radix=lines == compared)
            for lines in options.lines
        }
    most = max(figures)
    ours = figures[most]["seconds"]["median"] / most * 1e6
    summary = {
        "slopes": slopes(figures),
        "line_microseconds": round(ours, 2),
        "times_radix": round(figures[compared]["radix_line_microseconds"] / ours, 1),
        "times_radix_tokens": round(figures[compared]["radix_tokens_line_microseconds"] / ours, 1),
    }
    report("planner", {"lines": figures, **summary})
    return 0 if all(_claims(figures, summary)) else 1


def _claims(figures: dict[int, dict[str, Any]], summary: dict[str, Any]) -> list[bool]:
    most = max(figures)
    seconds, megabytes = figures[most]["seconds"]["median"], figures[most]["peak_rss_mb"]["max"]
    return [
        check(
            "the order is the depth-first walk of the trie",
            all(each["in_order"] for each in figures.values()),
        ),
        check(f"{most:,} lines in at most {SECONDS_MAX:g} s ({seconds:.2f})", seconds <= SECONDS_MAX),
        check(f"in at most {MEGABYTES_MAX:g} MB ({megabytes:.0f})", megabytes <= MEGABYTES_MAX),
        check(
            f"{TIMES_RADIX:g} times the radix tree of characters ({summary['times_radix']})",
            summary["times_radix"] >= TIMES_RADIX,
        ),
        check(f"slope at most {SLOPE_MAX} ({summary['slopes']})", summary["slopes"][0] <= SLOPE_MAX),
    ]


if __name__ == "__main__":
    sys.exit(main())
