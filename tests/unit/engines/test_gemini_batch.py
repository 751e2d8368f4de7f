"""An Engine in front of another halfrate's batches: each line is asked once, over every crash and refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from halfrate.config import Limits
from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.errors import EngineBroken
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Answered, Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.engines.api import EngineState
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.engines.upstream.gemini_batch.engine import GeminiBatchEngine
from halfrate.engines.upstream.gemini_batch.room import Room
from halfrate.engines.upstream.gemini_batch.settings import BatchSettings
from halfrate.engines.upstream.settings import UpstreamSettings
from tests.engines import ask, eventually
from tests.support.upstream_server import MODEL, UpstreamServer, upstream_server

TEXTS = [f"Say {n}." for n in range(12)]


def quick(folder: Path) -> BatchSettings:
    return BatchSettings(
        folder / "journal",
        wait_seconds=0.01,
        poll_seconds=0.01,
        poll_seconds_max=0.02,
        retry_seconds=0.01,
        retry_seconds_max=0.02,
        abandon_seconds=0.01,
        settle_seconds=0.02,
    )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[UpstreamServer]:
    async with upstream_server(tmp_path / "there") as server:
        yield server


def front(
    server: UpstreamServer, folder: Path, kind: Kind = Kind.GENERATION, **changed: object
) -> GeminiBatchEngine:
    settings = UpstreamSettings(urls=(server.url,), model=MODEL, kind=kind, look_seconds=0.01)
    return GeminiBatchEngine(settings, replace(quick(folder), **changed))  # type: ignore[arg-type]


async def many(engine: GeminiBatchEngine, *requests: AnyRequest) -> list[Outcome]:
    took: dict[int, Outcome] = {}
    async with asyncio.timeout(30):
        await engine.answer_many(requests, took.__setitem__)
    return [took[position] for position in range(len(requests))]


def asks(texts: list[str] = TEXTS) -> list[AnyRequest]:
    return [ask(text) for text in texts]


def created(server: UpstreamServer) -> int:
    """How many batches it was asked to make."""
    return sum(path.endswith(":batchGenerateContent") for _, path in server.calls)


def answered(server: UpstreamServer) -> list[str]:
    """What the model there was asked."""
    return sorted(request.messages[-1].text for request in server.engine.answered)  # type: ignore[union-attr]


def files(folder: Path) -> set[str]:
    return {path.suffix for path in (folder / "journal").iterdir()} - {""}


# In peace ---------------------------------------------------------------------------------------------


async def test_a_chunk_is_answered_in_one_batch_as_it_would_be_alone(
    server: UpstreamServer, tmp_path: Path
) -> None:
    async with front(server, tmp_path) as engine:
        facts = await engine.ready()
        assert (facts.lanes, facts.patience_seconds) == (20_000, 7 * 86_400)
        together = await many(engine, *asks())
        alone = [await engine.answer(request) for request in asks()]
    assert together == alone
    assert all(isinstance(outcome, Answered) for outcome in together)
    assert created(server) == 1


async def test_twins_are_lines_of_their_own(server: UpstreamServer, tmp_path: Path) -> None:
    """Whoever wants one answer for two sends one: a sampled answer is not another's."""
    async with front(server, tmp_path) as engine:
        await many(engine, *[ask("Same.", temperature=1.0)] * 3)
    assert answered(server) == ["Same."] * 3


async def test_chunks_that_come_together_share_a_batch(server: UpstreamServer, tmp_path: Path) -> None:
    async with front(server, tmp_path, wait_seconds=0.2) as engine:
        await engine.ready()
        await asyncio.gather(many(engine, *asks(TEXTS[:4])), many(engine, *asks(TEXTS[4:])))
    assert created(server) == 1


async def test_what_is_too_much_for_one_batch_is_split(server: UpstreamServer, tmp_path: Path) -> None:
    async with front(server, tmp_path, requests_max=5) as engine:
        outcomes = await many(engine, *asks())
    assert [o.text for o in outcomes] == TEXTS  # type: ignore[union-attr]
    assert created(server) == 3
    async with front(server, tmp_path / "other", bytes_max=200) as engine:
        await many(engine, *asks(TEXTS[:6]))
    assert created(server) > 4


async def test_no_more_batches_are_there_than_may_be(tmp_path: Path) -> None:
    """Nor than there is room for: what is refused for now is asked again."""
    async with upstream_server(tmp_path / "there", limits=Limits(active_jobs=1)) as server:
        async with front(server, tmp_path, requests_max=2) as engine:
            outcomes = await many(engine, *asks())
        assert all(isinstance(outcome, Answered) for outcome in outcomes)
        async with front(server, tmp_path / "other", requests_max=2, active_max=1) as engine:
            server.calls.clear()
            await many(engine, *asks())
        assert created(server) == 6, "one at a time, so that none is refused"


