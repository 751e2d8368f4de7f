"""A whole batch on this machine: ``make demo``, or ``python examples/demo.py [-m MODEL] [FILE]``.

Starts a server on a free port, sends it a file with the official SDK, waits, and prints every answer
with what it cost. Needs no key, no GPU and no network, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from google import genai
from google.genai import errors, types

from halfrate.client import Client, JobView

REQUESTS = Path(__file__).with_name("batch_requests.jsonl")
LOOK_EVERY_SECONDS = 0.2
STOP_SECONDS = 20.0


def main() -> None:
    """Run the demonstration and end the process with 0 if every request was answered."""
    parser = argparse.ArgumentParser(description="Run a whole batch on this machine.")
    parser.add_argument("file", nargs="?", type=Path, default=REQUESTS, metavar="FILE")
    parser.add_argument("-m", "--model", help="a model file or folder; default: the demonstration model")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        parser.error(f"there is no file {arguments.file}")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="halfrate-demo-") as folder,
            server(Path(folder), arguments.model) as started,
        ):
            job = run_batch(started["url"], started["models"][0], arguments.file)
    except KeyboardInterrupt:
        sys.exit("\nStopped; nothing is left behind.")
    except BrokenPipeError:  # whoever was reading has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except errors.APIError as error:
        sys.exit(f"The server refused: {error.message}")
    sys.exit(0 if job.state == "SUCCEEDED" and not job.counts.failed else 1)


@contextmanager
def server(folder: Path, model: str | None) -> Iterator[dict[str, Any]]:
    """Run ``halfrate serve`` on a free port, and stop it at the end, whatever happens."""
    command = [
        sys.executable,
        "-m",
        "halfrate",
        "serve",
        "--port",
        "0",
        "--json",
        "--data",
        str(folder / "data"),
    ]
    if model:
        command += ["--model", model]
    log = folder / "server.log"
    # In a group of its own: Ctrl-C reaches this program only, which then stops the server in order.
    with (
        log.open("wb") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, start_new_session=True) as process,
    ):
        try:
            assert process.stdout is not None
            first_line = process.stdout.readline()
            if not first_line:
                sys.exit(f"The server did not start:\n{log.read_text()}")
            yield json.loads(first_line)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def run_batch(url: str, model: str, file: Path) -> JobView:
    """Do what a user does, with the official SDK, and print what comes of it."""
    print(f"A server is running at {url}\n")
    client = genai.Client(api_key="none-needed", vertexai=False, http_options={"base_url": url})
    uploaded = client.files.upload(file=str(file), config={"mime_type": "jsonl", "display_name": file.name})
    print(f"Uploaded {file.name} as {uploaded.name}")
    job = client.batches.create(model=model, src=uploaded.name or "", config={"display_name": "demo"})
    print(f"Created {job.name}, to be answered by {model}\n")

    name = job.name or ""
    wait(client, Client(url), name)
    job = client.batches.get(name=name)
    if job.state is types.JobState.JOB_STATE_SUCCEEDED and job.dest and job.dest.file_name:
        show_results(file, client.files.download(file=job.dest.file_name))
    view = Client(url).job(name)
    show_bill(view)
    show_next_steps()
    return view


def wait(client: genai.Client, own: Client, name: str) -> None:
    """Look until the batch has ended, drawing a bar on a terminal. The counts the SDK drops are our own."""
    started = time.monotonic()
    last = ""
    while not client.batches.get(name=name).done:
        view = own.job(name)
        done = view.counts.succeeded + view.counts.failed
        if sys.stdout.isatty():
            filled = 30 * done // max(1, view.counts.requests)
            text = view.waiting or f"{done} of {view.counts.requests} answered"
            print(f"\r\x1b[K[{'#' * filled}{'.' * (30 - filled)}] {text}", end="", flush=True)
        elif view.state != last:
            print(f"{view.state}{': ' + view.waiting if view.waiting else ''}", flush=True)
        last = view.state
        time.sleep(LOOK_EVERY_SECONDS)
    print("\r\x1b[K" if sys.stdout.isatty() else "", end="")
    print(f"Done in {time.monotonic() - started:.1f} s\n")


def show_results(file: Path, results: bytes) -> None:
    """Print each prompt with its answer, found by its key."""
    answers = {result.get("key"): result for result in map(json.loads, results.decode().splitlines())}
    for line in filter(None, map(str.strip, file.read_text("utf-8").splitlines())):
        asked = json.loads(line)
        print(f"{asked.get('key')}")
        prompt = indented(prompt_of(asked.get("request", asked)), "    > ")
        answer = indented(answer_of(answers.get(asked.get("key"), {})), "      ")
        # The last line of a prompt is its question, the first of an answer its point.
        print(shortened(prompt, first=2, last=1))
        print(shortened(answer, first=8, last=0) + "\n")


def prompt_of(request: dict[str, Any]) -> str:
    """Return the text of a request's last message."""
    return "".join(part.get("text", "") for part in request["contents"][-1]["parts"])


def answer_of(result: dict[str, Any]) -> str:
    """Return the text of a result, or its error."""
    if "response" not in result:
        return f"(no answer: {result.get('error', {}).get('message', 'no result')})"
    return types.GenerateContentResponse.model_validate(result["response"]).text or "(an empty answer)"


def indented(text: str, margin: str) -> str:
    """Return ``text`` wrapped, with ``margin`` in front of each line."""
    lines = [textwrap.wrap(line, 90) for line in text.strip().splitlines() if line.strip()]
    return "\n".join((margin + piece).rstrip() for line in lines for piece in line)


def shortened(text: str, *, first: int, last: int) -> str:
    """Return at most ``first`` and ``last`` lines of ``text``, and a mark for those between."""
    lines = text.splitlines()
    if len(lines) <= first + last + 1:
        return text
    return "\n".join([*lines[:first], "      ...", *lines[len(lines) - last :]])


def show_bill(view: JobView) -> None:
    """Print how the batch ended, its tokens, and its cost beside the interactive price."""
    print(f"{view.name} {view.state}: {view.counts.succeeded} answered, {view.counts.failed} with errors")
    if view.error:
        print(f"Why: {view.error}")
    if view.usage:
        cached = f", {view.usage.cached_tokens} of them from the cache" if view.usage.cached_tokens else ""
        print(f"Tokens: {view.usage.input_tokens} in{cached}, {view.usage.output_tokens} out")
    batch, interactive = view.cost_usd or Decimal(0), view.interactive_cost_usd or Decimal(0)
    print(
        f"Cost: ${batch:.6f} as a batch, ${interactive:.6f} interactively: ${interactive - batch:.6f} saved"
    )


def show_next_steps() -> None:
    """Print how to go on."""
    halfrate = Path(sys.executable).with_name("halfrate")
    here = halfrate.relative_to(Path.cwd()) if halfrate.is_relative_to(Path.cwd()) else halfrate
    print(
        f"""
Go on with
  {here} run FILE -o results.jsonl                 your own file, without a server
  {here} run FILE -o results.jsonl -m MODEL.gguf   with a model of your own
  {here} serve                                     a server to keep
  {here} submit FILE --watch                       and a batch for it"""
    )


if __name__ == "__main__":
    main()
