"""Whatever a line holds, it is read or refused, always alike; and what is read can be kept and echoed."""

from __future__ import annotations

import json
from itertools import islice

from halfrate.domain.line import Line, Rejection
from halfrate.domain.outcome import Answered, Failed, Finish
from halfrate.domain.request import Request
from halfrate.domain.result import Asker, Result
from halfrate.domain.usage import Usage
from halfrate.engines.embedded.prompts import plain, prompt_bytes
from halfrate.engines.embedded.protocol import Ask, decode_to_child, encode
from halfrate.results.records import decode_result, encode_result
from halfrate.wire.gemini.lines import parse_line, parse_lines, result_line
from tests.fuzz.budget import LINES, SEED
from tests.fuzz.mutation import Lines

MESSAGE_CHARS_MAX = 1_000


def test_every_line_is_read_or_refused():
    for number, raw in enumerate(islice(Lines(SEED), LINES)):
        try:
            check(raw)
        except BaseException as error:
            error.add_note(f"seed {SEED}, line {number}: {raw!r}")
            raise


def test_many_lines_at_once_are_read_as_each_by_itself():
    supply = iter(Lines(SEED + 2))
    for _ in range(max(20, LINES // 200)):
        raws = [raw for raw in islice(supply, 50) if b"\n" not in raw]
        # Mostly plain ones: a bad one among them has all of them read one by one.
        for some in (raws, [raw for raw in raws if isinstance(parse_line(raw), Line)]):
            assert parse_lines(some) == [parse_line(raw) for raw in some], f"seed {SEED}: {some!r}"


def check(raw: bytes) -> None:
    line = parse_line(raw)
    assert parse_line(bytes(bytearray(raw))) == line, "the same bytes, another verdict"
    match line:
        case Rejection(message):
            assert message.startswith("invalid JSON")
            assert message.isprintable()
            assert len(message) <= MESSAGE_CHARS_MAX
        case Line(request=Failed(_, detail)):
            assert detail.endswith(".")
            check_result(line, Failed(line.request.cause, detail))
        case Line(request=Request() as request):
            check_request(request)
            check_result(line, Answered.of(request.messages[-1].text, Finish.STOP, Usage(1, 1, 0)))


def check_request(request: Request) -> None:
    """It reaches the process of an Engine as it is, and becomes a prompt."""
    asked = Ask(1, request, False)
    frame = encode(asked)
    assert decode_to_child(frame[4:]) == asked
    assert plain(request.messages).encode()
    assert prompt_bytes(request) >= 0
    if request.sampling.json_schema is not None:
        json.loads(request.sampling.json_schema)


def check_result(line: Line, outcome: Answered | Failed) -> None:
    """It is kept as a record, and its key and metadata come back in one line of JSON."""
    result = Result(Asker(7, line.key, line.metadata), outcome)
    assert decode_result(encode_result(result)) == result
    written = result_line(line.key, outcome, metadata=line.metadata, model_version="m", response_id="r")
    assert b"\n" not in written
    assert b"\r" not in written
    read = json.loads(written.decode())
    assert read.get("key") == line.key
    if line.metadata is not None:
        assert read["metadata"] == json.loads(line.metadata)
    assert ("response" in read) is isinstance(outcome, Answered)
