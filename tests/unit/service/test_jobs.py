"""The life of a Job, from its lines to its output."""

import asyncio
import json

import pytest

from halfrate.config import DispatchConfig, Limits
from halfrate.domain.errors import Forbidden, InvalidArgument, LeaseLost, NotFound, ResourceExhausted
from halfrate.domain.job import Counts, JobState
from halfrate.domain.outcome import Cause
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.ingest import index, indexing
from halfrate.ingest.inputs import Inputs
from halfrate.planner.prefix import SORT_KEY_VERSION
from tests.fakes import FakeClock, ended, line, results, submit, text_of, until, upload


async def answered(app, job, *, at_least):
    """Wait until so many Requests of a Job are settled as answered."""

    async def so_many() -> bool:
        return (await app.jobs.get(job.id)).counts.succeeded >= at_least

    await until(so_many)


async def planned(app, job):
    """Wait until a Job has its Shards, and return it."""

    async def has_plan() -> bool:
        return (await app.jobs.get(job.id)).planned

    await until(has_plan)
    return await app.jobs.get(job.id)


async def test_every_line_gets_its_answer_in_input_order(start):
    lines = [line(f"say {n * 7 % 50}", f"k{n}") for n in range(50)]
    async with start(dispatch=DispatchConfig(shard_requests=8)) as app:
        job = await ended(app, await submit(app, *lines))
        answers = await results(app, job)
    assert job.state is JobState.SUCCEEDED
    assert job.counts == Counts(requests=50, succeeded=50)
    assert [answer["key"] for answer in answers] == [f"k{n}" for n in range(50)]
    assert [text_of(answer) for answer in answers] == [f"say {n * 7 % 50}" for n in range(50)]
    assert {answer["response"]["modelVersion"] for answer in answers} == {"pocket-1"}


async def test_usage_and_cost_are_the_sum_of_the_results_and_half_of_interactive(start):
    async with start() as app:
        job = await ended(app, await submit(app, *[line(f"one two {n}") for n in range(9)]))
        answers = await results(app, job)
    counted = [answer["response"]["usageMetadata"] for answer in answers]
    assert job.usage.input_tokens == sum(usage["promptTokenCount"] for usage in counted) > 0
    assert job.usage.output_tokens == sum(usage["candidatesTokenCount"] for usage in counted) > 0
    assert job.interactive_cost_picos == (
        job.usage.input_tokens * 300_000 + job.usage.output_tokens * 2_500_000
    )
    assert job.cost_picos * 2 == job.interactive_cost_picos


async def test_the_engine_sees_prompts_sorted_so_that_shared_beginnings_are_neighbours(start):
    engine = ScriptedEngine(lanes=1)
    texts = ["b 2", "a 1", "b 1", "a 2"]
    async with start(engine) as app:
        await ended(app, await submit(app, *[line(text) for text in texts]))
    assert [request.messages[-1].text for request in engine.answered] == sorted(texts)


async def test_twins_are_answered_once_and_each_gets_its_own_result(start):
    engine = ScriptedEngine()
    async with start(engine) as app:
        await app.models.resolve("pocket-1").engine.ready()
        lines = [line("same", f"k{n}", temperature=0) for n in range(5)]
        job = await ended(app, await submit(app, *lines, line("other", temperature=0)))
        answers = await results(app, job)
    assert engine.calls == 2
    assert [text_of(answer) for answer in answers] == ["same"] * 5 + ["other"]
    assert job.counts.succeeded == 6


async def test_sampled_requests_without_a_seed_are_not_twins(start):
    engine = ScriptedEngine()
    async with start(engine) as app:
        await ended(app, await submit(app, *[line("same", temperature=1) for _ in range(3)]))
    assert engine.calls == 3


async def test_a_failed_request_fails_alone(start):
    async with start(ScriptedEngine(failing("bad", Cause.TOO_LONG))) as app:
        job = await ended(app, await submit(app, line("good", "a"), line("bad", "b"), line("good 2", "c")))
        answers = await results(app, job)
    assert (job.state, job.counts) == (JobState.SUCCEEDED, Counts(3, 2, 1))
    assert [("response" in answer, answer["key"]) for answer in answers] == [
        (True, "a"),
        (False, "b"),
        (True, "c"),
    ]
    assert answers[1]["error"]["code"] == 3


async def test_a_poisonous_request_gets_an_error_and_the_job_succeeds(start):
    async with start(ScriptedEngine(deadly="poison", lanes=4)) as app:
        lines = [line(f"fine {n}") for n in range(10)] + [line("poison", "p")]
        job = await ended(app, await submit(app, *lines))
        answers = await results(app, job)
    assert job.counts == Counts(11, 10, 1)
    assert answers[-1]["key"] == "p"
    assert "error" in answers[-1]


