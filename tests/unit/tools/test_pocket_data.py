"""What the training data of `pocket-1` promise, whatever the seed."""

import itertools
import json

import pytest

from tools.pocket import catalogue, documents, extraction, sentiment, talk, words
from tools.pocket.data import examples, examples_of
from tools.pocket.documents import NOT_STATED
from tools.pocket.draw import Draw, Example, Split, is_held_out, share
from tools.pocket.sentiment import LABELS

SEEDS = (1, 2, 3)


def generated(task: str, split: Split, count: int = 300) -> list[Example]:
    return [e for seed in SEEDS for e in examples_of(task, count, seed=seed, split=split)]


def prompt_text(example: Example) -> str:
    return "\n".join(turn.text for turn in example.prompt)


@pytest.mark.parametrize("split", Split)
def test_the_same_seed_gives_the_same_examples(split: Split) -> None:
    first = list(itertools.islice(examples(5, split, long_share=0.1), 500))
    second = list(itertools.islice(examples(5, split, long_share=0.1), 500))
    other = list(itertools.islice(examples(6, split, long_share=0.1), 500))
    assert first == second
    assert first != other


def test_a_list_is_divided_without_overlap_or_loss() -> None:
    items = list(range(23))
    training, held_out = share(items, held_out=False), share(items, held_out=True)
    assert [*training, *held_out] == items
    assert training
    assert held_out


def test_made_up_names_are_never_on_both_sides() -> None:
    def names(split: Split) -> set[str]:
        draw = Draw(9, split)
        return {draw.made_up(words.pseudo_name) for _ in range(3000)}

    training, held_out = names(Split.TRAINING), names(Split.NEW_WORDS)
    assert not training & held_out
    assert all(is_held_out(name) for name in held_out)
    assert not any(is_held_out(name) for name in training)


@pytest.mark.parametrize(
    "phrasings",
    [
        sentiment._INSTRUCTIONS,
        sentiment._SYSTEM_INSTRUCTIONS,
        extraction._INSTRUCTIONS,
        extraction._SYSTEM_INSTRUCTIONS,
        documents._LAYOUTS,
        catalogue._INSTRUCTIONS,
        talk._OUT_OF_DOMAIN,
        words.PRODUCTS,
    ],
)
def test_phrasings_and_words_are_listed_once(phrasings: tuple[str, ...]) -> None:
    """A repeated entry could fall on both sides of the fence."""
    assert len(set(phrasings)) == len(phrasings)


@pytest.mark.parametrize("split", [Split.NEW_WORDS, Split.NEW_WORDS_AND_PHRASINGS])
def test_no_held_out_prompt_is_a_training_prompt(split: Split) -> None:
    """Talk excepted, which has little to fill in: that is held out by its phrasings."""
    for task in ("extraction", "document", "catalogue"):
        training = {prompt_text(e) for e in generated(task, Split.TRAINING)}
        assert not training & {prompt_text(e) for e in generated(task, split)}


def test_an_instruction_with_new_phrasings_is_none_of_those_trained_on() -> None:
    trained = share(catalogue._INSTRUCTIONS, held_out=False)
    openings = [phrasing.split("{a}")[0].strip() for phrasing in trained]
    for example in generated("catalogue", Split.NEW_WORDS_AND_PHRASINGS):
        if example.turns[0].role == "user":
            prompt = example.prompt[0].text
            assert not any(prompt.startswith(f"{opening}\n") for opening in openings if opening)


def test_no_held_out_product_is_reviewed_or_described_in_training() -> None:
    held_out = share(words.PRODUCTS, held_out=True)
    described = {e.required[0] for e in generated("catalogue", Split.TRAINING)}
    assert described
    assert not described & set(held_out)


@pytest.mark.parametrize("split", Split)
def test_a_review_is_labelled_with_one_of_three_words(split: Split) -> None:
    assert {e.answer for e in generated("sentiment", split)} == set(LABELS)


@pytest.mark.parametrize("split", Split)
def test_an_extraction_is_json_whose_values_the_prompt_states(split: Split) -> None:
    for example in generated("extraction", split):
        prompt = prompt_text(example)
        for key, value in json.loads(example.answer).items():
            assert key in prompt
            assert value is None or str(value) in prompt


@pytest.mark.parametrize("task", ["document", "long-document"])
@pytest.mark.parametrize("split", Split)
def test_a_document_answer_ends_in_words_of_its_document(task: str, split: Split) -> None:
    for example in generated(task, split):
        [span] = example.required
        assert span in example.answer
        if span != NOT_STATED:
            assert span in prompt_text(example)


@pytest.mark.parametrize("split", Split)
def test_a_catalogue_text_uses_every_attribute(split: Split) -> None:
    for example in generated("catalogue", split):
        assert all(phrase in example.answer for phrase in example.required)
        assert all(phrase in prompt_text(example) for phrase in example.required)


@pytest.mark.parametrize("split", Split)
def test_a_conversation_alternates_and_ends_with_the_model(split: Split) -> None:
    for example in itertools.islice(examples(4, split, long_share=0.1), 2000):
        roles = [turn.role for turn in example.turns if turn.role != "system"]
        assert roles == ["user", "model"] * (len(roles) // 2)
        assert "{" not in example.turns[-1].text or example.task == "extraction"
