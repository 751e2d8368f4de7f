"""Lines that name another model than their Job: it answers them, in the same Job."""

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from halfrate.app import open_app, open_inspector
from halfrate.config import Config, DispatchConfig, Limits, ModelConfig, PriceConfig
from halfrate.domain.cache import Contents
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.job import JobState
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause
from halfrate.domain.request import Message, Role
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.ingest.index import IndexReader, IndexWriter
from halfrate.ingest.runs import Rows
from halfrate.store.blob.names import index_blob
from tests.fakes import FakeClock, ended, line, results, submit, text_of, until, upload

SMALL, BIG = PriceConfig(input=100, output=1_000), PriceConfig(input=7_000, output=50_000)


@pytest.fixture
def start(tmp_path):
    """Open an application that serves `small` as gemini-*, `big` as gemini-pro-*, and `vectors`."""

    @asynccontextmanager
    async def start(
        small=None, big=None, *, limits=None, shard_requests=2, clock=None, without=(), big_path="big-1"
    ):
        engines = {
            "small-1": small or ScriptedEngine(),
            big_path: big or ScriptedEngine(),
            "vectors-1": ScriptedEngine(dimensions=4),
            "more-vectors-1": ScriptedEngine(dimensions=6),
        }
        models = {
            "small": ModelConfig(path="small-1", aliases=("gemini-*",), price=SMALL),
            "big": ModelConfig(path=big_path, aliases=("gemini-pro-*",), price=BIG),
            "vectors": ModelConfig(path="vectors-1", kind=Kind.EMBEDDING, price=SMALL),
            "more-vectors": ModelConfig(path="more-vectors-1", kind=Kind.EMBEDDING, price=BIG),
        }
        config = Config(
            data_dir=str(tmp_path / "data"),
            models={name: model for name, model in models.items() if name not in without},
            limits=limits or Limits(),
            dispatch=DispatchConfig(backoff_seconds=0.001, shard_requests=shard_requests),
        )
        async with open_app(config, make_engine=lambda entry: engines[entry.path], clock=clock) as app:
            yield app
            assert await app.store.check_integrity() == []

    return start


def naming(model: str, text: str, key: str | None = None, **more: object) -> bytes:
    """A line of a text that names a model."""
    asked = json.loads(line(text, key))
    asked["request"] |= {"model": model, **more}
    return json.dumps(asked).encode()


def embedding(text: str, model: str | None = None) -> bytes:
    request = {"content": {"parts": [{"text": text}]}} | ({"model": model} if model else {})
    return json.dumps({"request": request}).encode()


async def planned(app, job) -> None:
    async def has_plan() -> bool:
        return (await app.jobs.get(job.id)).planned

    await until(has_plan)


def versions(answers: list[dict]) -> list[str]:
    return [answer["response"]["modelVersion"] for answer in answers]


async def flaws(app) -> list[str]:
    with open_inspector(app.config) as inspector:
        return [str(flaw) async for flaw in inspector.flaws()]


async def test_each_line_is_answered_by_the_model_it_names_in_input_order(start):
    lines = [
        line("a", "1"),
        naming("models/gemini-pro-2", "b", "2"),
        naming("gemini-flash", "c", "3"),
        naming("big", "d", "4"),
        naming("models/small", "e", "5"),
        line("f", "6"),
        naming("gemini-pro-2", "g", "7"),
    ]
    async with start() as app:
        job = await ended(app, await submit(app, *lines, model="gemini-flash"))
        answers = await results(app, job)
        assert await flaws(app) == []
    assert [answer["key"] for answer in answers] == list("1234567")
    assert [text_of(answer) for answer in answers] == list("abcdefg")
    assert versions(answers) == ["small-1", "big-1", "small-1", "big-1", "small-1", "small-1", "big-1"]
    assert (job.engines, job.counts.succeeded) == (("small", "big"), 7)


async def test_every_answer_costs_what_its_own_model_costs(start):
    async with start() as app:
        mixed = await ended(
            app, await submit(app, line("a b"), naming("big", "c d"), naming("big", "e f"), model="small")
        )
        small = await ended(app, await submit(app, line("a b"), model="small"))
        big = await ended(app, await submit(app, line("c d"), line("e f"), model="big"))
    assert mixed.cost_picos == small.cost_picos + big.cost_picos > 0
    assert mixed.interactive_cost_picos == small.interactive_cost_picos + big.interactive_cost_picos
    assert mixed.usage == small.usage + big.usage


