"""Thinking, with a model of a few kilobytes that thinks two words before it answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halfrate.domain.outcome import Candidate, Delta, Finish
from halfrate.domain.request import Choice, FunctionDeclaration, Functions, Message, Request, Role, Sampling
from halfrate.engines.embedded import gguf, protocol, thinking
from tests.batchers import Bench, parrot
from tests.engines import QUICK, ask

SWITCHED = (
    "{% for m in messages %}{{ m.content }}{% endfor %}<go>"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
ALWAYS = "{% for m in messages %}{{ m.content }}{% endfor %}{{ '<go><think>\n' }}"
# After the line that opens a thought it thinks, after the empty line behind one it answers.
SAYS = {"Ċ": "Hmm,", "Hmm,": "Well,", "Well,": "</think>", "\n\n": "Yes", "Yes": "Sir", "Sir": gguf.END}
THOUGHT = Candidate("YesSir", Finish.STOP, thought_tokens=4)


def thinker(folder: Path, template: str, says: dict[str, str] = SAYS) -> Bench:
    path = folder / "thinker.gguf"
    marks, words = ["<go>", "<think>", "</think>", "\n\n"], ["Hmm,", "Well,", "Yes", "Sir"]
    gguf.write_toy(path, words=words, marks=marks, follows=says, template=template)
    return Bench(folder, QUICK, path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return thinker(tmp_path, SWITCHED)


def one(bench: Bench, **sampling: object) -> Candidate:
    (candidate,) = bench.answer(ask("Well?", **sampling)).candidates
    return candidate


def test_it_thinks_when_asked_to(bench: Bench) -> None:
    """As long as it likes, as long as it may, or because somebody wants to read it."""
    assert bench.batcher.thinks
    assert one(bench, thinking_budget=-1) == one(bench, thinking_budget=100) == THOUGHT
    thought = Candidate("YesSir", Finish.STOP, "Hmm,Well,", thought_tokens=4)
    assert one(bench, include_thoughts=True) == thought


def test_it_does_not_think_when_not_asked_to(bench: Bench) -> None:
    """As its settings have it; or as the Request has it, thoughts asked for or not."""
    assert one(bench) == one(bench, thinking_budget=0) == Candidate("YesSir", Finish.STOP)
    assert one(bench, thinking_budget=0, include_thoughts=True) == Candidate("YesSir", Finish.STOP)


def test_a_model_that_always_thinks_can_be_told_not_to(tmp_path: Path) -> None:
    bench = thinker(tmp_path, ALWAYS)
    assert one(bench) == THOUGHT
    assert one(bench, thinking_budget=0) == Candidate("YesSir", Finish.STOP)


@pytest.mark.parametrize(("budget", "thought"), [(1, "Hmm,"), (2, "Hmm,Well,"), (3, "Hmm,Well,")])
def test_a_budget_ends_the_thought(bench: Bench, budget: int, thought: str) -> None:
    """To the token; what closes it in the model's place is counted with it."""
    candidate = one(bench, thinking_budget=budget, include_thoughts=True)
    assert (candidate.thought, candidate.text) == (thought, "YesSir")
    assert candidate.thought_tokens == (4 if budget == 3 else budget + 3)


@pytest.mark.parametrize("most", range(1, 10))
def test_thought_and_answer_keep_to_one_bound(bench: Bench, most: int) -> None:
    """Both are counted; an answer that has no room left is empty, and of LENGTH."""
    answered = bench.answer(ask("Well?", thinking_budget=-1, max_output_tokens=most))
    (candidate,) = answered.candidates
    assert answered.usage.output_tokens == min(most, 7)
    assert candidate.text == ("" if most < 5 else "Yes" if most < 6 else "YesSir")
    assert candidate.finish is (Finish.STOP if most > 6 else Finish.LENGTH)
    assert candidate.thought_tokens == min(most, 4)


def test_a_text_that_ends_in_a_thought_is_answered_all_the_same(tmp_path: Path) -> None:
    bench = thinker(tmp_path, SWITCHED, {**SAYS, "Well,": gguf.END})
    candidate = one(bench, include_thoughts=True)
    assert (candidate.thought, candidate.text, candidate.finish) == ("Hmm,Well,", "YesSir", Finish.STOP)


