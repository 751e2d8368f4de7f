"""The same Request gets the same answer in a Job and alone, with and without the prefix cache."""

import dataclasses

import pytest

from halfrate.app import open_app
from halfrate.config import Config, ModelConfig
from halfrate.domain.outcome import Answered
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.engines.embedded import EmbeddedEngine
from tests.engines import QUICK, real_model
from tests.fakes import ended, line, results, submit, text_of

DOCUMENT = (
    "The Marlow ferry leaves the north pier at 7:40 every morning. It carries 86 passengers and 12 cars. "
    "A ticket costs 9 euros; children under six travel free. The captain is Ines Barlow."
)

TEXTS = [
    *(
        f"{DOCUMENT}\n\nQuestion: {question}"
        for question in (
            "When does the ferry leave?",
            "How many passengers does it carry?",
            "What does a ticket cost?",
            "Who is the captain?",
        )
    ),
    *(
        f"Classify the sentiment of this review as positive, negative or neutral.\nReview: {review}"
        for review in (
            "It broke after two days and nobody answers my mails.",
            "Quiet, sturdy, and cheaper than the old one. I love it.",
            "It is a grey box with a lid.",
        )
    ),
    "Explain how AI works in a few words",
    "Write a Python function that reverses a string",
]


@pytest.mark.parametrize("prefix_caching", [True, False])
async def test_a_request_gets_the_same_answer_in_a_job_and_alone(tmp_path, prefix_caching):
    settings = dataclasses.replace(QUICK, prefix_caching=prefix_caching)
    config = Config(data_dir=str(tmp_path), models={"pocket-1": ModelConfig(path=str(real_model()))})
    async with open_app(
        config, make_engine=lambda entry: EmbeddedEngine(entry.path, settings=settings)
    ) as app:
        alone = []
        for text in TEXTS:
            request = Request((Message(Role.USER, text),), Sampling(temperature=0, max_output_tokens=48))
            outcome, _ = await app.models.answer("pocket-1", request)
            assert isinstance(outcome, Answered)
            alone.append(outcome.text)
        lines = [line(text, temperature=0, maxOutputTokens=48) for text in TEXTS]
        job = await ended(app, await submit(app, *lines))
        together = [text_of(result) for result in await results(app, job)]
    assert together == alone
