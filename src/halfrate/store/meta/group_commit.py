"""One writer thread, and one fsync for all the changes that wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import apsw

from halfrate.crashpoints import CrashPoint, reach

T = TypeVar("T")

GROUP_MAX = 256


class Committer(Protocol):
    """Makes changes to a database, one transaction or savepoint each."""

    async def write(self, change: Callable[[apsw.Connection], T]) -> T:
        """Return what ``change`` returned, once it is durable. Raise what it raised, with nothing changed."""
        ...

    def close(self) -> None:
        """Finish the changes that wait."""
        ...


class GroupCommitter:
    """Runs changes on its own thread and connection, many to a transaction.

    A change that raises is undone alone; the others of its group stand. A failed commit fails them all.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._waiting: SimpleQueue[Change | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="halfrate-store", daemon=True)
        self._thread.start()

    async def write(self, change: Callable[[apsw.Connection], T]) -> T:
        """Return what ``change`` returned, once it is durable. Raise what it raised, with nothing changed.

        A caller that is cancelled while it waits does not know whether the change was made.
        """
        done: Future[T] = Future()
        self._waiting.put(Change(change, done))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Finish the changes that wait, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            closing = False
            while not self._waiting.empty() and len(group) < GROUP_MAX:
                change = self._waiting.get()
                if change is None:
                    closing = True
                    break
                group.append(change)
            commit(self._connection, group)
            if closing:
                return


class Change:
    """One change that waits for its commit, and the caller that waits for what comes of it."""

    def __init__(self, change: Callable[[apsw.Connection], Any], done: Future[Any]) -> None:
        self._change = change
        self._done = done
        self._result: Any = None
        self._error: Exception | None = None

    def run(self, connection: apsw.Connection) -> None:
        """Make the change in a savepoint of its own, and keep its outcome until the commit."""
        connection.execute("SAVEPOINT change")
        try:
            self._result = self._change(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # a full disk: SQLite has undone the whole group, and every savepoint with it
            self._error = error
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")

    def resolve(self) -> None:
        """Tell the caller what the change returned or raised."""
        if self._done.cancelled():
            return
        if self._error is not None:
            self.fail(self._error)
        else:
            _quietly(lambda: self._done.set_result(self._result))

    def fail(self, error: BaseException) -> None:
        """Tell the caller why there was no change."""
        _quietly(lambda: self._done.set_exception(error))


def commit(connection: apsw.Connection, group: list[Change]) -> None:
    """Make changes in one transaction, then tell every caller. Raise nothing: each caller is told."""
    try:
        # IMMEDIATE: take the write lock now, so that no change reads what another may overtake.
        connection.execute("BEGIN IMMEDIATE")
        try:
            for change in group:
                change.run(connection)
            reach(CrashPoint.COMMIT_BEFORE)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        reach(CrashPoint.COMMIT_AFTER)
    except BaseException as error:  # the writer's thread must outlive any failure
        for change in group:
            change.fail(error)
        return
    for change in group:
        change.resolve()


def _quietly(announce: Callable[[], None]) -> None:
    # The caller may cancel between the check and the call; then nobody waits for the answer.
    try:
        announce()
    except Exception:
        return