def test_what_is_asked_of_an_answer_is_not_asked_of_a_thought(bench: Bench) -> None:
    """Stop strings, schemas, choices and calls."""
    asked = {"include_thoughts": True, "max_output_tokens": 120}
    assert one(bench, stop=("Hmm", "Sir"), **asked).text == "Yes"
    schema = {"type": "object", "properties": {"Yes": {"enum": [1]}}, "required": ["Yes"]}
    shaped = one(bench, json_schema=json.dumps({**schema, "additionalProperties": False}), **asked)
    assert shaped.thought == "Hmm,Well,"
    assert shaped.finish is Finish.LENGTH or json.loads(shaped.text) == {"Yes": 1}
    assert shaped.text.startswith("{")
    assert one(bench, choices=("No", "YesSirs"), **asked).text in {"No", "YesSirs"}
    functions = Functions((FunctionDeclaration("f"),), Choice.ANY)
    sampling = Sampling(**asked)  # type: ignore[arg-type]
    (called,) = bench.answer(Request((Message(Role.USER, "Well?"),), sampling, functions)).candidates
    assert called.thought == "Hmm,Well,"
    assert called.calls[0].name == "f"


def test_thoughts_are_told_as_they_come_if_asked_for(bench: Bench) -> None:
    """Before the answer, and for each candidate."""
    id = bench.request(ask("Well?", include_thoughts=True, candidates=2), streamed=True)
    quiet = bench.request(ask("Well?", thinking_budget=-1), streamed=True)
    bench.run()
    said = [
        (wrote.id, delta)
        for wrote in bench.said
        if isinstance(wrote, protocol.Wrote)
        for delta in wrote.deltas
    ]
    for index in (0, 1):
        mine = [delta for of, delta in said if of == id and delta.index == index]
        assert mine[:2] == [Delta(thought="Hmm,", index=index), Delta(thought="Well,", index=index)]
        assert mine[2:] == [Delta("Yes", index=index), Delta("Sir", index=index)]
    assert all(not delta.thought for of, delta in said if of == quiet)


def test_log_probabilities_are_those_of_the_answer(bench: Bench) -> None:
    candidate = one(bench, thinking_budget=-1, logprobs=0)
    assert len(candidate.logprobs) == 2


def test_a_small_cache_has_room_for_thoughts_too(tmp_path: Path) -> None:
    """The pipeline never needs more than was promised, though each computes a block twice."""
    bench = thinker(tmp_path, SWITCHED)
    ids = [bench.request(ask(f"{n % 5} " * 70, thinking_budget=2, max_output_tokens=200)) for n in range(40)]
    got = bench.run()
    assert {type(got[id]) for id in ids} == {protocol.Done}
    assert bench.batcher._admission.running == bench.batcher._admission.blocks_in_use == 0


def test_its_template_is_told(bench: Bench) -> None:
    """It has its own way to begin an answer without a thought."""
    prompts = bench.batcher._prompts
    assert prompts._text_of(ask("Well?", thinking_budget=5)) == "Well?<go>"
    assert prompts._text_of(ask("Well?", thinking_budget=0)) == "Well?<go><think>\n\n</think>\n\n"


def test_the_block_that_is_computed_twice_is_known_to_be(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or more would be said to come from the cache than is in it."""
    exchanged: list[int] = []
    monkeypatch.setattr(bench.batcher._admission, "exchanged", exchanged.append)
    one(bench, thinking_budget=-1, candidates=1)
    one(bench, thinking_budget=0)
    assert exchanged == [1]


def test_a_model_that_does_not_think_takes_no_notice(tmp_path: Path) -> None:
    bench = Bench(tmp_path, QUICK, parrot(tmp_path, "Yes", template="{{ messages[0].content }}<go>"))
    assert not bench.batcher.thinks
    assert one(bench, thinking_budget=100, include_thoughts=True) == Candidate("Yes", Finish.STOP)


@pytest.mark.parametrize(
    ("prompt", "want", "switch", "expected"),
    [
        ("a", None, False, ("a", False)),
        ("a", None, True, ("a<think>\n", True)),
        ("a", True, False, ("a<think>\n", True)),
        ("a<think>\n", None, False, ("a<think>\n", True)),
        ("a<think>\n", False, True, ("a<think>\n\n</think>\n\n", False)),
        ("a<think>\n\n</think>\n\n", False, False, ("a<think>\n\n</think>\n\n", False)),
    ],
)
def test_a_prompt_opens_a_thought_or_closes_it(
    prompt: str, want: bool | None, switch: bool, expected: tuple[str, bool]
) -> None:
    assert thinking.opened(prompt, want, {"enable_thinking": switch}) == expected
