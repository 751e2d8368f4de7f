"""The batcher under test, over the real pipeline and models of a few kilobytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from halfrate.domain.outcome import Answered
from halfrate.domain.request import Request
from halfrate.engines.embedded import gguf, loading, protocol
from halfrate.engines.embedded.admission import Admission
from halfrate.engines.embedded.batcher import Batcher
from halfrate.engines.embedded.settings import EmbeddedSettings
from tests.engines import ask, toy_model


class Audited:
    """The pipeline, checked at every step: it must never use more blocks than were promised to those inside.

    As long as that holds and no more are promised than there are, it never has to throw anyone out.
    """

    def __init__(self, pipeline: Any, blocks_total: int) -> None:
        self._pipeline = pipeline
        self._blocks_total = blocks_total
        self.admission: Admission | None = None

    def step(self) -> None:
        assert self.admission is not None
        promised = self.admission.blocks_in_use
        self._pipeline.step()
        used = round(self._pipeline.get_metrics().cache_usage / 100 * self._blocks_total)
        assert used <= promised <= self._blocks_total

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


class Bench:
    """A batcher, and what it said."""

    def __init__(self, folder: Path, settings: EmbeddedSettings, model_path: Path | None = None) -> None:
        model = loading.load(loading.find(str(model_path or toy_model(folder))), settings)
        audited = Audited(model.pipeline, model.blocks_total)
        self.model = replace(model, pipeline=audited)
        self.said: list[protocol.FromChild] = []
        self.batcher = Batcher(self.model, settings, self.said.append)
        audited.admission = self.batcher._admission
        self.asked = 0

    def ask(self, text: str, *, interactive: bool = False, **sampling: object) -> int:
        return self.request(ask(text, **sampling), interactive=interactive)

    def request(self, request: Request, *, interactive: bool = False, streamed: bool = False) -> int:
        self.asked += 1
        self.batcher.take(protocol.Ask(self.asked, request, interactive, streamed))
        return self.asked

    def answer(self, request: Request) -> Answered:
        """What is answered, which the pieces of it, as they were written, have to begin."""
        id = self.request(request, streamed=True)
        said = self.run()[id]
        assert isinstance(said, protocol.Done), said
        deltas = [
            d
            for wrote in self.said
            if isinstance(wrote, protocol.Wrote) and wrote.id == id
            for d in wrote.deltas
        ]
        for index, candidate in enumerate(said.answered.candidates):
            mine = [delta for delta in deltas if delta.index == index]
            assert candidate.text.startswith("".join(delta.text for delta in mine))
            assert candidate.thought.startswith("".join(delta.thought for delta in mine))
        return said.answered

    def run(self) -> dict[int, protocol.Done | protocol.Refused]:
        """Turn until there is nothing left to do; who got what, in the order they got it."""
        while self.batcher.busy:
            self.batcher.turn()
        return {said.id: said for said in self.said if isinstance(said, protocol.Done | protocol.Refused)}


def parrot(folder: Path, *said: str, template: str, follows: dict[str, str] | None = None) -> Path:
    """A model that says these words after the last of its template, ``<go>``, and ends.

    Each is a token of its own. ``follows`` are bytes that come after bytes, for when it is made to write
    something else.
    """
    path = folder / "parrot.gguf"
    chain = dict(zip(("<go>", *said), (*said, gguf.END), strict=True))
    marks = ["<go>", *(word for word in said if word.startswith("<"))]
    words = [word for word in said if word not in marks]
    gguf.write_toy(path, words=words, marks=marks, follows={**(follows or {}), **chain}, template=template)
    return path