async def test_vectors_come_from_batches_too(tmp_path: Path) -> None:
    def playing() -> ScriptedEngine:
        return ScriptedEngine(dimensions=8)

    async with (
        upstream_server(tmp_path / "there", playing, kind=Kind.EMBEDDING) as server,
        front(server, tmp_path, Kind.EMBEDDING) as engine,
    ):
        vectors = await many(engine, Embedding("one"), Embedding("two", dimensions=4))
        alone = await engine.answer(Embedding("one"))
    assert [len(v.values) for v in vectors if isinstance(v, Embedded)] == [8, 4]
    assert vectors[0] == alone


async def test_a_bad_request_fails_alone(tmp_path: Path) -> None:
    async with (
        upstream_server(tmp_path / "there", lambda: ScriptedEngine(failing("Say 3"))) as server,
        front(server, tmp_path) as engine,
    ):
        outcomes = await many(engine, *asks(), ask("\ud800"))
    assert [isinstance(outcome, Failed) for outcome in outcomes].count(True) == 2
    assert isinstance(outcomes[3], Failed)
    assert outcomes[3].cause is Cause.UPSTREAM
    assert isinstance(outcomes[-1], Failed)
    assert outcomes[-1].cause is Cause.INVALID


async def test_nothing_stays_of_what_was_taken(server: UpstreamServer, tmp_path: Path) -> None:
    """Neither here nor, of what was uploaded, there."""
    async with front(server, tmp_path) as engine:
        await many(engine, *asks())
        await eventually(lambda: files(tmp_path) == set())
    assert ("DELETE", "/v1beta/files/") in {(m, p[: len("/v1beta/files/")]) for m, p in server.calls}


async def test_nothing_stays_of_what_was_taken_when_it_ends(server: UpstreamServer, tmp_path: Path) -> None:
    """Else whoever asks the same after it would get an answer that was another's."""
    async with front(server, tmp_path, settle_seconds=60.0) as engine:
        await many(engine, *asks())
        assert files(tmp_path) == {".json", ".jsonl", ".results"}
    assert files(tmp_path) == set()


async def test_there_is_room_for_so_many_tokens() -> None:
    """And for a batch of more than that, when it is alone."""
    room = Room(batches_max=9, tokens_max=10)
    inside: list[int] = []
    most: list[int] = []

    async def stay(tokens: int) -> None:
        async with room.of(tokens):
            inside.append(tokens)
            most.append(sum(inside))
            await asyncio.sleep(0)
            inside.remove(tokens)

    async with asyncio.timeout(5):
        await asyncio.gather(*(stay(tokens) for tokens in (6, 4, 5, 20, 3)))
    assert sorted(most)[-1] == 20
    assert sorted(most)[-2] == 10, "together what fits, and no more"


# Over a restart ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("so_far", ["sealed", "created", "ended"])
async def test_a_restart_asks_nothing_twice(server: UpstreamServer, tmp_path: Path, so_far: str) -> None:
    """Whoever asks the same again gets what is under way, or its answer."""

    def stage() -> str:
        records = list((tmp_path / "journal").glob("*.json"))
        return json.loads(records[0].read_bytes())["stage"] if records else ""

    # A second from one look to the next is time to let go before the results come.
    slow = {"poll_seconds": 1.0 if so_far == "ended" else 60.0, "abandon_seconds": 60.0}
    async with front(server, tmp_path, **slow) as engine:
        waiting = asyncio.create_task(many(engine, *asks()))
        await eventually(lambda: stage() == "created" or (so_far == "sealed" and stage() != ""))
        waiting.cancel()
        await eventually(lambda: so_far != "ended" or stage() == "ended")
    async with front(server, tmp_path) as engine:
        outcomes = await many(engine, *asks())
        assert [o.text for o in outcomes] == TEXTS  # type: ignore[union-attr]
        assert created(server) == 1
        again = await many(engine, *asks())
        assert [o.text for o in again] == TEXTS  # type: ignore[union-attr]
    assert created(server) == 2, "what is asked once more is answered once more"
    assert answered(server) == sorted(TEXTS * 2)


async def test_two_of_one_upstream_are_told(server: UpstreamServer, tmp_path: Path) -> None:
    async with front(server, tmp_path) as one:
        await one.ready()
        async with front(server, tmp_path) as two:
            with pytest.raises(EngineBroken, match="another model has the same upstream"):
                await two.ready()
            assert two.state is EngineState.BROKEN
            assert two.trouble is not None
            (outcome,) = await many(two, ask("Hello"))
            assert isinstance(outcome, Failed)


