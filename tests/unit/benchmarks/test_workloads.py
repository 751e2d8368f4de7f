"""Workloads share exactly what they are asked to share."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import models, workloads
from benchmarks.workloads import WORKLOADS, Spec, Workload, make, shared_tokens, tokens_of
from halfrate.domain.request import Request, Role
from halfrate.engines.embedded import EmbeddedEngine
from halfrate.planner.prefix import sort_key
from tests.engines import QUICK
from tests.unit.benchmarks.test_models import TINY

SPECS = [each for spec in WORKLOADS.values() for each in (spec, spec.smaller(4))]


def trie_nodes(prompts: list[str], unit: int = 1) -> set[str]:
    """Every beginning there is, in whole units."""
    return {prompt[:end] for prompt in prompts for end in range(unit, len(prompt) + 1, unit)}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.name}-{spec.requests}")
def test_the_shared_share_is_the_one_asked_for(spec: Spec) -> None:
    workload = make(spec, seed=7)
    assert len(workload.requests) == spec.requests
    assert abs(workload.shared - spec.shared * workload.total) < 1
    assert spec.requests - workload.distinct == round(spec.requests * spec.twins)


@given(
    groups=st.lists(st.integers(1, 5), max_size=3),
    requests=st.integers(2, 40),
    skew=st.sampled_from([0.0, 1.0]),
    twins=st.sampled_from([Fraction(0), Fraction(1, 4)]),
    share=st.fractions(Fraction(1, 100), 1, max_denominator=100),
    seed=st.integers(0, 3),
)
def test_it_is_so_for_any_depth_and_sizes(
    groups: list[int], requests: int, skew: float, twins: Fraction, share: Fraction, seed: int
) -> None:
    """What is counted is what a trie counts that is built token by token, and block by block."""
    spec = Spec(
        "any",
        "",
        requests,
        share,
        groups=tuple(groups),
        tokens=(40,) * len(groups),
        skew=skew,
        twins=twins,
        speakers=(Role.USER,) * (len(groups) + 1),
    )
    try:
        workload = make(spec, seed=seed)
    except ValueError:  # their own texts are too long already, or every one has a twin
        return
    prompts = list(map(tokens_of, workload.requests))
    assert workload.total == sum(map(len, prompts))
    assert workload.shared == workload.total - len(trie_nodes(prompts))
    assert abs(workload.shared - share * workload.total) < 1
    different = sorted(set(prompts))
    gone_twice = [node for node in trie_nodes(different) if sum(p.startswith(node) for p in different) > 1]
    assert workload.prefix_tokens == len(gone_twice)
    blocks = sum(len(prompt) // 8 for prompt in different) - len(trie_nodes(different, 8))
    twins_tokens = workload.total - sum(map(len, different))
    assert workload.reachable(8) == blocks * 8 + twins_tokens


def test_equal_seeds_make_equal_workloads() -> None:
    spec = WORKLOADS["table"].smaller(4)
    assert make(spec, seed=1) == make(spec, seed=1)
    assert shared_tokens([tokens_of(r) for w in (1, 2) for r in make(spec, seed=w).requests][:200]) > 0
    assert set(make(spec, seed=1).requests).isdisjoint(make(spec, seed=2).requests)


def test_a_file_does_not_come_in_the_best_order() -> None:
    requests = make(WORKLOADS["documents"], seed=1).requests
    assert sorted(requests, key=sort_key) != list(requests)


def test_the_planner_walks_the_trie() -> None:
    """Its order has neighbours that share as much as any order's can."""
    workload = make(WORKLOADS["chat"].smaller(4), seed=1)
    in_order = [tokens_of(request) for request in sorted(workload.requests, key=sort_key)]
    walked = sum(workloads.common_length(one, other) for one, other in pairwise(in_order))
    assert walked == workload.shared


def test_lines_say_what_the_requests_ask() -> None:
    workload = make(WORKLOADS["chat"].smaller(8), seed=1)
    lines = [msgspec.json.decode(line) for line in workload.lines()]
    assert [line["key"] for line in lines] == [str(number) for number in range(len(workload.requests))]
    for line, request in zip(lines, workload.requests, strict=True):
        asked = line["request"]
        said = [asked["systemInstruction"], *asked["contents"]]
        assert [turn["parts"][0]["text"] for turn in said] == [message.text for message in request.messages]
        assert [turn.get("role", "system") for turn in said] == ["system", "user", "model", "user"]


async def test_the_benchmark_model_counts_the_same_tokens(tmp_path: Path) -> None:
    asked: list[Request] = [make(spec.smaller(4), seed=1).requests[0] for spec in WORKLOADS.values()]
    async with EmbeddedEngine(models.path_of(TINY, folder=tmp_path), settings=QUICK) as engine:
        counted = [await engine.count_tokens(request) for request in asked]
    assert counted == [len(tokens_of(request)) for request in asked]


def test_calibration_asks_prompts_as_long_that_share_nothing() -> None:
    workload = make(WORKLOADS["documents"].smaller(4), seed=1)
    alike = Workload(workload.spec, tuple(workloads.alike(workload, 12, output_tokens=3, seed=5)))
    lengths = {len(tokens_of(request)) for request in workload.requests}
    assert {len(tokens_of(request)) for request in alike.requests} <= lengths
    assert alike.reachable(32) == 0
    assert {request.sampling.max_output_tokens for request in alike.requests} == {3}
