"""What an answer may look like, and whether that can be compiled: found out at no one else's risk."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from halfrate.domain.request import Choice, FunctionDeclaration, Request
from halfrate.engines.embedded import calls, gguf, native, schema
from halfrate.engines.embedded.loading import reason

if TYPE_CHECKING:
    from openvino_genai import ContinuousBatchingPipeline, StructuredOutputConfig

_VERDICTS_MAX = 1024
_BYTE_A = 65


@dataclass(frozen=True, slots=True)
class Grammar:
    """All that an answer may be: a text that follows a JSON Schema, or one of the choices, or any text.

    With ``functions`` it may have calls of these in it, or be calls where it is not any text; if it
    ``must_call`` it is calls in any case. Their arguments follow the schemas of their parameters. After
    ``one_call`` comes no other.
    """

    json_schema: str | None = None
    choices: tuple[str, ...] = ()
    functions: tuple[FunctionDeclaration, ...] = ()
    must_call: bool = False
    one_call: bool = False


def grammar_of(request: Request) -> Grammar | None:
    """What the answer to this Request is held to, None if to nothing."""
    sampling, functions = request.sampling, request.functions
    callable = () if functions is None else functions.callable
    if sampling.json_schema is None and not sampling.choices and not callable:
        return None
    must_call = functions is not None and functions.choice is Choice.ANY
    one_call = functions is not None and not functions.several
    return Grammar(sampling.json_schema, sampling.choices, callable, must_call, one_call)


class GrammarProbe:
    """Compiles each new Grammar in a throwaway pipeline over a model of a few kilobytes.

    The pipeline compiles a grammar inside ``step()``, Python has no other way to ask for it, and an
    exception inside ``step()`` leaves a pipeline that can do nothing any more: one bad Grammar would take
    every Request beside it along.
    """

    def __init__(self) -> None:
        self._pipeline: ContinuousBatchingPipeline | None = None
        self._next_id = 0
        self._verdicts: OrderedDict[Grammar, str | None] = OrderedDict()  # None: it compiles

    def check(self, grammar: Grammar) -> None:
        """Return if answers can be held to this Grammar. Raise `BadSchema` or `UnenforcedSchema`."""
        if grammar not in self._verdicts:
            _check_parts(grammar)
            self._remember(grammar, self._compile(grammar))
        self._verdicts.move_to_end(grammar)
        verdict = self._verdicts[grammar]
        if verdict is not None:
            raise schema.BadSchema(f"{_name(grammar)} cannot be followed: {verdict}")

    def _remember(self, grammar: Grammar, verdict: str | None) -> None:
        self._verdicts[grammar] = verdict
        if len(self._verdicts) > _VERDICTS_MAX:
            self._verdicts.popitem(last=False)

    def _compile(self, grammar: Grammar) -> str | None:
        """Why the Grammar does not compile, or None."""
        pipeline = self._pipeline = self._pipeline or _toy_pipeline()
        config = pipeline.get_config()
        config.max_new_tokens = 2
        self._next_id += 1
        try:
            config.structured_output_config = structured(grammar)
            handle = pipeline.add_request(self._next_id, native.tensor([_BYTE_A]), config)
            pipeline.step()
        except native.ERRORS as error:
            self._pipeline = None
            return reason(error)
        handle.cancel()
        while pipeline.has_non_finished_requests():
            pipeline.step()
        return None


def _check_parts(grammar: Grammar) -> None:
    if grammar.json_schema is not None:
        schema.check(grammar.json_schema)
    if "" in grammar.choices:
        raise schema.BadSchema("an empty text is no choice")
    for declaration in grammar.functions:
        if declaration.parameters is not None:
            schema.check(declaration.parameters)


def _name(grammar: Grammar) -> str:
    """What a message calls it."""
    if grammar.functions:
        return "the JSON Schema of " + " or ".join(each.name for each in grammar.functions)
    return "the choices" if grammar.choices else "the JSON Schema"


def structured(grammar: Grammar) -> StructuredOutputConfig:
    """The pipeline's setting for answers that keep to this Grammar."""
    kinds = native.genai().StructuredOutputConfig
    config = kinds()
    if not grammar.choices and not grammar.functions:
        config.json_schema = grammar.json_schema
        return config
    shapes = [] if grammar.must_call else _shapes(grammar)
    tags = [_tag(each) for each in grammar.functions]
    if shapes:
        # One call at most where there may be none: the compiler unites only what has an end.
        config.compound_grammar = _one_of([*shapes, *tags])
    elif grammar.must_call:
        config.compound_grammar = kinds.TagsWithSeparator(
            tags, "\n", at_least_one=True, stop_after_first=grammar.one_call
        )
    else:
        config.compound_grammar = kinds.TriggeredTags([calls.BEGIN], tags, stop_after_first=grammar.one_call)
    return config


def _shapes(grammar: Grammar) -> list[object]:
    """What an answer without calls is held to; none if to nothing."""
    kinds = native.genai().StructuredOutputConfig
    choices = [kinds.ConstString(choice) for choice in grammar.choices]
    schemas = [] if grammar.json_schema is None else [kinds.JSONSchema(grammar.json_schema)]
    return [*choices, *schemas]


def _tag(declaration: FunctionDeclaration) -> object:
    """A call of this function."""
    kinds = native.genai().StructuredOutputConfig
    arguments = kinds.JSONSchema(declaration.parameters or calls.NO_PARAMETERS)
    return kinds.Tag(calls.opening(declaration), arguments, calls.CLOSING)


def _one_of(parts: list[object]) -> object:
    # A union of one is refused.
    return parts[0] if len(parts) == 1 else native.genai().StructuredOutputConfig.Union(parts)


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
