"""A peer's process from the benchmark's end: started, asked, stopped while others are measured, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class PeerFailed(Exception):
    """A peer ended or said nonsense; the message has the last it printed."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a peer answered to a set of prompts, and in how many seconds by its own clock."""

    said: list[object]
    seconds: float


class Peer:
    """One peer, loaded. Between calls it is stopped, so that no thread of it turns while others work."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self._reply()

    @classmethod
    @contextmanager
    def start(
        cls, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> Iterator[Peer]:
        """Start a program of this folder and wait until it has loaded. Raise `PeerFailed`."""
        with log.open("w") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        try:
            peer = cls(process, log)
            peer._signal(signal.SIGSTOP)
            yield peer
        finally:
            with suppress(ProcessLookupError):  # with all that it started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def answer(self, prompts: Sequence[object], output_tokens: int) -> Answers:
        """Have a set of prompts answered. Raise `PeerFailed`."""
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"prompts": prompts, "output_tokens": output_tokens}) + "\n")
            self._process.stdin.flush()
        reply = self._reply()
        self._signal(signal.SIGSTOP)
        return Answers(reply["answers"], reply["seconds"])  # type: ignore[arg-type]

    def _reply(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise PeerFailed(f"ended with {self._process.wait()}: {' '.join(last) or 'it printed nothing'}")
        reply: dict[str, object] = json.loads(line)
        return reply

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
