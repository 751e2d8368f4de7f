"""Where a Job's bulk bytes are: the names of its blobs."""

from __future__ import annotations

from halfrate.domain.shard import SegmentRef


def job_folder(job_id: str) -> str:
    """The folder of everything that is made while a Job runs."""
    return f"jobs/{job_id}"


def segment_blob(job_id: str, shard: int, token: int) -> str:
    """The Results that the holder of one Lease settled."""
    return f"{job_folder(job_id)}/segments/{shard:06}-{token}"


def segment_blob_of(segment: SegmentRef) -> str:
    """The blob of a settled Segment."""
    return segment_blob(segment.job_id, segment.shard, segment.token)


def output_blob(job_id: str) -> str:
    """A Job's output File."""
    return f"outputs/{job_id}"


def index_blob(input_blob: str) -> str:
    """The index of an input."""
    return f"indexes/{input_blob}"


def input_blob(unique: str) -> str:
    """The lines of a Job, or any other uploaded bytes."""
    return f"inputs/{unique}"


def upload_blob(upload_id: str) -> str:
    """The bytes of an upload under way."""
    return f"uploads/{upload_id}"


def cache_blob(cache_id: str) -> str:
    """The Contents of a Cache."""
    return f"caches/{cache_id}"


def page_blob(job_id: str, digest: str) -> str:
    """The text of a page that a Job's Requests name."""
    return f"{job_folder(job_id)}/pages/{digest}"
