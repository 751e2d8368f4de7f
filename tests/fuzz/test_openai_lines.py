"""Any line of OpenAI's dialect is read or refused, whatever it holds; what is read can be kept and echoed."""

from __future__ import annotations

import json
import random
from typing import Any

from halfrate.domain.line import Line, Rejection
from halfrate.domain.outcome import Answered, Failed, Finish
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.wire.lines import parse_line, parse_lines
from tests.fuzz.budget import LINES, SEED
from tests.fuzz.test_lines import MESSAGE_CHARS_MAX, check_request, check_result

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "temperature": 0.5,
    "stop": ["a"],
    "extra_body": {"google": {"thinking_config": {"thinking_budget": 1}}},
}
ODD = [None, 1, -1, 1e400, 2**70, "x", "", "\ud800", "\x00" * 999, [], {}, [[]], [{}], True]


def around(url: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": "k", "method": "POST", "url": url, "body": body}


SEEDS = [
    around("/v1/chat/completions", CHAT),
    around("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
    around("/v1/embeddings", {"model": "m", "input": ["a"], "dimensions": 4}),
]


class Mutator:
    """Makes lines that are a little wrong, the same ones from the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def line(self) -> bytes:
        raw = json.dumps(self._changed(self._chance.choice(SEEDS))).encode()
        if self._chance.random() < 0.2:
            at = self._chance.randrange(len(raw))
            raw = raw[:at] + bytes([self._chance.randrange(256)]) + raw[at + 1 :]
        return raw

    def _changed(self, value: Any) -> Any:
        if isinstance(value, dict):
            changed = {name: self._changed(inner) for name, inner in value.items()}
            if self._chance.random() < 0.03:
                changed[self._chance.choice(["foo", "type", "\n" * 500])] = self._chance.choice(ODD)
            return changed
        if isinstance(value, list):
            return [self._changed(inner) for inner in value]
        return self._chance.choice(ODD) if self._chance.random() < 0.03 else value


def test_every_line_is_read_or_refused() -> None:
    mutator = Mutator(SEED)
    seen = set()
    for number in range(LINES):
        raw = mutator.line()
        try:
            seen.add(check(raw))
        except BaseException as error:
            error.add_note(f"seed {SEED}, line {number}: {raw!r}")
            raise
    assert seen == {"rejected", "failed", "asked"}


def test_many_lines_at_once_are_read_as_each_by_itself() -> None:
    mutator = Mutator(SEED + 1)
    for _ in range(20):
        raws = [raw for raw in (mutator.line() for _ in range(20)) if b"\n" not in raw]
        assert parse_lines(raws) == [parse_line(raw) for raw in raws]


def check(raw: bytes) -> str:
    match line := parse_line(raw):
        case Rejection(message):
            assert message.startswith("invalid JSON")
            assert message.isprintable()
            assert len(message) <= MESSAGE_CHARS_MAX
            return "rejected"
        case Line(request=Failed(_, detail) as failed):
            assert detail.endswith(".")
            check_result(line, failed)
            return "failed"
        case Line(request=Request() as request):
            check_request(request)
            check_result(line, Answered.of(request.messages[-1].text, Finish.STOP, Usage(1, 1, 0)))
    return "asked"