async def test_every_bad_line_is_named_and_nothing_is_created(start):
    async with start() as app:
        with pytest.raises(InvalidArgument) as refusal:
            await submit(app, line("ok"), b'{"key": "a"', line("ok 2"), b'{"request": {"kontents": []}}')
        assert await app.jobs.list(page_size=10, page_token=None) == ([], None)
    told = str(refusal.value).splitlines()
    assert [text.split(":")[0] for text in told] == ["Error on line 2", "Error on line 4"]
    assert "kontents" in told[1]


async def test_keeping_going_turns_bad_lines_into_error_results(start):
    async with start() as app:
        job = await submit(app, line("ok", "a"), b"nonsense", line("ok 2", "b"), keep_going=True)
        job = await ended(app, job)
        answers = await results(app, job)
    assert job.counts == Counts(3, 2, 1)
    assert answers[1]["error"]["code"] == 3
    assert "line 2" in answers[1]["error"]["message"]


async def test_a_repeated_key_is_refused_with_both_lines(start):
    async with start() as app:
        with pytest.raises(InvalidArgument, match=r"line 3: duplicate key 'a'.*line 1"):
            await submit(app, line("x", "a"), line("y", "b"), line("z", "a"))


async def test_keeping_going_answers_a_key_once(start):
    async with start() as app:
        job = await submit(app, line("x", "a"), line("y", "a"), line("z", "b"), keep_going=True)
        answers = await results(app, await ended(app, job))
    assert [(answer["key"], "response" in answer) for answer in answers] == [
        ("a", True),
        ("a", False),
        ("b", True),
    ]
    assert "line 2: an earlier line has the key 'a'" in answers[1]["error"]["message"]


async def test_an_empty_file_is_refused(start):
    async with start() as app:
        with pytest.raises(InvalidArgument):
            await submit(app, b"\n\n")


async def test_an_unknown_model_or_file_is_refused(start):
    async with start() as app:
        with pytest.raises(NotFound, match="models/nobody is not found"):
            await submit(app, line("x"), model="nobody")
        with pytest.raises(Forbidden):
            await app.jobs.create_from_file(model="pocket-1", file_id="none", display_name="", priority=0)


async def test_a_full_queue_takes_no_more(start):
    engine = ScriptedEngine(delay_seconds=60)
    async with start(engine, limits=Limits(active_jobs=1)) as app:
        await submit(app, line("x"))
        with pytest.raises(ResourceExhausted):
            await submit(app, line("y"))


async def test_inline_requests_come_back_with_their_metadata_as_it_was_sent(start):
    items = [
        b'{"request":{"contents":[{"parts":[{"text":"one"}]}]},"metadata":{"key":"k","n":"7"}}',
        b'{"request":{"contents":[{"parts":[{"text":"two"}]}]}}',
    ]
    async with start() as app:
        job = await app.jobs.create_inline(model="pocket-1", items=items, display_name="", priority=0)
        answers = await results(app, await ended(app, job))
    assert [answer.get("metadata") for answer in answers] == [{"key": "k", "n": "7"}, None]
    assert [text_of(answer) for answer in answers] == ["one", "two"]


async def test_a_client_that_breaks_off_while_its_job_is_made_takes_nothing_from_it(start, monkeypatch):
    """The change may have been made when its maker stops waiting for it."""
    async with start() as app:
        create_job = app.store.create_job

        async def broken_off(job, **bounds):
            await create_job(job, **bounds)
            raise asyncio.CancelledError

        monkeypatch.setattr(app.store, "create_job", broken_off)
        with pytest.raises(asyncio.CancelledError):
            await app.jobs.create_inline(model="pocket-1", items=[line("hello")], display_name="", priority=0)
        [job], _ = await app.jobs.list(page_size=1, page_token=None)
    async with start() as app:
        job = await ended(app, job)
        assert text_of((await results(app, job))[0]) == "hello"


async def test_a_refused_inline_job_leaves_no_bytes(start):
    async with start() as app:
        with pytest.raises(InvalidArgument):
            await app.jobs.create_inline(model="pocket-1", items=[b"{}x"], display_name="", priority=0)
        assert list(app.blobs.names("inputs")) + list(app.blobs.names("indexes")) == []


