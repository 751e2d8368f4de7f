"""A peer as a process that is asked in lines of JSON: how both ends speak. Only the standard library."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO, TypedDict


class Asked(TypedDict):
    """Prompts to answer, each as the peer wants it, a text or tokens."""

    prompts: list[object]
    output_tokens: int


def take_output() -> TextIO:
    """Return what standard output was. Native code, which prints where it likes, prints to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return replies


def serve(replies: TextIO, answer: Callable[[Asked], object]) -> None:
    """Say that all is ready; then answer each line with the answers and the seconds they took, to the end."""
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.perf_counter()
        answers = answer(asked)
        seconds = time.perf_counter() - began
        print(json.dumps({"answers": answers, "seconds": seconds}), file=replies, flush=True)
