"""Finds out whether a JSON Schema can be compiled, at no one else's risk."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from halfrate.engines.embedded import gguf, native, schema
from halfrate.engines.embedded.loading import reason

if TYPE_CHECKING:
    from openvino_genai import ContinuousBatchingPipeline, StructuredOutputConfig

_VERDICTS_MAX = 1024
_BYTE_A = 65


class GrammarProbe:
    """Compiles each new schema in a throwaway pipeline over a model of a few kilobytes.

    The pipeline compiles a grammar inside ``step()``, Python has no other way to ask for it, and an
    exception inside ``step()`` leaves a pipeline that can do nothing any more: one bad schema would take
    every Request beside it along.
    """

    def __init__(self) -> None:
        self._pipeline: ContinuousBatchingPipeline | None = None
        self._next_id = 0
        self._verdicts: OrderedDict[str, str | None] = OrderedDict()  # None: it compiles

    def check(self, text: str) -> None:
        """Return if answers can be made to follow this schema. Raise `BadSchema` or `UnenforcedSchema`."""
        if text not in self._verdicts:
            schema.check(text)
            self._remember(text, self._compile(text))
        self._verdicts.move_to_end(text)
        verdict = self._verdicts[text]
        if verdict is not None:
            raise schema.BadSchema(f"the JSON Schema cannot be followed: {verdict}")

    def _remember(self, text: str, verdict: str | None) -> None:
        self._verdicts[text] = verdict
        if len(self._verdicts) > _VERDICTS_MAX:
            self._verdicts.popitem(last=False)

    def _compile(self, text: str) -> str | None:
        """Why the schema does not compile, or None."""
        pipeline = self._pipeline = self._pipeline or _toy_pipeline()
        config = pipeline.get_config()
        config.max_new_tokens = 2
        config.structured_output_config = structured(text)
        self._next_id += 1
        handle = pipeline.add_request(self._next_id, native.tensor([_BYTE_A]), config)
        try:
            pipeline.step()
        except native.ERRORS as error:
            self._pipeline = None
            return reason(error)
        handle.cancel()
        while pipeline.has_non_finished_requests():
            pipeline.step()
        return None


def structured(text: str) -> StructuredOutputConfig:
    """The pipeline's setting for answers that follow this schema."""
    config = native.genai().StructuredOutputConfig()
    config.json_schema = text
    return config


def _toy_pipeline() -> ContinuousBatchingPipeline:
    genai = native.genai()
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = 8
    scheduler.max_num_batched_tokens = 32
    scheduler.max_num_seqs = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "toy.gguf"
        gguf.write_toy(path)
        return genai.ContinuousBatchingPipeline(str(path), scheduler, "CPU", {"INFERENCE_NUM_THREADS": 1})
