"""Named places where a process may die, so that a simulation can make it die there.

Passing one costs a look at one global while nobody watches. All are told in docs/explanation/crash-points.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class CrashPoint(StrEnum):
    """Every point, in the order in which a Job comes by. ``before`` and ``after`` are of the step named."""

    # Folders and blobs on the disk
    DIRECTORY_MAKE_BEFORE = "directory.make.before"
    DIRECTORY_MAKE_AFTER = "directory.make.after"
    DIRECTORY_SYNC_AFTER = "directory.sync.after"
    BLOB_CREATE_BEFORE = "blob.create.before"
    BLOB_WRITE_AFTER = "blob.write.after"
    BLOB_SYNC_AFTER = "blob.sync.after"
    BLOB_RENAME_AFTER = "blob.rename.after"
    BLOB_COMMIT_AFTER = "blob.commit.after"
    APPENDER_CREATE_BEFORE = "appender.create.before"
    APPENDER_CREATE_AFTER = "appender.create.after"
    APPENDER_OPEN_AFTER = "appender.open.after"
    APPENDER_WRITE_BEFORE = "appender.write.before"
    APPENDER_WRITE_AFTER = "appender.write.after"
    APPENDER_SYNC_BEFORE = "appender.sync.before"
    APPENDER_SYNC_AFTER = "appender.sync.after"
    MOVE_RENAME_BEFORE = "move.rename.before"
    MOVE_RENAME_AFTER = "move.rename.after"
    MOVE_SYNC_AFTER = "move.sync.after"
    DELETE_UNLINK_BEFORE = "delete.unlink.before"
    DELETE_UNLINK_AFTER = "delete.unlink.after"
    DELETE_SYNC_AFTER = "delete.sync.after"

    # The database
    COMMIT_BEFORE = "commit.before"
    COMMIT_AFTER = "commit.after"

    # An upload becomes a File, a File becomes a Job
    UPLOAD_BEGIN_AFTER = "upload.begin.after"
    UPLOAD_APPEND_BEFORE = "upload.append.before"
    UPLOAD_APPEND_AFTER = "upload.append.after"
    UPLOAD_FINISH_BEFORE = "upload.finish.before"
    INPUT_NAME_AFTER = "input.name.after"
    RUN_WRITE_AFTER = "run.write.after"
    KEYS_COMPARE_AFTER = "keys.compare.after"
    INDEX_COMMIT_BEFORE = "index.commit.before"
    INDEX_COMMIT_AFTER = "index.commit.after"
    UPLOAD_RECEIVE_AFTER = "upload.receive.after"
    FILE_CREATE_BEFORE = "file.create.before"
    FILE_CREATE_AFTER = "file.create.after"
    CACHE_WRITE_AFTER = "cache.write.after"
    CACHE_CREATE_AFTER = "cache.create.after"
    INLINE_WRITE_AFTER = "inline.write.after"
    JOB_CREATE_BEFORE = "job.create.before"
    JOB_CREATE_AFTER = "job.create.after"
    PLAN_SAVE_BEFORE = "plan.save.before"
    PLAN_SAVE_AFTER = "plan.save.after"

    # A Shard is claimed, answered, settled and let go
    LEASE_CLAIM_BEFORE = "lease.claim.before"
    LEASE_CLAIM_AFTER = "lease.claim.after"
    LEASE_RENEW_BEFORE = "lease.renew.before"
    LEASE_RENEW_AFTER = "lease.renew.after"
    SHARD_READ_AFTER = "shard.read.after"
    SEGMENT_APPEND_BEFORE = "segment.append.before"
    SEGMENT_APPEND_AFTER = "segment.append.after"
    SEGMENT_SYNC_AFTER = "segment.sync.after"
    SETTLE_BEFORE = "settle.before"
    SETTLE_AFTER = "settle.after"
    SHARD_ANSWER_AFTER = "shard.answer.after"
    SHARD_FINISH_BEFORE = "shard.finish.before"
    SHARD_FINISH_AFTER = "shard.finish.after"
    SHARD_RELEASE_BEFORE = "shard.release.before"
    SHARD_RELEASE_AFTER = "shard.release.after"
    JOB_STOP_AFTER = "job.stop.after"

    # The output is assembled and published
    ASSEMBLE_LOCATE_AFTER = "assemble.locate.after"
    ASSEMBLE_LINES_AFTER = "assemble.lines.after"
    ASSEMBLE_WRITE_AFTER = "assemble.write.after"
    ASSEMBLE_COMMIT_AFTER = "assemble.commit.after"
    JOB_PUBLISH_BEFORE = "job.publish.before"
    JOB_PUBLISH_AFTER = "job.publish.after"

    # Whoever wants to hear of it is told
    DELIVERY_CALL_AFTER = "delivery.call.after"
    DELIVERY_BOOK_AFTER = "delivery.book.after"

    # What nobody can reach any more goes
    JOB_DELETE_AFTER = "job.delete.after"
    FILE_DELETE_AFTER = "file.delete.after"
    PRUNE_CACHE_AFTER = "prune.cache.after"
    PRUNE_FOLDER_AFTER = "prune.folder.after"
    PRUNE_OUTPUT_AFTER = "prune.output.after"
    PRUNE_JOB_AFTER = "prune.job.after"
    PRUNE_CLEAR_AFTER = "prune.clear.after"
    PRUNE_FILE_AFTER = "prune.file.after"
    PRUNE_RELEASE_AFTER = "prune.release.after"
    PRUNE_UPLOAD_AFTER = "prune.upload.after"
    PRUNE_INPUT_BEFORE = "prune.input.before"


Watcher = Callable[[CrashPoint], None]

_watcher: Watcher | None = None


def reach(point: CrashPoint) -> None:
    """Pass a point. Raise what the watcher raises, if there is one."""
    if _watcher is not None:
        _watcher(point)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Have ``watcher`` called at every point, on the thread that reaches it, until leaving."""
    global _watcher  # noqa: PLW0603 (passing a point must cost nothing, so nothing carries the watcher)
    _watcher = watcher
    try:
        yield
    finally:
        _watcher = None