async def test_the_inspector_finds_what_was_booked_at_the_price_of_another_model(start):
    async with start() as app:
        await ended(app, await submit(app, line("a b"), naming("big", "c d"), model="small"))
        price = PriceConfig(input=8_000, output=50_000)
        models = app.config.models | {"big": ModelConfig(path="big-1", price=price)}
        config = Config(data_dir=app.config.data_dir, models=models)
        with open_inspector(config) as inspector:
            (flaw,) = [str(flaw) async for flaw in inspector.flaws()]
    assert "today's price makes it" in flaw


async def test_engines_work_on_one_job_at_the_same_time_each_on_its_own_shards(start):
    clock = FakeClock()
    small, big = (ScriptedEngine(delay_seconds=60, clock=clock) for _ in range(2))
    lines = [line(f"a{n}") for n in range(4)] + [naming("big", f"b{n}") for n in range(4)]
    async with start(small, big, clock=clock) as app:
        job = await submit(app, *lines, model="small")

        async def all_in_flight() -> bool:
            return len(small.in_flight) == len(big.in_flight) == 4

        await until(all_in_flight)
        assert {request.messages[-1].text for request in big.in_flight} == {f"b{n}" for n in range(4)}
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        assert job.state is JobState.CANCELLED
        assert small.in_flight == big.in_flight == []


async def test_twins_are_not_joined_over_models(start):
    small, big = ScriptedEngine(), ScriptedEngine()
    same = [line("same"), naming("big", "same"), line("same"), naming("big", "same")]
    async with start(small, big, shard_requests=10) as app:
        answers = await results(app, await ended(app, await submit(app, *same, model="small")))
    assert versions(answers) == ["small-1", "big-1", "small-1", "big-1"]
    assert (small.calls, big.calls) == (1, 1)


async def test_each_model_decodes_by_its_own_default_temperature(start):
    """What samples by default is asked once for each, though the Job's own model would be asked once."""
    big = ScriptedEngine(default_temperature=1.0)
    lines = [line("same"), line("same"), naming("big", "same"), naming("big", "same")]
    small = ScriptedEngine()
    async with start(small, big, shard_requests=10) as app:
        await ended(app, await submit(app, *lines, model="small"))
    assert (small.calls, big.calls) == (1, 2)


REFUSED = [
    (
        line("a"),
        naming("nobody", "b"),
        "Error on line 2: models/nobody is not found. This server answers to: ",
    ),
    (
        line("a"),
        naming("vectors", "b"),
        "Error on line 2: models/vectors is answered by vectors, which makes ",
    ),
]


@pytest.mark.parametrize(("first", "second", "sentence"), REFUSED)
async def test_a_line_whose_model_cannot_answer_it_is_refused_when_the_job_is_created(
    start, first, second, sentence
):
    async with start() as app:
        with pytest.raises(InvalidArgument, match=sentence) as refused:
            await submit(app, first, second, second, model="small")
        assert "Error on line 2" in str(refused.value)
        assert str(refused.value).endswith("1 more lines name it.")
        with pytest.raises(InvalidArgument, match=sentence):
            await app.jobs.create_inline(model="small", items=[first, second], display_name="", priority=0)


async def test_the_first_lines_with_models_that_are_not_served_are_told_and_the_others_counted(start):
    lines = [naming(f"nobody-{n}", "x") for n in reversed(range(25))]
    async with start() as app:
        with pytest.raises(InvalidArgument) as refused:
            await submit(app, *lines, model="small")
    *told, last = str(refused.value).splitlines()
    assert [sentence.split(":")[0] for sentence in told] == [f"Error on line {n + 1}" for n in range(20)]
    assert last == "... and 5 more."


@pytest.mark.parametrize(("first", "second", "sentence"), REFUSED)
async def test_who_keeps_going_gets_an_error_result_for_it(start, first, second, sentence):
    async with start() as app:
        job = await submit(
            app, second, first, naming("big", "c"), embedding("d", "vectors"), model="small", keep_going=True
        )
        job = await ended(app, job)
        bad, good, other, stranger = await results(app, job)
        assert await flaws(app) == []
    assert bad["error"]["code"] == 3
    assert sentence.removeprefix("Error on line 2: ") in bad["error"]["message"]
    assert "this is a batch of generateContent" in stranger["error"]["message"]
    assert versions([good, other]) == ["small-1", "big-1"]
    assert (job.counts.succeeded, job.counts.failed) == (2, 2)


