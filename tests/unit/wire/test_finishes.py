"""Why an answer ends, in each dialect."""

from __future__ import annotations

import pytest

from halfrate.domain.outcome import Answered, Finish
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.lines import result_line
from halfrate.wire.gemini.results import read_result
from halfrate.wire.openai.completions import completion

SAID = {
    Finish.STOP: ("STOP", "stop"),
    Finish.LENGTH: ("MAX_TOKENS", "length"),
    Finish.MALFORMED_CALL: ("MALFORMED_FUNCTION_CALL", "length"),
    Finish.BLOCKED: ("SAFETY", "content_filter"),
    Finish.RECITATION: ("RECITATION", "content_filter"),
    Finish.OTHER: ("OTHER", "stop"),
}


@pytest.mark.parametrize("finish", Finish)
def test_every_end_has_a_name_and_is_read_again(finish: Finish) -> None:
    answered = Answered.of("x", finish, Usage(1, 1))
    line = result_line("k", answered, model_version="m", response_id="r")
    gemini, openai = SAID[finish]
    assert f'"{gemini}"'.encode() in line
    assert read_result(line, expired=False).outcome == answered
    (choice,) = completion(answered, id="1", model="m", created=0.0)["choices"]
    assert choice["finish_reason"] == openai
