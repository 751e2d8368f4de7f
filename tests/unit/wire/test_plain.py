"""The fast way to read lines says what the careful way says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.line import Plain, Rejection
from halfrate.domain.request import Role
from halfrate.wire.gemini.lines import parse_line, parse_lines
from halfrate.wire.gemini.plain import plain_lines, text_lines

TEXTS = st.text(max_size=5) | st.sampled_from(["\n", "}\n{", "}{", '"request"', "é"])
PARTS = st.lists(st.fixed_dictionaries({"text": TEXTS}, optional={"thought": st.booleans()}), max_size=2)
ROLES = st.sampled_from(["user", "model", "", "function", "system"])
CONTENTS = st.lists(st.fixed_dictionaries({"parts": PARTS}, optional={"role": ROLES}), max_size=3)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(-1, 3) | st.integers(0, 2),
        "maxOutputTokens": st.integers(-1, 5) | st.just("7"),
        "stopSequences": st.lists(TEXTS, max_size=2),
        "seed": st.integers(0, 3),
        "responseMimeType": st.sampled_from(["text/plain", "application/json", "text/x.enum"]),
        "unknown": st.just(1),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"contents": CONTENTS},
    optional={
        "generationConfig": CONFIGS | st.none(),
        "generation_config": CONFIGS,
        "systemInstruction": st.fixed_dictionaries({"parts": PARTS}),
        "model": st.just("models/other"),
        "tools": st.just([]),
    },
)
KEYS = st.none() | TEXTS | st.integers(0, 3)
DOCUMENTS = (
    st.fixed_dictionaries({"request": REQUESTS}, optional={"key": KEYS, "metadata": st.just({"a": 1})})
    | REQUESTS
    | st.just({"key": "only"})
)
RAWS = DOCUMENTS.map(lambda document: json.dumps(document).encode())
ODD = st.sampled_from(
    [
        b"bad",
        b'{"key": "a"}{"key": "b"}',
        b'{"key": "a"} {"key":',
        b'"b"}',
        b'{"key": "a", "request": {}',
        b"}",
        b'{"request": {"contents": [{"parts": [{"text": "\xff"}]}]}}',
        b'\xef\xbb\xbf{"request": {"contents": [{"parts": [{"text": "x"}]}]}}',
        b' {"request": {"contents": [{"parts": [{"text": "x"}]}]}} ',
        b'{"key": "a", "key": "b", "request": {"contents": [{"parts": [{"text": "x"}]}]}}',
        b'{"request": {"contents": [{"parts": [{"text": "\\ud800"}]}]}}',
        b'{"request": {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"temperature": NaN}}}',
    ]
)


@given(st.lists(RAWS | ODD, max_size=4))
def test_many_lines_are_read_as_each_of_them_is(raws):
    assert parse_lines(raws) == [parse_line(raw) for raw in raws]


@given(st.lists(RAWS, min_size=1, max_size=3))
def test_what_is_plain_is_what_the_careful_way_makes_of_it(raws):
    plain = plain_lines(raws) or [None] * len(raws)
    assert all(one is None or one.line() == parse_line(raw) for raw, one in zip(raws, plain, strict=True))


TEXT = {"request": {"contents": [{"parts": [{"text": "x"}]}]}}
TEXT_RAWS = st.builds(
    lambda text, rest, role, config: json.dumps(
        rest | {"request": {"contents": [{"parts": [{"text": text}]} | role]} | config}
    ).encode(),
    TEXTS,
    st.fixed_dictionaries({}, optional={"key": TEXTS | st.none()}),
    st.sampled_from([{}, {"role": "user"}]),
    st.sampled_from([{}, {"generationConfig": {"temperature": 0.5}}, {"generationConfig": {"seed": 1}}]),
)


def read_texts(raws, *, end=b"\n"):
    """Read lines in one piece."""
    data = b"".join(raw + end for raw in raws)
    starts = [0]
    for raw in raws[:-1]:
        starts.append(starts[-1] + len(raw) + len(end))
    stops = [start + len(raw) for start, raw in zip(starts, raws, strict=True)]
    texts = text_lines(data, starts, stops)
    if texts is None:
        return None
    turns = [((Role.USER, text),) for text in texts.texts]
    return [Plain(*columns).line() for columns in zip(texts.keys, turns, texts.samplings, strict=True)]


@given(st.lists(TEXT_RAWS, min_size=1, max_size=4), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_of_one_text_are_read_in_one_piece(raws, end):
    assert read_texts(raws, end=end) == [parse_line(raw) for raw in raws]


@given(st.lists(RAWS | TEXT_RAWS | ODD, min_size=1, max_size=4))
def test_what_is_read_in_one_piece_is_what_the_careful_way_makes_of_it(raws):
    read = read_texts(raws)
    assert read is None or read == [parse_line(raw) for raw in raws]


@pytest.mark.parametrize(
    "raws",
    [
        [b'{"request":', json.dumps(TEXT["request"]).encode() + b"} " + json.dumps(TEXT).encode()],
        [json.dumps(TEXT).encode() + json.dumps(TEXT).encode()],
        [json.dumps(TEXT).encode(), b""],
    ],
    ids=["one over two lines", "two on a line", "a blank line"],
)
def test_documents_that_are_no_lines_are_left_to_the_careful_way(raws):
    assert read_texts(raws) is None


@pytest.mark.parametrize(
    "asked",
    [
        {"contents": [{"parts": [{"text": "Hello"}]}]},
        {"contents": [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}]},
        {
            "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
            "generationConfig": {"temperature": 0, "maxOutputTokens": 5},
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
        },
        {
            "contents": [
                {"role": "user", "parts": [{"text": "a"}]},
                {"role": "model", "parts": [{"text": "b"}]},
                {"role": "user", "parts": [{"text": "c"}]},
            ]
        },
    ],
)
def test_what_the_documentation_shows_is_read_fast(asked):
    raw = json.dumps({"key": "k", "request": asked}).encode()
    (plain,) = plain_lines([raw]) or [None]
    assert plain is not None
    assert plain.line() == parse_line(raw)


@pytest.mark.parametrize(("levels", "refused"), [(96, False), (97, True)])
def test_what_is_nested_too_deeply_for_one_way_is_so_for_the_other(levels, refused):
    """The config of a plain line is read by itself, and counts from where it stands in the line."""
    schema = b'{"items": ' * levels + b"{}" + b"}" * levels
    config = b'{"responseMimeType": "application/json", "responseJsonSchema": ' + schema + b"}"
    raw = b'{"request": {"contents": [{"parts": [{"text": "q"}]}], "generationConfig": ' + config + b"}}"
    (line,) = parse_lines([raw])
    assert line == parse_line(raw)
    assert isinstance(line, Rejection) is refused