async def test_an_error_of_its_own_is_told_rather_than_that_of_its_model(start):
    twice = [line("a", "k"), naming("nobody", "b", "k"), b"bad"]
    async with start() as app:
        job = await ended(app, await submit(app, *twice, model="small", keep_going=True))
        _, repeated, bad = await results(app, job)
    assert "an earlier line has the key 'k'" in repeated["error"]["message"]
    assert "Error on line 3" in bad["error"]["message"]


async def test_a_job_that_was_accepted_before_its_input_was_indexed_fails_with_the_same_words(
    start, monkeypatch
):
    monkeypatch.setattr("halfrate.service.jobs.INDEX_WAIT_SECONDS", 0)
    async with start() as app:
        job = await ended(app, await submit(app, line("a"), naming("nobody", "b"), model="small"))
    assert job.state is JobState.FAILED
    assert "Error on line 2: models/nobody is not found" in job.error


async def test_vectors_come_from_the_model_that_the_line_names(start):
    async with start() as app:
        job = await submit(
            app,
            embedding("a"),
            embedding("a", "models/more-vectors"),
            embedding("a", "vectors"),
            model="vectors",
        )
        answers = await results(app, await ended(app, job))
    assert [len(answer["response"]["embedding"]["values"]) for answer in answers] == [4, 6, 4]
    assert [answer["response"].get("modelVersion") for answer in answers] == [None, "more-vectors-1", None]


async def test_a_cache_belongs_to_one_model_and_lines_of_another_may_not_use_it(start):
    async with start() as app:
        contents = Contents((Message(Role.USER, "word " * 40),))
        cache = await app.caches.create(
            model="models/big", display_name="", contents=contents, expiry=Deadline(600)
        )
        named = {"cachedContent": f"cachedContents/{cache.id}"}
        right = naming("big", "a", **named)
        answers = await results(app, await ended(app, await submit(app, right, line("b"), model="small")))
        assert answers[0]["response"]["usageMetadata"]["promptTokenCount"] > 40
        wrong = json.loads(line("a"))
        wrong["request"] |= named
        with pytest.raises(InvalidArgument, match=r"Error on line 2: cachedContents/.*has to be the same"):
            await submit(app, right, json.dumps(wrong).encode(), model="small")
        kept = await submit(app, json.dumps(wrong).encode(), right, model="small", keep_going=True)
        refused, answered = await results(app, await ended(app, kept))
    assert "has to be the same as that of its CachedContent" in refused["error"]["message"]
    assert versions([answered]) == ["big-1"]


async def test_what_failed_is_tried_again_by_the_same_models(start):
    lines = [line("fail a"), line("b"), naming("big", "fail c"), naming("nobody", "d")]
    failing_now = [ScriptedEngine(failing("fail", Cause.INTERNAL)) for _ in range(2)]
    async with start(*failing_now) as app:
        job = await ended(app, await submit(app, *lines, model="small", keep_going=True))
        assert job.counts.failed == 3
    async with start() as app:
        retried = await ended(app, await app.retries.retry(job.id))
        answers = await results(app, retried)
    assert [text_of(answer) for answer in answers] == ["fail a", "fail c"]
    assert versions(answers) == ["small-1", "big-1"]


async def test_results_so_far_are_of_both_models_and_no_line_comes_twice(start):
    clock = FakeClock()
    big = ScriptedEngine(delay_seconds=60, lanes=1, clock=clock)
    lines = [line(f"a{n}") for n in range(5)] + [naming("big", f"b{n}") for n in range(5)]
    seen: list[dict] = []
    async with start(big=big, clock=clock) as app:
        job = await submit(app, *lines, model="small")
        file = f"batch-{job.id}"
        token = (await app.files.content(file)).snapshot
        while not (job := await app.jobs.get(job.id)).state.final:
            clock.advance(seconds=1)
            for _ in range(20):
                await asyncio.sleep(0)
            token, chunks = await app.files.since(file, token)
            seen += [json.loads(text) for chunk in [c async for c in chunks] for text in chunk.splitlines()]
        token, chunks = await app.files.since(file, token)
        seen += [json.loads(text) for chunk in [c async for c in chunks] for text in chunk.splitlines()]
        answers = await results(app, job)
    assert Counter(map(text_of, seen)) == Counter(map(text_of, answers))
    assert {text_of(answer): answer["response"]["modelVersion"] for answer in seen} == {
        text_of(answer): answer["response"]["modelVersion"] for answer in answers
    }


