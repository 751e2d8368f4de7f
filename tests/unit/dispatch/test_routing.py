"""Which Engine each line of a Job goes to."""

from halfrate.dispatch.routing import Piece, Routing
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.shard import Section
from halfrate.ingest.index import IndexSummary, NamedModel

ENGINES = {"own-alias": "own", "big": "big", "big-alias": "big"}


def engine_of(name: str, kind: Kind) -> str | Failed:
    return ENGINES.get(name) or Failed(Cause.INVALID, f"{name} is not found")


def routing(model: str = "models/asked") -> Routing:
    return Routing(model=model, engine="own", kind=Kind.GENERATION, engine_of=engine_of)


def summary(requests: int, *models: NamedModel) -> IndexSummary:
    return IndexSummary(requests, 0, 0, (), 0, models=models)


def test_lines_without_a_model_or_with_the_jobs_own_are_one_piece():
    named = [NamedModel("asked", 3, 1), NamedModel("own-alias", 2, 4)]
    assert routing().pieces(summary(9, *named)) == [Piece("own", 0, 9)]
    assert routing().pieces(summary(5, *named)) == [Piece("own", 0, 5)]
    assert routing().pieces(IndexSummary(4, 0, 0, (), 0)) == [Piece("own", 0, 4)]


def test_the_name_a_job_was_asked_by_leads_to_its_own_engine_whatever_else_has_it_now():
    assert routing("models/big").engine_for("big") == "own"


def test_the_sections_of_one_engine_come_one_after_the_other_its_own_first():
    named = [
        NamedModel("big", 2, 1),
        NamedModel("nobody", 1, 3),
        NamedModel("big-alias", 1, 4),
        NamedModel("own-alias", 4, 5),
    ]
    pieces = routing().pieces(summary(8, *named))
    assert pieces == [
        Piece("big", 0, 2),
        Piece("own", 2, 1, "nobody is not found"),
        Piece("big", 3, 1),
        Piece("own", 4, 4),
    ]
    assert routing().sections(pieces, [[1, 1], [1], [1], [3, 1]]) == [
        Section("own", 2, (1,), "nobody is not found"),
        Section("own", 4, (3, 1)),
        Section("big", 0, (1, 1)),
        Section("big", 3, (1,)),
    ]


def test_a_cache_goes_with_the_engine_of_the_line_that_names_it():
    named = IndexSummary(
        4,
        0,
        0,
        (),
        0,
        caches=(("c", 1), ("c", 2), ("d", 3)),
        cache_models=(None, "big", "nobody"),
        models=(),
    )
    assert routing().caches(named) == [("c", 1, "own"), ("c", 2, "big")]