async def test_a_cancelled_job_keeps_what_it_had_and_says_what_it_has_not(start):
    engine = ScriptedEngine(lanes=1, delay_seconds=0.005)
    async with start(engine) as app:
        job = await submit(app, *[line(f"say {n:03}", f"k{n}") for n in range(200)])

        await answered(app, job, at_least=3)
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        answers = await results(app, job)
        calls = engine.calls
        await asyncio.sleep(0.05)
        assert engine.calls == calls, "nothing more is asked of the engine"
    assert job.state is JobState.CANCELLED
    assert [answer["key"] for answer in answers] == [f"k{n}" for n in range(200)]
    done = [answer for answer in answers if "response" in answer]
    assert 3 <= len(done) == job.counts.succeeded < 200
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {1}
    assert job.counts.pending == 0


async def test_a_job_cancelled_while_its_model_loads_ends_with_an_error_line_for_each_request(start):
    async with start(ScriptedEngine(broken="no such model")) as app:
        job = await submit(app, line("x", "a"), line("y", "b"))
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        answers = await results(app, job)
    assert [(answer["key"], answer["error"]["code"]) for answer in answers] == [("a", 1), ("b", 1)]


async def test_a_job_stopped_between_claim_and_start_is_let_go_at_once(start, monkeypatch):
    """No Lease has to lapse for it: the clock stands still."""
    engine = ScriptedEngine()
    async with start(engine, clock=FakeClock()) as app:
        claim_shard = app.store.claim_shard

        async def stopped_meanwhile(*arguments, **options):
            lease = await claim_shard(*arguments, **options)
            if lease is not None:
                await app.store.stop_job(lease.job_id, Cause.CANCELLED)
            return lease

        monkeypatch.setattr(app.store, "claim_shard", stopped_meanwhile)
        job = await ended(app, await submit(app, *[line(f"say {n}") for n in range(50)]))
        assert (job.state, engine.calls) == (JobState.CANCELLED, 0)
        monkeypatch.undo()
        job = await ended(app, await submit(app, line("next")))
    assert (job.state, engine.calls) == (JobState.SUCCEEDED, 1)


async def test_cancelling_a_finished_job_changes_nothing(start):
    async with start() as app:
        job = await ended(app, await submit(app, line("x")))
        await app.jobs.cancel(job.id)
        assert (await app.jobs.get(job.id)).state is JobState.SUCCEEDED


async def test_more_twins_than_a_shard_holds_are_asked_once_for_each_shard(start):
    """A Shard is twice as large as it should be at most, for their sake."""
    engine = ScriptedEngine()
    twins = [line("the same", f"twin{n}", temperature=0) for n in range(30)]
    async with start(engine, dispatch=DispatchConfig(shard_requests=4)) as app:
        job = await ended(app, await submit(app, line("another", "first"), *twins, line("other", "last")))
        answers = await results(app, job)
    assert job.counts == Counts(32, 32, 0)
    assert [answer["key"] for answer in answers] == ["first", *(f"twin{n}" for n in range(30)), "last"]
    assert len({text_of(answer) for answer in answers[1:-1]}) == 1
    assert engine.calls == 2 + 4


async def test_a_planned_job_knows_what_its_prompts_have_in_common(start):
    async with start(ScriptedEngine(broken="no")) as app:
        job = await submit(app, *[line(f"a document, and question {n}") for n in range(10)])
        job = await planned(app, job)
    assert job.order_version == SORT_KEY_VERSION
    assert (job.sharing.groups, job.sharing.prompt_bytes) == (1, 10 * (2 + len("a document, and question 0")))
    assert job.sharing.shared_bytes == 9 * (1 + len("a document, and question "))


async def test_a_job_that_is_planned_in_another_order_is_not_run_in_this_one(start, monkeypatch):
    """Its Shards would be other lines than they were."""
    async with start(ScriptedEngine(broken="no")) as app:
        job = await planned(app, await submit(app, line("x")))
    monkeypatch.setattr(indexing, "SORT_KEY_VERSION", SORT_KEY_VERSION + 1)
    monkeypatch.setattr(index, "SORT_KEY_VERSIONS_READ", {SORT_KEY_VERSION + 1})
    engine = ScriptedEngine()
    async with start(engine) as app:
        job = await ended(app, job)
    assert job.state is JobState.FAILED
    assert job.error.startswith(f"It was planned in order {SORT_KEY_VERSION} by another halfrate")
    assert engine.calls == 0


async def test_a_waiting_job_says_why(start):
    async with start(ScriptedEngine(broken="The model file x.gguf is no model.")) as app:
        job = await submit(app, line("x"))

        async def told() -> bool:
            waiting = (await app.jobs.outlook(await app.jobs.get(job.id))).waiting
            return waiting.sentence == "Engine down: The model file x.gguf is no model."

        await until(told)


