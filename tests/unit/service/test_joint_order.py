"""In which order Engines get Requests: Jobs over the same documents in turn, long answers not last."""

import re

import pytest

from halfrate.config import DispatchConfig
from halfrate.engines.scripted import ScriptedEngine
from halfrate.planner.claim import OVERTAKING_MAX, SHARED_BYTES_MIN
from tests.fakes import ended, line, submit, until

QUESTIONS = 3
"""Questions about a document in each Job: as many as a Shard has Requests."""


def document(number: int, length: int) -> str:
    return f"Document {number:02}: " + "word " * (length // 5)


def lines(job: str, documents: range, *, length: int) -> list[bytes]:
    return [
        line(f"{document(number, length)} Question {question} of {job}?", f"{number}-{question}")
        for question in range(QUESTIONS)
        for number in documents
    ]


async def run(start, jobs: dict[str, range], *, length: int = SHARED_BYTES_MIN) -> list[tuple[str, int]]:
    """Run Jobs that are all there before the first begins, and return the Job and document of each Shard."""
    dispatch = DispatchConfig(shard_requests=QUESTIONS)
    async with start(ScriptedEngine(broken="not yet"), dispatch=dispatch) as app:
        made = [await submit(app, *lines(job, documents, length=length)) for job, documents in jobs.items()]
        for job in made:

            async def is_planned(job=job) -> bool:
                return (await app.jobs.get(job.id)).planned

            await until(is_planned)
    engine = ScriptedEngine(remember=True, lanes=1)
    async with start(engine, dispatch=dispatch) as app:
        for job in made:
            assert (await ended(app, job)).counts.succeeded == job.counts.requests
    told = [re.search(r"Document (\d+).*of (\w+)\?", r.messages[0].text) for r in engine.answered]
    each = [(found[2], int(found[1])) for found in told]
    assert all(len(set(each[n : n + QUESTIONS])) == 1 for n in range(0, len(each), QUESTIONS))
    return each[::QUESTIONS]


async def test_two_jobs_over_the_same_documents_alternate_by_document(start):
    went = await run(start, {"one": range(5), "other": range(5)})
    assert went == [(job, number) for number in range(5) for job in ("one", "other")]


async def test_a_job_over_other_documents_waits_for_its_turn(start):
    went = await run(start, {"one": range(3), "strange": range(50, 53), "other": range(3)})
    assert went == [
        *((job, number) for number in range(3) for job in ("one", "other")),
        *(("strange", number) for number in range(50, 53)),
    ]


@pytest.mark.parametrize("length", [100, SHARED_BYTES_MIN - 100])
async def test_jobs_that_share_only_short_beginnings_run_as_they_came(start, length):
    went = await run(start, {"one": range(3), "other": range(3)}, length=length)
    assert went == [(job, number) for job in ("one", "other") for number in range(3)]


async def test_in_its_last_shard_a_job_begins_with_what_may_take_long(start):
    engine = ScriptedEngine(remember=True, lanes=1)
    bounds = {"a": 1, "b": 1, "c": 5, "d": 1, "e": 1, "f": 5, "g": 9}
    asked = [line(text, text, maxOutputTokens=bound) for text, bound in bounds.items()]
    async with start(engine, dispatch=DispatchConfig(shard_requests=3)) as app:
        await ended(app, await submit(app, *asked[:6]))
        await ended(app, await submit(app, *asked[3:], line("h", "h", maxOutputTokens=9)))
    told = "".join(request.messages[0].text for request in engine.answered)
    assert told == "abc" + "dfe" + "def" + "gh"


async def test_the_oldest_job_is_not_overtaken_without_end(start):
    names = [f"job{number}" for number in range(OVERTAKING_MAX + 3)]
    went = await run(start, dict.fromkeys(names, range(3)))
    where = [n for n, (job, _) in enumerate(went) if job == names[0]]
    assert where == [0, 1 + OVERTAKING_MAX, 2 * (1 + OVERTAKING_MAX)]
