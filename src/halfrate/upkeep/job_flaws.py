"""What is wrong with a Job: its Segments, what was booked for them, and its input."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from halfrate.domain.errors import CorruptData
from halfrate.domain.job import Job, JobState
from halfrate.domain.shard import SegmentRef
from halfrate.metering.price import Price
from halfrate.results.roll import Audit
from halfrate.store.blob.api import BlobReader, BlobStore
from halfrate.store.blob.names import segment_blob_of
from halfrate.store.meta.api import StoredJob
from halfrate.upkeep.file_flaws import flaws_of_index, flaws_of_inline
from halfrate.upkeep.flaws import Flaw, Tour, unreadable

_STOPPED = (JobState.CANCELLED, JobState.EXPIRED)
_REPORT = "Please report it."


def flaws_of_segments(
    stored: StoredJob, blobs: BlobStore, price_of: Callable[[str], Price | None], tour: Tour
) -> Iterator[Flaw]:
    """Look at all that a Job has settled, and at what was booked for it."""
    job = stored.job
    audit = Audit(job.counts.requests)
    whole = not (tour.quick or stored.cleared)
    for segment in stored.segments:
        try:
            with blobs.reader(segment_blob_of(segment)) as reader:
                _look_at(reader, segment, audit, tour)
        except (OSError, CorruptData) as error:
            whole = False
            yield _segment_flaw(job, segment, error)
    if whole:
        yield from _miscounts(job, audit)
        yield from _mispriced(job, audit, price_of)


def flaws_of_input(job: Job, blobs: BlobStore, tour: Tour) -> Iterator[Flaw]:
    """Look at what a Job that has not ended still needs, and at what one was asked in its call."""
    if job.input_file is None:  # a retry reads it again, whatever became of the Job
        yield from flaws_of_inline(f"Job {job.id}", job.input_blob, blobs, tour)
    if job.state.final:
        return
    try:
        with blobs.reader(job.input_blob):
            pass
    except OSError as error:
        what = f"Its input: {unreadable(job.input_blob, error)}"
        remedy = "Restore it from a backup, or cancel the Job and submit its file again."
        yield Flaw(True, f"Job {job.id}", f"{what} {remedy}")
        return
    if job.input_file is None:  # that of a File is looked at with the File
        yield from flaws_of_index(f"Job {job.id}", job.input_blob, blobs, tour)


def _look_at(reader: BlobReader, segment: SegmentRef, audit: Audit, tour: Tour) -> None:
    if reader.size_bytes < segment.settled_bytes:
        raise CorruptData(
            f"Blob {reader.name} is cut off at byte {reader.size_bytes}, and {segment.settled_bytes} "
            "bytes were settled. Restore it from a backup, or run the Job again."
        )
    if not tour.quick:
        audit.take(reader, segment)
        tour.count(read_bytes=segment.settled_bytes)


def _segment_flaw(job: Job, segment: SegmentRef, error: OSError | CorruptData) -> Flaw:
    what = str(error)
    if isinstance(error, OSError):
        missing = f"{unreadable(segment_blob_of(segment), error)} It held {segment.results} Results."
        what = f"{missing} Restore it from a backup, or run the Job again."
    if job.state.final and job.state is not JobState.FAILED:
        what += " The Job has ended, and its output is a file of its own."
    return Flaw(True, f"Job {job.id}", what)


def _miscounts(job: Job, audit: Audit) -> Iterator[Flaw]:
    """Compare what was booked with what the Segments hold."""
    missing = job.counts.requests - audit.counts.succeeded - audit.counts.failed
    failed = audit.counts.failed + (missing if job.state in _STOPPED else 0)
    for name, booked, held in (
        ("answers", job.counts.succeeded, audit.counts.succeeded),
        ("errors", job.counts.failed, failed),
        ("input tokens", job.usage.input_tokens, audit.usage.input_tokens),
        ("output tokens", job.usage.output_tokens, audit.usage.output_tokens),
        ("cached tokens", job.usage.cached_tokens, audit.usage.cached_tokens),
    ):
        if booked != held:
            what = f"It has {booked} {name} booked, and its Segments hold {held}."
            yield Flaw(True, f"Job {job.id}", f"{what} {_REPORT}")


def _mispriced(job: Job, audit: Audit, price_of: Callable[[str], Price | None]) -> Iterator[Flaw]:
    cost_picos = interactive_picos = 0
    for engine, usage in audit.usage_by_engine.items():
        price = price_of(engine or job.engine)
        if price is None:
            return
        cost_picos += price.batch.cost_picos(usage)
        interactive_picos += price.interactive.cost_picos(usage)
    if (job.cost_picos, job.interactive_cost_picos) != (cost_picos, interactive_picos):
        what = f"It has {job.cost_picos} pico-USD booked, and today's price makes it {cost_picos}."
        yield Flaw(False, f"Job {job.id}", f"{what} Were prices changed since? If not: {_REPORT.lower()}")
