"""What is true of every Job whatever happens, each by itself: an `AssertionError` where it is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from halfrate.domain.job import Job, JobState
from halfrate.domain.shard import Lease, SegmentRef
from halfrate.domain.webhook import EVENT_OF

Output = Sequence[Mapping[str, Any]]
"""The parsed lines of an output."""


def every_request_has_exactly_one_result(keys: Sequence[str | None], output: Output) -> None:
    """Every Request has exactly one Result, at its place in input order, an answer or an error."""
    assert [result.get("key") for result in output] == list(keys), "not one Result for each Request, in order"
    assert all(("response" in result) != ("error" in result) for result in output)


def nothing_settled_is_run_again(text: str, settled: Collection[str]) -> None:
    """The Engine is never asked for an answer that is settled."""
    assert text not in settled, f"{text!r} was settled and is run again"


def what_runs_again_was_in_flight(again: Collection[str], in_flight: Collection[str]) -> None:
    """What an earlier process ran and a later one runs again had no settled Result when a process died."""
    assert set(again) <= set(in_flight), f"{set(again) - set(in_flight)} ran again without need"


def few_are_in_flight(in_flight: Collection[str], *, in_flight_max: int) -> None:
    """A death makes a process repeat at most what the lanes held and brought since it settled last."""
    assert len(in_flight) <= in_flight_max, f"{len(in_flight)} were in flight: {sorted(in_flight)}"


def only_the_newest_lease_settles(lease: Lease, newest_token: int) -> None:
    """Whoever settles Results, or closes a Shard, has the newest token that was given out for it."""
    assert lease.token == newest_token, f"token {lease.token} settled, and {newest_token} is newer"


def a_token_grows(lease: Lease, newest_token: int) -> None:
    """Each claim of a Shard gives a larger token than all before."""
    assert lease.token > newest_token, f"token {lease.token} was given out after {newest_token}"


def a_live_lease_is_never_taken(held: Lease | None, now: float) -> None:
    """A Shard is given to a Worker only when no other has a Lease on it that has not lapsed."""
    assert held is None or held.lapsed(now), f"{held} lives at {now} and was taken"


def a_final_state_never_moves(before: Job, after: Job) -> None:
    """A Job that has ended stays as it is, to the last digit."""
    assert not before.state.final or after == before, f"{before} became {after}"


def a_stopped_job_never_runs_on(before: Job, after: Job) -> None:
    """A Job that is being stopped starts nothing any more, and says why it was stopped."""
    if before.stopped_by is not None:
        assert after.stopped_by is before.stopped_by
        assert after.state not in (JobState.PENDING, JobState.RUNNING), f"{before} became {after}"


def what_was_counted_stays_counted(before: Job, after: Job) -> None:
    """Counts, usage and cost never shrink, and no count is beyond the Requests."""
    assert after.counts.succeeded >= before.counts.succeeded
    assert after.counts.failed >= before.counts.failed
    assert after.usage.output_tokens >= before.usage.output_tokens
    assert after.cost_picos >= before.cost_picos
    assert after.counts.pending >= 0


def a_result_answers_its_request(
    text: str, result: Mapping[str, Any], *, model: str, hopeless: bool, stopped_code: int | None
) -> None:
    """A Request gets its own answer, of the model it asked.

    It gets an error only if it is hopeless, or its Job was stopped before it.
    """
    if "response" in result:
        assert result["response"]["modelVersion"] == model, f"{text!r} was answered by another model"
        assert result["response"]["candidates"][0]["content"]["parts"][0]["text"] == text
        assert not hopeless, f"{text!r} was answered"
    else:
        assert hopeless or result["error"]["code"] == stopped_code, f"{text!r} came to {result['error']}"


def counts_usage_and_cost_equal_the_results(
    job: Job, output: Output, prices: Mapping[str, tuple[int, int]]
) -> None:
    """What a Job says of itself is the sum of its output, each answer at its own price; errors are free."""
    used = [result["response"]["usageMetadata"] for result in output if "response" in result]
    assert (job.counts.requests, job.counts.succeeded) == (len(output), len(used))
    assert job.counts.failed == len(output) - len(used)
    assert job.usage.input_tokens == sum(usage["promptTokenCount"] for usage in used)
    assert job.usage.output_tokens == sum(usage["candidatesTokenCount"] for usage in used)
    cost_picos = 0
    for response in (result["response"] for result in output if "response" in result):
        input_picos, output_picos = prices[response["modelVersion"]]
        usage = response["usageMetadata"]
        cost_picos += usage["promptTokenCount"] * input_picos + usage["candidatesTokenCount"] * output_picos
    assert (job.interactive_cost_picos, job.cost_picos) == (cost_picos, cost_picos // 2)


def what_was_settled_is_still_there(acknowledged: Iterable[SegmentRef], stored: Iterable[SegmentRef]) -> None:
    """What a Worker was told is settled is settled in every later process."""
    sizes = {(ref.job_id, ref.shard, ref.token): (ref.settled_bytes, ref.results) for ref in stored}
    for ref in acknowledged:
        size = sizes.get((ref.job_id, ref.shard, ref.token), (0, 0))
        assert size >= (ref.settled_bytes, ref.results), f"{ref} was settled, and {size} is left"


def as_many_results_as_were_settled(segment: SegmentRef, results: int) -> None:
    """A Segment can be read up to where it was settled, and holds as many Results as were settled."""
    assert results == segment.results, f"{segment} holds {results} Results"


def what_was_acknowledged_is_still_there(what: str, acknowledged: object, found: object) -> None:
    """What a client was told is there is there in every later process, unchanged."""
    assert found == acknowledged, f"{what}: {acknowledged} was acknowledged, and {found} is there"


def only_what_is_so_is_told(event: Mapping[str, Any], job: Job | None) -> None:
    """Nobody hears of an end that is not committed, or of another one. A Job that was deleted may be gone."""
    assert job is None or EVENT_OF.get(job.state) == event["type"], f"{event} was told of {job}"


def the_same_is_told_each_time(before: bytes | None, body: bytes) -> None:
    """What is told again under one id says the same."""
    assert before in (None, body), f"{before!r} became {body!r}"


def every_end_is_told(delivery_id: str, taken: Collection[str]) -> None:
    """Whoever wants to hear how a Job ended has heard it, when there was time to tell it."""
    assert delivery_id in taken, f"{delivery_id} was never taken"


def nothing_is_left_behind(blobs: Sequence[str]) -> None:
    """When every Job is deleted and every File expired, no byte of theirs is kept."""
    assert not blobs, f"nobody can reach {blobs}"


def nothing_contradicts(sentences: Sequence[str]) -> None:
    """The store finds nothing in it that contradicts another thing."""
    assert not sentences, sentences


def no_job_is_lost_to_a_fault(job: Job) -> None:
    """A death, a full disk or an Engine that dies never fails a Job."""
    assert job.state is not JobState.FAILED, job.error