async def test_leaving_answers_everyone_who_waits(server: UpstreamServer, tmp_path: Path) -> None:
    async with front(server, tmp_path, poll_seconds=60.0) as engine:
        await engine.ready()
        waiting = asyncio.create_task(many(engine, *asks()))
        await eventually(lambda: created(server) == 1)
    assert {type(outcome) for outcome in await waiting} == {Failed}


# Against what happens there ---------------------------------------------------------------------------


async def test_a_server_that_is_away_for_a_while_is_waited_for(
    server: UpstreamServer, tmp_path: Path
) -> None:
    async with front(server, tmp_path, poll_seconds=0.05) as engine:
        await engine.ready()
        waiting = asyncio.create_task(many(engine, *asks()))
        await eventually(lambda: created(server) == 1)
        await server.down()
        await eventually(lambda: engine.trouble is not None)
        await server.up()
        outcomes = await waiting
        await eventually(lambda: engine.trouble is None)
    assert [o.text for o in outcomes] == TEXTS  # type: ignore[union-attr]
    assert created(server) == 1


async def test_a_batch_that_nobody_waits_for_is_cancelled(tmp_path: Path) -> None:
    async with (
        upstream_server(tmp_path / "there", lambda: ScriptedEngine(delay_seconds=60.0)) as server,
        front(server, tmp_path) as engine,
    ):
        one = asyncio.create_task(many(engine, *asks(TEXTS[:2])))
        two = asyncio.create_task(many(engine, *asks(TEXTS[2:])))
        await eventually(lambda: any(path.startswith("/v1beta/batches/") for _, path in server.calls))
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert not any(path.endswith(":cancel") for _, path in server.calls), "somebody waits"
        two.cancel()
        await eventually(lambda: any(path.endswith(":cancel") for _, path in server.calls))
        await eventually(lambda: files(tmp_path) == set())


async def test_what_is_let_go_before_it_is_sent_is_not_sent(server: UpstreamServer, tmp_path: Path) -> None:
    async with front(server, tmp_path, wait_seconds=0.1) as engine:
        await engine.ready()
        gone = asyncio.create_task(many(engine, *asks(TEXTS[:6])))
        await asyncio.sleep(0.01)
        gone.cancel()
        outcomes = await many(engine, *asks(TEXTS[6:]))
    assert [o.text for o in outcomes] == TEXTS[6:]  # type: ignore[union-attr]
    assert answered(server) == sorted(TEXTS[6:])


