"""The process that holds the model: ``python -m halfrate.engines.embedded.child PARENT_PID``.

Frames come in on standard input and go out on what was standard output when the process began. Native code
prints where it likes, so both names lead elsewhere before any of it is loaded.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from halfrate.domain.kind import Kind
from halfrate.engines.embedded import loading, native, protocol
from halfrate.engines.embedded.batcher import ABILITIES, Batcher

if TYPE_CHECKING:
    from halfrate.engines.embedded.bert.embedder import Embedder

_READ_BYTES = 1024 * 1024
_EXIT_BROKEN = 3
_EXIT_NONSENSE = 4
_PR_SET_PDEATHSIG = 1

Send = Callable[[protocol.FromChild], None]
Inbox = queue.SimpleQueue[protocol.ToChild]


def main() -> int:
    """Load, then answer until the parent closes the pipe or dies. The exit status of the process."""
    _die_with(int(sys.argv[1]))
    source, sink = _take_pipes()
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_read, args=(source, inbox), daemon=True).start()
    return _serve(inbox, lambda message: _write(sink, protocol.encode(message)))


def _serve(inbox: Inbox, send: Send) -> int:
    load = inbox.get()
    assert isinstance(load, protocol.Load)
    worker = _embedder if load.kind is Kind.EMBEDDING else _batcher
    try:
        feeder, loaded = worker(load, send)
    except loading.Unloadable as error:
        send(protocol.Broken(str(error)))
        return _EXIT_BROKEN
    send(loaded)
    while True:
        for message in _messages(inbox, wait=not feeder.busy):
            feeder.take(message)
        if feeder.busy:
            feeder.turn()


def _batcher(load: protocol.Load, send: Send) -> tuple[Batcher, protocol.Loaded]:
    source, settings = loading.prepare(loading.find(load.model), load.settings)
    model = loading.load(source, settings)
    batcher = Batcher(model, settings, send)
    loaded = protocol.Loaded(
        model_version=model.name,
        context_tokens=model.context_tokens,
        default_temperature=model.default_temperature,
        # Twice what is decoded together: whenever one leaves, the next has long been encoded.
        lanes=2 * settings.sequences_max,
        abilities=ABILITIES,
        thinks=batcher.thinks,
    )
    return batcher, loaded


def _embedder(load: protocol.Load, send: Send) -> tuple[Embedder, protocol.Loaded]:
    from halfrate.engines.embedded.bert import embedder, encoder  # noqa: PLC0415 - numpy

    model = encoder.load(loading.locate(load.model), load.settings)
    loaded = protocol.Loaded(
        model_version=model.name,
        context_tokens=model.tokens_max,
        default_temperature=0.0,
        lanes=embedder.LANES,
        dimensions=model.width,
    )
    return embedder.Embedder(model, send), loaded


def _messages(inbox: Inbox, *, wait: bool) -> Iterator[protocol.ToChild]:
    """All that have come; with ``wait`` at least one."""
    try:
        yield inbox.get(block=wait)
        while True:
            yield inbox.get_nowait()
    except queue.Empty:
        return


def _read(source: int, inbox: Inbox) -> None:
    """Move frames from the pipe to the inbox; end the process at the end of the stream, or of its sense."""
    frames = protocol.Frames()
    try:
        while data := os.read(source, _READ_BYTES):
            for body in frames.feed(data):
                inbox.put(protocol.decode_to_child(body))
    except (protocol.BadFrame, OSError):
        traceback.print_exc()
        os._exit(_EXIT_NONSENSE)
    # The parent is gone, or wants us gone. Nobody waits for what is half done, and unwinding native threads
    # can hang.
    os._exit(0)


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


def _take_pipes() -> tuple[int, int]:
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return source, sink


def _die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies, even in the midst of a long step."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(0)


def run() -> NoReturn:
    """Be the process: `main`, then the end."""
    try:
        status = main()
    except BaseException as error:
        traceback.print_exc()
        status = protocol.EXIT_OUT_OF_MEMORY if native.out_of_memory(error) else 1
    sys.stderr.flush()
    # Not sys.exit: unwinding native threads can hang, and a dead child must be seen to be dead.
    os._exit(status)


if __name__ == "__main__":
    run()