async def test_a_job_whose_model_is_served_no_more_says_so_and_can_be_cancelled(start):
    """Another model's alias is no reason to let it answer: a Job remembers what was to answer it."""
    async with start(ScriptedEngine(broken="no")) as app:
        job = await submit(app, line("x", "a"))

        await planned(app, job)
    engine = ScriptedEngine()
    async with start(engine, model="another") as app:
        assert app.models.resolve("pocket-1").name == "another"
        outlook = await app.jobs.outlook(await app.jobs.get(job.id))
        assert outlook.waiting.code == "model_not_served"
        assert outlook.promise.holds is None
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        assert [answer["error"]["code"] for answer in await results(app, job)] == [1]
    assert engine.calls == 0


async def test_a_job_cancelled_while_it_is_planned_leaves_no_shards(start):
    async with start() as app:
        file = await upload(app, b"\n".join(line(f"say {n}") for n in range(3_000)))
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        await app.jobs.cancel(job.id)
        job = await ended(app, job)

        async def no_shards() -> bool:
            return not list(app.blobs.names(f"jobs/{job.id}/shards"))

        await until(no_shards)
        # The planner goes on with the next Job only when it is done with this one.
        await ended(app, await submit(app, line("next")))
        assert await no_shards()
    assert job.counts.pending == 0


async def test_a_job_past_its_deadline_expires_with_what_it_has(start):
    clock = FakeClock()
    async with start(ScriptedEngine(delay_seconds=3600), clock=clock, limits=Limits(job_hours=1)) as app:
        job = await submit(app, line("x", "a"))

        async def running() -> bool:
            return (await app.jobs.get(job.id)).state is JobState.RUNNING

        await until(running)
        clock.advance(seconds=3601)
        job = await ended(app, job)
        answers = await results(app, job)
    assert job.state is JobState.EXPIRED
    assert [(answer["key"], answer["error"]["code"]) for answer in answers] == [("a", 4)]


async def test_a_deleted_job_is_gone_with_its_output_and_its_work_stops(start):
    clock = FakeClock()
    engine = ScriptedEngine(delay_seconds=3600)
    async with start(engine, clock=clock) as app:
        job = await submit(app, line("x"))

        async def in_flight() -> bool:
            return bool(engine.in_flight)

        await until(in_flight)
        await app.jobs.delete(job.id)
        assert engine.in_flight == []
        with pytest.raises(NotFound):
            await app.jobs.get(job.id)

        async def forgotten() -> bool:
            clock.advance(seconds=60)
            await asyncio.sleep(0.01)
            if await app.store.get_file(f"batch-{job.id}") is not None:
                return False  # it goes after its bytes
            return not list(app.blobs.names("jobs")) and not list(app.blobs.names("outputs"))

        await until(forgotten)
        with pytest.raises(Forbidden):
            await app.files.get(f"batch-{job.id}")


async def test_a_job_stopped_while_its_last_results_are_settled_keeps_them(start, monkeypatch):
    """Whoever else stops in the meantime, the client that asked for it or the whole application."""
    settling, settled = asyncio.Event(), asyncio.Event()

    async def settle_later() -> None:
        for _ in range(1_000):
            await asyncio.sleep(0)
        settled.set()

    async with start() as app:
        real_settle = app.store.settle

        async def slow_settle(*arguments: object) -> None:
            settling.set()
            await settled.wait()
            await real_settle(*arguments)

        monkeypatch.setattr(app.store, "settle", slow_settle)
        job = await submit(app, *[line(f"say {n}") for n in range(3)])
        await settling.wait()
        [run] = [task for task in asyncio.all_tasks() if task.get_name().startswith("shard ")]
        stopping = asyncio.create_task(app.jobs.cancel(job.id))
        while not run.cancelling():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        stopping.cancel()  # the client hangs up
        await asyncio.wait({stopping})
        later = asyncio.create_task(settle_later())
    await later
    async with start() as app:
        job = await ended(app, job)
    assert (job.state, job.counts.succeeded) == (JobState.CANCELLED, 3)


async def test_a_job_is_not_hidden_before_it_is_stopped(start, monkeypatch):
    """A process that died between the two would leave a Shard that is claimed and let go of for ever."""
    async with start(ScriptedEngine(delay_seconds=60)) as app:
        job = await submit(app, line("say it"))

        async def dies(*arguments: object) -> bool:
            raise OSError("the process dies here")

        monkeypatch.setattr(app.store, "stop_job", dies)
        with pytest.raises(OSError, match="dies here"):
            await app.jobs.delete(job.id)
        assert (await app.jobs.get(job.id)).id == job.id