async def test_who_comes_back_in_time_finds_the_batch(server: UpstreamServer, tmp_path: Path) -> None:
    """And it is not cancelled, though it had been left."""
    async with front(server, tmp_path, abandon_seconds=0.2, poll_seconds=0.6) as engine:
        waiting = asyncio.create_task(many(engine, *asks()))
        await eventually(lambda: created(server) == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        outcomes = await many(engine, *asks())
    assert [o.text for o in outcomes] == TEXTS  # type: ignore[union-attr]
    assert created(server) == 1


async def test_who_comes_back_late_finds_the_results(server: UpstreamServer, tmp_path: Path) -> None:
    slow = {"abandon_seconds": 60.0, "poll_seconds": 0.2}
    async with front(server, tmp_path, **slow) as engine:
        waiting = asyncio.create_task(many(engine, *asks()))
        await eventually(lambda: created(server) == 1)
        waiting.cancel()
        # Its lines are removed there when its results are known here.
        await eventually(lambda: any(method == "DELETE" for method, _ in server.calls))
        outcomes = await many(engine, *asks())
    assert [o.text for o in outcomes] == TEXTS  # type: ignore[union-attr]
    assert created(server) == 1


@pytest.mark.parametrize(
    ("state", "more", "cause"),
    [
        ("FAILED", {"error": {"code": 13, "message": "It broke."}}, Cause.UPSTREAM),
        ("FAILED", {"error": {"code": 8, "message": "Too much."}}, Cause.OVERLOADED),
        ("EXPIRED", {"error": {"code": 4}}, Cause.OVERLOADED),
        ("CANCELLED", {"error": {"code": 1}}, Cause.OVERLOADED),
    ],
)
async def test_a_batch_that_comes_to_nothing_is_to_be_asked_again(
    server: UpstreamServer, tmp_path: Path, state: str, more: dict[str, object], cause: Cause
) -> None:
    """A failure costs an Attempt; what was not tried costs none."""
    shown = {"metadata": {"state": f"BATCH_STATE_{state}"}, "done": True, **more}
    server.instead["GET /v1beta/batches/"] = (200, json.dumps({"name": "batches/x", **shown}).encode(), 1)
    async with front(server, tmp_path) as engine:
        outcomes = await many(engine, *asks())
        assert {o.cause for o in outcomes if isinstance(o, Failed)} == {cause}
        again = await many(engine, *asks())
    assert [o.text for o in again] == TEXTS  # type: ignore[union-attr]


async def test_what_an_expired_batch_did_is_taken_and_the_rest_asked_again(
    server: UpstreamServer, tmp_path: Path
) -> None:
    lines = b"".join(
        b'{"key":"%d","response":{"candidates":[{"content":{"parts":[{"text":"Done."}]}}]}}\n' % n
        for n in range(6)
    )
    lines += b"".join(b'{"key":"%d","error":{"code":4,"message":"It expired."}}\n' % n for n in range(6, 10))
    shown = {"state": "BATCH_STATE_EXPIRED", "output": {"responsesFile": "files/batch-x"}}
    body = json.dumps({"name": "batches/x", "done": True, "metadata": shown}).encode()
    server.instead["GET /v1beta/batches/"] = (200, body, 1)
    server.instead["GET /v1beta/files/batch-x:download"] = (200, lines + b"not even JSON\n\n", 1)
    async with front(server, tmp_path) as engine:
        outcomes = await many(engine, *asks())
    assert [isinstance(outcome, Answered) for outcome in outcomes] == [True] * 6 + [False] * 6
    causes = [outcome.cause for outcome in outcomes if isinstance(outcome, Failed)]
    assert causes == [Cause.OVERLOADED] * 4 + [Cause.UPSTREAM] * 2, "two have no result at all"


async def test_a_batch_that_is_refused_fails_with_its_reason(server: UpstreamServer, tmp_path: Path) -> None:
    refused = json.dumps({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Bad lines."}})
    server.instead[f"POST /v1beta/models/{MODEL}:batchGenerateContent"] = (400, refused.encode(), 1)
    async with front(server, tmp_path) as engine:
        outcomes = await many(engine, *asks())
    assert {(o.cause, "Bad lines." in o.detail) for o in outcomes if isinstance(o, Failed)} == {
        (Cause.INVALID, True)
    }


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_answer_that_did_not_come_makes_no_second_batch(
    server: UpstreamServer, tmp_path: Path, status: int
) -> None:
    """It was created, and said otherwise: it is looked for before it is created again."""
    error = json.dumps({"error": {"code": status, "status": "X", "message": "Not now."}}).encode()
    server.afterwards[f"POST /v1beta/models/{MODEL}:batchGenerateContent"] = (status, error, 1)
    async with front(server, tmp_path) as engine:
        outcomes = await many(engine, *asks())
    assert [o.text for o in outcomes] == TEXTS  # type: ignore[union-attr]
    assert created(server) == 1
    assert answered(server) == sorted(TEXTS)


async def test_a_connection_that_broke_makes_no_second_batch(server: UpstreamServer, tmp_path: Path) -> None:
    """Also one that had been kept, over which most calls would be made again at once."""
    server.hang_at = (f"POST /v1beta/models/{MODEL}:batchGenerateContent", "hang up")
    async with front(server, tmp_path, retry_seconds=1.0, retry_seconds_max=1.0) as engine:
        outcomes = await many(engine, *asks())
    assert [o.text for o in outcomes] == TEXTS  # type: ignore[union-attr]
    assert created(server) == 1


async def test_a_batch_that_was_deleted_there_is_asked_again(server: UpstreamServer, tmp_path: Path) -> None:
    gone = json.dumps({"error": {"code": 404, "status": "NOT_FOUND", "message": "No such batch."}}).encode()
    server.instead["GET /v1beta/batches/"] = (404, gone, 1)
    async with front(server, tmp_path) as engine:
        outcomes = await many(engine, *asks())
        assert {o.cause for o in outcomes if isinstance(o, Failed)} == {Cause.OVERLOADED}


async def test_uploads_go_to_no_other_server(server: UpstreamServer, tmp_path: Path) -> None:
    """The key goes along with them."""
    server.headers_instead["POST /upload/v1beta/files"] = {"X-Goog-Upload-URL": "http://elsewhere.test/x"}
    async with front(server, tmp_path) as engine:
        outcomes = await many(engine, *asks())
    assert {("elsewhere.test" in o.detail) for o in outcomes if isinstance(o, Failed)} == {True}
