"""Evaluate a model of a server of ours with Inspect, in batches, knowing nothing but its URL.

    python inspect_scenarios.py URL FOLDER

Once as a user of the Gemini API does, once as one of OpenAI's. Logs go to FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import BatchConfig
from inspect_ai.scorer import includes

QUESTIONS = 6


def main(url: str, folder: str) -> None:
    """Run both evaluations, and fail unless each was answered in one batch."""
    os.environ.update(OPENAI_API_KEY="none-needed", GOOGLE_API_KEY="none-needed")
    os.chdir(folder)  # it looks for settings where it is
    Path("logs").mkdir()
    evaluate("google/gemini-2.5-flash", url)
    evaluate("openai/pocket-1", f"{url}/openai/v1", responses_api=False)
    with urlopen(f"{url}/openai/v1/batches?limit=2") as reply:
        batches = json.load(reply)["data"]  # the newest: other programs may have made some before
    counts = [(batch["status"], batch["request_counts"]["completed"]) for batch in batches]
    assert counts == [("completed", QUESTIONS)] * 2, counts


def evaluate(model: str, base_url: str, **model_args: Any) -> None:
    """Ask some questions in a batch."""
    samples = [Sample(input=f"What is {n} plus 1?", target=str(n + 1)) for n in range(QUESTIONS)]
    (log,) = eval(
        Task(dataset=samples, scorer=includes()),
        model=model,
        model_base_url=base_url,
        model_args=model_args,
        batch=BatchConfig(size=QUESTIONS, send_delay=1, tick=1),
        max_tokens=16,
        display="none",
        log_dir="logs",
    )
    assert log.status == "success", log.error
    assert log.samples is not None
    assert len(log.samples) == QUESTIONS
    assert all(sample.output.completion and not sample.error for sample in log.samples)


if __name__ == "__main__":
    main(*sys.argv[1:])
