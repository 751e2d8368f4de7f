"""The engine's real child process, except that it comes to grief over certain prompts.

Run in place of `halfrate.engines.embedded.child`. A prompt that holds one of the words below is let into the
pipeline like any other; the next step, with whatever company it has there, is the last.
"""

from __future__ import annotations

import os
import signal
import time

from halfrate.engines.embedded import child
from halfrate.engines.embedded.admission import Entry
from halfrate.engines.embedded.batcher import Batcher, _Question, _Running


class DeadlyBatcher(Batcher):
    """A batcher that dies, or stands still, of what it was given."""

    def _enter(self, entry: Entry, question: _Question, index: int) -> _Running:
        text = question.request.messages[-1].text
        self._deadly = next((word for word in ENDS if word in text), getattr(self, "_deadly", None))
        return super()._enter(entry, question, index)

    def _step(self) -> None:
        deadly = getattr(self, "_deadly", None)
        if deadly == "SPIN":
            return  # turn after turn, with a sign of life each second, and no step
        if deadly is not None:
            ENDS[deadly]()
        super()._step()


def _take_all_memory() -> None:
    bytearray(1 << 60)


def _native_out_of_memory() -> None:
    raise RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223: std::bad_alloc")


ENDS = {
    "KILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "ABORT": os.abort,
    "HANG": lambda: time.sleep(3_600),
    "SPIN": lambda: None,
    "MEMORY": _take_all_memory,
    "BAD_ALLOC": _native_out_of_memory,
}

if __name__ == "__main__":
    child.Batcher = DeadlyBatcher  # type: ignore[misc]
    child.run()
