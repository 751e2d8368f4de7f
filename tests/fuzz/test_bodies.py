"""Bodies of calls: read, or refused as the client's fault, and never anything else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import islice

from halfrate.domain.errors import HalfrateError, Refusal
from halfrate.wire.gemini.batches import parse_create
from halfrate.wire.gemini.errors import refusal
from halfrate.wire.gemini.files import parse_new_file
from halfrate.wire.gemini.lines import parse_line
from halfrate.wire.gemini.models import parse_count_tokens, parse_generate
from tests.fuzz.budget import LINES, SEED
from tests.fuzz.mutation import Lines


def outcome(read: Callable[[], object]) -> object:
    """Return what was read, or the answer that refuses it."""
    try:
        return read()
    except Refusal as refused:
        status, body = refusal(refused)
        assert 400 <= status < 600
        assert json.loads(body)["error"]["message"]
        return status, body
    except HalfrateError as failure:  # pragma: no cover
        raise AssertionError("a client's body is no fault of ours") from failure


def test_bodies_of_every_call_are_read_or_refused():
    chance = random.Random(SEED)
    for number, raw in enumerate(islice(Lines(SEED + 1), LINES // 4)):
        item, name = raw.decode(errors="replace"), chance.choice(("requests", "fileName", "priority"))
        create = chance.choice(
            (
                b'{"batch": {"inputConfig": {"requests": {"requests": [' + raw + b"]}}}}",
                b'{"batch": {"input_config": {"' + name.encode() + b'": ' + raw + b"}}}",
                b"{'batch': {'displayName': 'x', 'inputConfig': {'requests': {'requests': " + raw + b"}}}}",
                json.dumps({"batch": {"displayName": item, "inputConfig": {"fileName": item}}}).encode(),
                raw,
            )
        )
        try:
            for read in (
                lambda body=create: parse_create(body, model="m"),
                lambda body=raw: parse_generate(body, model="m"),
                lambda body=raw: parse_count_tokens(body, model="m"),
                lambda body=raw: parse_new_file(b'{"file": ' + body + b"}", {}),
            ):
                assert outcome(read) == outcome(read)
            check_inline(create)
        except BaseException as error:
            error.add_note(f"seed {SEED}, body {number}: {create!r}")
            raise


def check_inline(body: bytes) -> None:
    """What a create call takes, the Index of its lines takes too."""
    try:
        new = parse_create(body, model="m")
    except Refusal:
        return
    for line in new.lines:
        assert b"\n" not in line
        assert type(parse_line(line)).__name__ == "Line", line
