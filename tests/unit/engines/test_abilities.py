"""What an Engine cannot do is refused in one place, with what to do instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import (
    Attachment,
    FunctionCall,
    FunctionDeclaration,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.engines.abilities import inability
from halfrate.engines.api import Ability, EngineFacts

ABLE = EngineFacts("able-1", 100, 0.0, 1, abilities=frozenset(Ability), logprobs_max=5)
QUESTION = (Message(Role.USER, "q"),)
ASKING = {
    Ability.CANDIDATES: Request(QUESTION, Sampling(candidates=2)),
    Ability.CHOICES: Request(QUESTION, Sampling(choices=("a",))),
    Ability.LOGPROBS: Request(QUESTION, Sampling(logprobs=0)),
    Ability.FUNCTIONS: Request(QUESTION, functions=Functions((FunctionDeclaration("f"),))),
    Ability.IMAGES: Request((Message(Role.USER, "q", attachments=(Attachment(0, "image/png", b"x"),)),)),
}


@pytest.mark.parametrize("ability", Ability)
def test_what_is_asked_must_be_among_the_abilities(ability):
    assert inability(ASKING[ability], ABLE) is None
    failed = inability(ASKING[ability], replace(ABLE, abilities=ABLE.abilities - {ability}))
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.UNSUPPORTED
    assert failed.detail.startswith("The model able-1 ")


def test_a_call_in_the_past_asks_for_functions_too():
    called = Message(Role.MODEL, "", calls=(FunctionCall("f", "{}"),))
    unable = replace(ABLE, abilities=frozenset())
    assert inability(Request((*QUESTION, called, *QUESTION)), unable) is not None
    assert inability(Request(QUESTION), unable) is None


def test_log_probabilities_are_told_of_so_many_tokens():
    assert inability(Request(QUESTION, Sampling(logprobs=5)), ABLE) is None
    failed = inability(Request(QUESTION, Sampling(logprobs=6)), ABLE)
    assert failed is not None
    assert "at most 5" in failed.detail
