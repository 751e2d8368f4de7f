"""The batcher against the real pipeline, over a model of a few kilobytes that writes without end."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halfrate.domain.outcome import Cause, Finish
from halfrate.engines.embedded import loading, native, protocol
from halfrate.engines.embedded.admission import Admission, Applicant
from halfrate.engines.embedded.prefix import BLOCK_TOKENS, chain
from tests.batchers import Bench
from tests.engines import QUICK, toy_model


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    return Bench(tmp_path, QUICK)


def test_the_longest_answer_is_of_the_length_asked_for(bench: Bench) -> None:
    id = bench.ask("Go on.", max_output_tokens=7)
    done = bench.run()[id]
    assert isinstance(done, protocol.Done)
    assert done.answered.finish is Finish.LENGTH
    assert done.answered.usage.output_tokens == 7


def test_a_small_cache_makes_them_wait_not_fail(tmp_path: Path) -> None:
    """Sixty Requests, some of which share a prefix, through a cache that holds two or three of them."""
    bench = Bench(tmp_path, replace(QUICK, kv_blocks=20))
    ids = [bench.ask(f"{n % 7} " * 60 + f"{n % 11} " * 20, max_output_tokens=100) for n in range(60)]
    got = bench.run()
    assert [type(got[id]) for id in ids] == [protocol.Done] * 60


def test_a_cancelled_one_makes_room_for_the_next(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(QUICK, kv_blocks=12))
    first = bench.ask("Take everything.", max_output_tokens=300)
    second = bench.ask("Take it after that.", max_output_tokens=300)
    third = bench.ask("Never mind.", max_output_tokens=300)
    for _ in range(5):
        bench.batcher.turn()
    bench.batcher.take(protocol.Cancel(first))
    bench.batcher.take(protocol.Cancel(third))
    bench.batcher.take(protocol.Cancel(12345))
    assert list(bench.run()) == [second]


def test_a_schema_that_does_not_compile_harms_nobody(bench: Bench) -> None:
    """The pipeline would lose everyone in the batch over it."""
    good = [bench.ask(f"Request {n}", max_output_tokens=20) for n in range(4)]
    schemas = ['{"type": "foo"}', '{"$ref": "#/nope"}', '{"type": "string", "pattern": "(("}', '{"not": {}}']
    bad = [bench.ask("Shape it.", json_schema=schema) for schema in [*schemas, *schemas]]
    got = bench.run()
    assert all(isinstance(got[id], protocol.Done) for id in good)
    causes = [refused.cause for id in bad if isinstance(refused := got[id], protocol.Refused)]
    assert causes == [Cause.INVALID, Cause.INVALID, Cause.INVALID, Cause.UNSUPPORTED] * 2
    assert "foo" in got[bad[0]].detail  # type: ignore[union-attr]


@pytest.mark.parametrize("words", [1, 30])
def test_all_candidates_of_a_refused_value_are_one_refusal(bench: Bench, words: int) -> None:
    """Whether they are let in together, or the others wait for the first."""
    bad = bench.ask("Hello. " * words, presence_penalty=9.0, candidates=5)
    good = bench.ask("Hello. " * 30, max_output_tokens=3)
    got = bench.run()
    assert isinstance(got[bad], protocol.Refused)
    assert isinstance(got[good], protocol.Done)
    assert len([said for said in bench.said if isinstance(said, protocol.Refused)]) == 1
    assert bench.batcher._admission.running == bench.batcher._admission.waiting == 0


def test_one_candidate_that_fails_takes_the_others_along(bench: Bench) -> None:
    """And nobody who is answered beside them."""

    class Thrown:
        """The handle of one that the pipeline gave up."""

        def __init__(self, handle: Any) -> None:
            self._handle = handle

        def get_status(self) -> object:
            return native.genai().GenerationStatus.IGNORED

        def __getattr__(self, name: str) -> Any:
            return getattr(self._handle, name)

    bad = bench.ask("Hello.", candidates=3, max_output_tokens=4)
    good = bench.ask("Hello there.", max_output_tokens=4)
    bench.batcher.turn()
    first = bench.batcher._running[min(bench.batcher._running)]
    first.handle = Thrown(first.handle)
    got = bench.run()
    assert isinstance(refused := got[bad], protocol.Refused)
    assert refused.cause is Cause.OVERLOADED
    assert isinstance(got[good], protocol.Done)
    assert len(got) == 2
    assert bench.batcher._admission.running == bench.batcher._admission.waiting == 0


def test_candidates_share_their_prompt(bench: Bench) -> None:
    """More of them than may be inside at once; nobody computes the prompt a second time."""
    id = bench.ask("x" * 1000, candidates=8, max_output_tokens=5)
    done = bench.run()[id]
    assert isinstance(done, protocol.Done)
    assert done.answered.usage.output_tokens == 8 * 5
    # A step computes up to 1024 tokens: eight prompts at once would take eight.
    assert bench.batcher._steps < 5 + 8


def test_a_choice_of_nothing_is_refused(bench: Bench) -> None:
    id = bench.ask("Which?", choices=("a", ""))
    assert isinstance(refused := bench.run()[id], protocol.Refused)
    assert refused.cause is Cause.INVALID
    assert "An empty text is no choice." in refused.detail


def test_an_answer_can_be_any_of_many_choices(bench: Bench) -> None:
    """This model would rather write NULs: each answer is a choice, and all of them come."""
    choices = tuple(f"{n:02}{'+' * (n % 3)}" for n in range(20))
    ids = [bench.ask("Which?", choices=choices, temperature=2.0, seed=n) for n in range(150)]
    got = bench.run()
    assert {said.answered.text for id in ids if isinstance(said := got[id], protocol.Done)} == set(choices)


def test_a_value_the_pipeline_refuses_harms_nobody(bench: Bench) -> None:
    bad = bench.ask("Hello.", presence_penalty=9.0)
    good = bench.ask("Hello.", max_output_tokens=3)
    got = bench.run()
    assert isinstance(refused := got[bad], protocol.Refused)
    assert refused.cause is Cause.INVALID
    assert "presence_penalty" in refused.detail
    assert isinstance(got[good], protocol.Done)


def test_an_answer_that_follows_a_schema_is_complete_json(bench: Bench) -> None:
    """This model would put a NUL wherever the grammar lets it."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    schema["additionalProperties"] = False
    id = bench.ask("Is it?", json_schema=json.dumps(schema), max_output_tokens=200)
    done = bench.run()[id]
    assert isinstance(done, protocol.Done)
    if done.answered.finish is Finish.STOP:
        assert set(json.loads(done.answered.text)) == {"ok"}


