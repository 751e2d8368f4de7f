"""Which Engine each line of a Job goes to: the Job's own, or that of the model the line names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.job import Job
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Failed
from halfrate.domain.shard import Section
from halfrate.ingest.index import STRANGERS_MAX, IndexSummary

EngineOf = Callable[[str, Kind], str | Failed]
"""Says which Engine answers to a model's name in a Job of this kind, or why none does."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines next to each other in a Job's order, from position ``first``, that go to one Engine.

    ``refusal`` says why none of them can be answered, if so: then they get their errors at the Job's own.
    """

    engine: str
    first: int
    requests: int
    refusal: str | None = None


class Routing:
    """The ways of one Job's lines."""

    def __init__(self, *, model: str, engine: str, kind: Kind, engine_of: EngineOf) -> None:
        """``model`` is the name the client asked for, ``engine`` what answers to it."""
        self._model = model.removeprefix("models/")
        self._engine = engine
        self._kind = kind
        self._engine_of = engine_of

    @classmethod
    def of(cls, job: Job, engine_of: EngineOf) -> Routing:
        """Return the ways of the lines of this Job."""
        return cls(model=job.model, engine=job.engine, kind=job.kind, engine_of=engine_of)

    def engine_for(self, named: str | None) -> str | Failed:
        """Return the Engine that answers lines which name this model, or why none does."""
        # A Job remembers what was to answer it, whatever its name leads to by now.
        if named is None or named == self._model:
            return self._engine
        return self._engine_of(named, self._kind)

    def refuse_unserved(self, summary: IndexSummary) -> None:
        """Raise `InvalidArgument` if lines name a model that is not served, or that makes something else."""
        errors = []
        for named in summary.models or ():
            found = self.engine_for(named.model)
            if isinstance(found, Failed):
                more = named.requests - 1
                others = f" {more:,} more lines name it." if more else ""
                errors.append((named.line, f"Error on line {named.line}: {found.detail}{others}"))
        if errors:
            told = [message for _, message in sorted(errors)[:STRANGERS_MAX]]
            untold = len(errors) - len(told)
            raise InvalidArgument("\n".join([*told, *([f"... and {untold} more."] if untold else [])]))

    def caches(self, summary: IndexSummary) -> list[tuple[str, int, str]]:
        """Return each Cache that lines name, the number of the first that does, and the Engine they go to."""
        engines = ((cache, line, self.engine_for(model)) for cache, line, model in summary.named_caches)
        return [(cache, line, engine) for cache, line, engine in engines if not isinstance(engine, Failed)]

    def pieces(self, summary: IndexSummary) -> list[Piece]:
        """Return the order in pieces, in order, none of them empty, and no two next to each other alike."""
        pieces: list[Piece] = []
        for piece in self._pieces(summary):
            last = pieces[-1] if pieces else None
            if last is not None and (last.engine, last.refusal) == (piece.engine, piece.refusal):
                pieces[-1] = Piece(last.engine, last.first, last.requests + piece.requests, last.refusal)
            elif piece.requests:
                pieces.append(piece)
        return pieces

    def _pieces(self, summary: IndexSummary) -> Iterator[Piece]:
        models = summary.models or ()
        first = summary.requests - sum(named.requests for named in models)
        yield Piece(self._engine, 0, first)
        for named in models:
            match self.engine_for(named.model):
                case Failed(_, detail):
                    yield Piece(self._engine, first, named.requests, detail)
                case engine:
                    yield Piece(engine, first, named.requests)
            first += named.requests

    def sections(self, pieces: Sequence[Piece], sizes: Sequence[Sequence[int]]) -> list[Section]:
        """Return the Sections that pieces, cut into such Shards, make: those of one Engine together."""
        engines = list(dict.fromkeys([self._engine, *(piece.engine for piece in pieces)]))
        sections = [
            Section(piece.engine, piece.first, tuple(cut), piece.refusal)
            for piece, cut in zip(pieces, sizes, strict=True)
        ]
        return sorted(sections, key=lambda section: engines.index(section.engine))