async def test_results_so_far_are_other_bytes_when_another_model_of_the_job_has_changed(start):
    etags = []
    for path in ("big-1", "big-2"):
        async with start(big=ScriptedEngine(broken="no"), big_path=path) as app:
            if not etags:
                job = await submit(app, naming("big", "a"), model="small")
                await planned(app, job)
            etags.append((await app.files.content(f"batch-{job.id}")).etag)
    assert etags[0] != etags[1]


async def test_a_job_that_waits_for_one_of_its_models_says_so_when_the_other_is_done(start):
    async with start(big=ScriptedEngine(broken="no memory")) as app:
        job = await submit(app, line("a"), line("b"), naming("big", "c"), model="small")

        async def small_is_done() -> bool:
            return (await app.jobs.get(job.id)).counts.succeeded == 2

        await until(small_is_done)
        outlook = await app.jobs.outlook(await app.jobs.get(job.id))
        assert (outlook.waiting.code, outlook.eta) == ("engine_down", None)
        assert "no memory" in outlook.waiting.sentence
        await app.jobs.cancel(job.id)
        await ended(app, job)


async def test_a_job_goes_on_where_a_model_is_served_again_that_was_gone(start):
    """It remembers which Engine was to answer which lines, though another one's alias fits them now."""
    async with start(big=ScriptedEngine(broken="no")) as app:
        job = await submit(app, line("a"), naming("gemini-pro-2", "b"), model="small")
        await planned(app, job)
    async with start(without=["big"]) as app:
        assert app.models.resolve("gemini-pro-2").name == "small"

        async def small_is_done() -> bool:
            return (await app.jobs.get(job.id)).counts.succeeded == 1

        await until(small_is_done)
        outlook = await app.jobs.outlook(await app.jobs.get(job.id))
        assert outlook.waiting.code == "model_not_served"
        assert outlook.waiting.sentence.startswith("The model big is not served any more.")
    async with start() as app:
        answers = await results(app, await ended(app, job))
    assert versions(answers) == ["small-1", "big-1"]


async def test_an_end_is_told_when_the_slowest_of_its_models_will_be_done(start):
    clock = FakeClock()
    small = ScriptedEngine(delay_seconds=1, lanes=1, clock=clock)
    big = ScriptedEngine(delay_seconds=3, lanes=1, clock=clock)
    lines = [line(f"a{n}") for n in range(40)] + [naming("big", f"b{n}") for n in range(40)]

    async def pass_time(seconds: int) -> None:
        for _ in range(seconds * 2):
            clock.advance(seconds=0.5)
            for _ in range(30):
                await asyncio.sleep(0.0002)

    async with start(small, big, clock=clock, shard_requests=50) as app:
        job = await submit(app, *lines, model="small")
        await planned(app, job)
        await pass_time(35)
        job = await app.jobs.get(job.id)
        shares = {share.engine: share.pending for share in await app.store.shares(job)}
        assert shares["small"] < shares["big"]
        eta = (await app.jobs.outlook(job)).eta
        left_seconds = eta.likely - clock.now()
        assert 2 * shares["big"] < left_seconds < 5 * shares["big"]
        await app.jobs.cancel(job.id)
        await ended(app, job)


async def test_a_plan_made_with_an_index_of_before_answers_no_line_of_another_model(start, tmp_path):
    """There, lines are in one order whatever they name: those of another model get errors, as they did."""
    async with start() as app:
        file = await upload(app, b"\n".join([line("a"), naming("big", "b"), naming("gemini-x", "c")]))
        await ended(
            app,
            await app.jobs.create_from_file(model="small", file_id=file.id, display_name="", priority=0),
        )
        stored = await app.store.get_file(file.id)
        name = index_blob(stored.blob)
        with app.blobs.reader(name) as reader:
            summary = IndexReader(reader).summary
        rows = Rows()
        with app.blobs.reader(name) as reader:
            for entry in sorted(IndexReader(reader).entries(0, 3)):
                for column, value in zip(
                    rows.columns(), (entry.offset, entry.ordinal, entry.number, entry.length, 0), strict=True
                ):
                    column.append(value)
        with app.blobs.writer(name) as writer:
            index = IndexWriter(writer)
            index.add(rows)
            index.finish(replace(summary, models=None))
        job = await app.jobs.create_from_file(model="small", file_id=file.id, display_name="", priority=0)
        mine, other, alias = await results(app, await ended(app, job))
    assert versions([mine, alias]) == ["small-1", "small-1"]
    assert "request.model is 'big', but the job runs on 'small'" in other["error"]["message"]
