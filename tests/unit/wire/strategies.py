"""Requests of every kind there can be, for properties of those who read and write them."""

from __future__ import annotations

import dataclasses

import msgspec
from hypothesis import strategies as st

from halfrate.domain.embedding import Embedding, Purpose
from halfrate.domain.request import (
    Attachment,
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.wire.gemini.media import IMAGES
from halfrate.wire.gemini.schema import ANY_JSON

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["", "\n", "a\nb", "\n\n"])
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,8}", fullmatch=True)
IDS = st.none() | st.text("abc-1", min_size=1, max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)
SCHEMAS = st.sampled_from(
    ['{"type":"object","properties":{"a":{"type":"string"}}}', '{"type":"object"}', '{"enum":["a"]}']
)


@st.composite
def attached(draw: st.DrawFn) -> tuple[str, tuple[Attachment, ...]]:
    """A text of lines, and images between them: parts as a client sends them."""
    lines: list[str] = []
    images: list[Attachment] = []
    for part in draw(st.lists(TEXTS | st.sampled_from([None, None]), min_size=1, max_size=5)):
        if part is None:
            kind, data = draw(st.sampled_from(sorted(IMAGES))), draw(st.binary(max_size=4))
            images.append(Attachment(len("\n".join(lines)), kind, data))
        else:
            lines.append(part)
    return "\n".join(lines), tuple(images)


USERS = attached().map(lambda said: Message(Role.USER, said[0], attachments=said[1]))
MODELS = st.builds(
    Message,
    st.just(Role.MODEL),
    TEXTS,
    calls=st.lists(st.builds(FunctionCall, NAMES, OBJECTS, IDS), max_size=2).map(tuple),
)
TOOLS = st.builds(
    Message,
    st.just(Role.TOOL),
    TEXTS,
    returns=st.lists(st.builds(FunctionReturn, NAMES, OBJECTS, IDS), min_size=1, max_size=2).map(tuple),
)
SYSTEMS = st.builds(Message, st.just(Role.SYSTEM), TEXTS)


@st.composite
def functions(draw: st.DrawFn) -> Functions:
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    declarations = tuple(
        FunctionDeclaration(name, draw(TEXTS), draw(st.none() | SCHEMAS.filter(lambda s: "enum" not in s)))
        for name in names
    )
    choice = draw(st.sampled_from(Choice))
    allowed = () if choice is Choice.NONE else tuple(draw(st.lists(st.sampled_from(names), unique=True)))
    return Functions(declarations, choice, allowed)


FLOATS = st.floats(0, 1, allow_nan=False)
SAMPLINGS = st.builds(
    Sampling,
    max_output_tokens=st.none() | st.integers(1, 2**31 - 1),
    temperature=st.none() | FLOATS,
    top_p=st.none() | FLOATS,
    top_k=st.none() | st.integers(1, 100),
    seed=st.none() | st.integers(-(2**31), 2**31 - 1),
    presence_penalty=st.none() | FLOATS,
    frequency_penalty=st.none() | FLOATS,
    stop=st.lists(st.text(min_size=1, max_size=3), max_size=5).map(tuple),
    candidates=st.integers(1, 8),
    logprobs=st.none() | st.integers(0, 20),
    thinking_budget=st.none() | st.integers(-1, 4_096),
    include_thoughts=st.booleans(),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any whole Request, as a reader may make it."""
    system = (draw(SYSTEMS),) if draw(st.booleans()) else ()
    turns = draw(st.lists(USERS | MODELS | TOOLS, max_size=3))
    sampling = draw(SAMPLINGS)
    given = draw(st.none() | functions())
    if given is None or not given.callable:
        form = draw(st.sampled_from(["text", "schema", "any", "choices"]))
        words = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3, unique=True)
        sampling = dataclasses.replace(
            sampling,
            json_schema={"schema": draw(SCHEMAS), "any": ANY_JSON}.get(form),
            choices=tuple(draw(words)) if form == "choices" else (),
        )
    return Request((*system, *turns, draw(USERS | TOOLS)), sampling, given)


@st.composite
def embeddings(draw: st.DrawFn) -> Embedding:
    """Any Embedding."""
    purpose = draw(st.none() | st.sampled_from(Purpose))
    titles = st.none() | st.text(min_size=1, max_size=4)
    return Embedding(
        draw(st.text(min_size=1).filter(lambda text: not text.isspace())),
        purpose,
        draw(titles) if purpose is Purpose.RETRIEVAL_DOCUMENT else None,
        draw(st.none() | st.integers(1, 768)),
    )
