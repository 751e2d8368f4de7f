"""Whose Shard an Engine is given next."""

from contextlib import contextmanager

import pytest

from halfrate.dispatch.joint import JointWalk
from halfrate.domain.errors import CorruptData
from halfrate.domain.line import Line, Rejection
from halfrate.domain.request import Message, Request, Role
from halfrate.domain.shard import Shard
from halfrate.planner.claim import SHARED_BYTES_MIN
from halfrate.planner.prefix import sort_key
from tests.fakes import make_job


def ask(text):
    return Request((Message(Role.USER, text),))


DOCUMENT = "x" * SHARED_BYTES_MIN
TAIL = sort_key(ask(DOCUMENT + "end"))


class Store:
    """Jobs with one Shard each, by id, in the order they go."""

    def __init__(self, *job_ids):
        self.job_ids = job_ids
        self.deleted = set()
        self.looks = 0

    async def next_shards(self, engine, *, limit):
        self.looks += 1
        return [Shard(job_id, 0, 0, 1, engine) for job_id in self.job_ids][:limit]

    async def get_job(self, job_id):
        return None if job_id in self.deleted else make_job(job_id, input_blob=job_id)


class Inputs:
    """The one line of each input; or what reading it raises."""

    def __init__(self, **lines):
        self._lines = lines

    @contextmanager
    def lines(self, blob):
        self._line = self._lines[blob]
        if isinstance(self._line, Exception):
            raise self._line
        yield self

    def in_run_order(self, first, count):
        assert (first, count) == (0, 1)
        return [(None, self._line)]


def walk_of(store, **lines):
    return JointWalk("m", store=store, inputs=Inputs(**lines), asked=lambda line, model, kind: line.request)


def line_of(text):
    return Line(None, None, None, ask(text))


async def test_a_shard_that_begins_as_the_last_ended_goes_ahead():
    walk = walk_of(Store("a", "b"), a=line_of("other"), b=line_of(DOCUMENT))
    walk.passed(TAIL)
    assert await walk.step() == "b"


async def test_nothing_is_looked_at_where_the_last_prompt_was_short():
    store = Store("a", "b")
    walk = walk_of(store)
    assert await walk.step() is None
    walk.passed(sort_key(ask("short")))
    assert await walk.step() is None
    assert store.looks == 0


@pytest.mark.parametrize(
    "line",
    [FileNotFoundError("gone"), CorruptData("damaged"), Rejection("no line")],
    ids=str,
)
async def test_an_input_that_cannot_be_read_keeps_its_place(line):
    walk = walk_of(Store("a", "b", "c"), a=line_of("other"), b=line, c=line_of(DOCUMENT))
    walk.passed(TAIL)
    assert await walk.step() == "c"
    walk = walk_of(Store("a", "b"), a=line_of("other"), b=line)
    walk.passed(TAIL)
    assert await walk.step() is None


async def test_a_job_deleted_meanwhile_is_passed_over():
    store = Store("a", "b")
    store.deleted = {"b"}
    walk = walk_of(store, a=line_of("other"), b=line_of(DOCUMENT))
    walk.passed(TAIL)
    assert await walk.step() is None


async def test_without_shards_nobody_goes_ahead():
    walk = walk_of(Store())
    walk.passed(TAIL)
    assert await walk.step() is None