def test_a_prompt_that_does_not_fit_says_by_how_much(bench: Bench) -> None:
    id = bench.ask("x" * 5000, max_output_tokens=10)
    refused = bench.run()[id]
    assert isinstance(refused, protocol.Refused)
    assert refused.cause is Cause.TOO_LONG
    assert "leaves no room for an answer in the context of 4096 tokens" in refused.detail


def test_what_is_said_to_come_from_the_cache_does(tmp_path: Path) -> None:
    """At one token a step, the steps to the first token of an answer are the tokens not taken from the cache.

    The mirror must never claim more than were, though the cache is too small to keep everything.
    """
    settings = replace(QUICK, kv_blocks=40, batched_tokens_max=1)
    model = loading.load(loading.find(str(toy_model(tmp_path))), settings)
    admission = Admission(sequences_max=1, blocks_total=model.blocks_total)
    chance = random.Random(1)
    roots = [[chance.randrange(250) for _ in range(length)] for length in (64, 96, 160, 200)]
    claimed = taken = 0
    for id in range(1, 120):
        root = chance.choice(roots)
        prompt = root[: chance.randrange(40, len(root) + 1)]
        prompt += [chance.randrange(250) for _ in range(chance.choice([0, 1, 20, 64]))]
        admission.offer(Applicant(id, len(prompt), 40, chain(prompt)))
        (entry,) = admission.admit()
        cached = len(prompt) - steps_to_first_token(model, id, prompt, admission)
        assert entry.cached_tokens <= cached
        claimed += entry.cached_tokens
        taken += cached
    assert claimed > taken / 2 > 20 * BLOCK_TOKENS


def steps_to_first_token(model: loading.Model, id: int, prompt: list[int], admission: Admission) -> int:
    config = model.pipeline.get_config()
    config.max_new_tokens = 40
    handle = model.pipeline.add_request(id, native.tensor(prompt), config)
    steps = first = 0
    while model.pipeline.has_non_finished_requests():
        model.pipeline.step()
        steps += 1
        if not first and handle.can_read():
            first = steps
            admission.prefilled(id)
    admission.left(id)
    return first


@pytest.mark.parametrize("where", ["add_request", "prompt"])
def test_memory_that_runs_out_ends_the_process_and_blames_no_request(bench: Bench, where: str) -> None:
    """Native code says it in an exception like any other, but nothing works after it."""

    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError("Exception from src/core/src/runtime/allocator.cpp:61: std::bad_alloc")

    if where == "add_request":
        bench.model.pipeline.add_request = fails
    else:
        bench.batcher._prompts.prompt = fails  # type: ignore[method-assign,assignment]
    bench.ask("Hello.", max_output_tokens=3)
    with pytest.raises(RuntimeError, match="bad_alloc"):
        bench.run()
    assert not [said for said in bench.said if isinstance(said, protocol.Refused)]