async def test_results_can_be_read_while_the_job_runs(start):
    engine = ScriptedEngine(lanes=1, delay_seconds=0.005)
    async with start(engine) as app:
        job = await submit(app, *[line(f"say {n:03}", f"k{n}") for n in range(300)])

        await answered(app, job, at_least=5)
        _, chunks = await app.files.download(f"batch-{job.id}")
        so_far = [json.loads(text) for text in b"".join([chunk async for chunk in chunks]).splitlines()]
        await app.jobs.cancel(job.id)
    assert len(so_far) >= 5
    assert [answer["key"] for answer in so_far] == [f"k{n}" for n in range(len(so_far))]


async def test_a_stopped_application_goes_on_where_it_was(start):
    slow = ScriptedEngine(lanes=2, delay_seconds=0.004)
    async with start(slow) as app:
        job = await submit(app, *[line(f"say {n:03}", f"k{n}") for n in range(100)])

        await answered(app, job, at_least=10)
    answered_before = len(slow.answered)
    assert answered_before < 100
    quick = ScriptedEngine()
    async with start(quick) as app:
        job = await ended(app, job)
        answers = await results(app, job)
    assert [answer["key"] for answer in answers] == [f"k{n}" for n in range(100)]
    left = 100 - answered_before
    assert left <= quick.calls <= left + 2, "what was answered stays answered, but for what was in flight"


async def test_a_worker_that_fell_silent_is_replaced(start):
    clock = FakeClock()
    async with start(ScriptedEngine(broken="no"), clock=clock) as app:
        job = await submit(app, line("x"))

        await planned(app, job)
        silent = await app.store.claim_shard("pocket-1", "silent", lease_seconds=30)
        clock.advance(seconds=31)

        async def given_back() -> bool:
            clock.advance(seconds=10)
            return await app.store.claim_shard("pocket-1", "successor", lease_seconds=30) is not None

        await until(given_back)
        with pytest.raises(LeaseLost):
            await app.store.release_shard(silent)


async def test_a_worker_whose_shard_was_taken_settles_nothing_more(start):
    """Its Lease is taken from it in the middle, again and again; every Result is there once all the same."""
    engine = ScriptedEngine(lanes=4, delay_seconds=0.002)
    async with start(engine, dispatch=DispatchConfig(shard_requests=20)) as app:
        job = await submit(app, *[line(f"say {n:03}", f"k{n}") for n in range(200)])
        for settled in (10, 60, 120):
            await answered(app, job, at_least=settled)
            await app.store.rescue_shards(lapsed_only=False)
        job = await ended(app, job)
        answers = await results(app, job)
    assert job.counts == Counts(200, 200, 0)
    assert [text_of(answer) for answer in answers] == [f"say {n:03}" for n in range(200)]


async def test_a_file_deleted_or_lost_while_its_job_waits_does_not_fail_the_job(start):
    async with start() as app:
        file = await upload(app, line("x", "a"))
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        await app.files.delete(file.id)
        assert text_of((await results(app, await ended(app, job)))[0]) == "x"


async def test_priority_goes_first(start):
    engine = ScriptedEngine(lanes=1, delay_seconds=0.002)
    async with start(engine, dispatch=DispatchConfig(shard_requests=1)) as app:
        file = await upload(app, b"\n".join(line(f"slow {n}") for n in range(300)))
        low = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        file = await upload(app, line("urgent"))
        high = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=5)
        high = await ended(app, high)
        assert not (await app.jobs.get(low.id)).state.final
        await app.jobs.cancel(low.id)


async def test_a_job_that_ends_while_it_is_planned_holds_up_no_other(start, monkeypatch, caplog):
    """Its input is taken away under the Planner, which must then go on with the next Job."""
    cut = Inputs.cut
    gone, planning = asyncio.Event(), asyncio.Event()

    async def interrupted(inputs, blob, sections, **bounds):
        if planning.is_set():
            return await cut(inputs, blob, sections, **bounds)
        planning.set()
        await gone.wait()
        raise FileNotFoundError(f"no {blob}")

    monkeypatch.setattr(Inputs, "cut", interrupted)
    async with start(clock=FakeClock()) as app:
        doomed = await submit(app, line("x"))
        await planning.wait()
        await app.jobs.cancel(doomed.id)
        await ended(app, doomed)
        gone.set()
        other = await ended(app, await submit(app, line("y")))
        assert other.state is JobState.SUCCEEDED
    assert "starts again" not in caplog.text
