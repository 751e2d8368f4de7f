import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfrate.domain.errors import CorruptData, InvalidArgument
from halfrate.domain.sharing import Sharing
from halfrate.ingest import indexing
from halfrate.ingest.chunks import Reading, index_chunk
from halfrate.ingest.index import (
    BLOCK_ROWS,
    ERRORS_MAX,
    MODELS_MAX,
    Entry,
    IndexReader,
    IndexSummary,
    NamedModel,
)
from halfrate.ingest.inputs import refuse_bad_input
from halfrate.planner.prefix import SORT_KEY_VERSION, sort_key
from halfrate.store.blob.local import LocalBlobStore
from halfrate.store.blob.names import index_blob
from tests.unit.ingest.conftest import parse, parse_lines


async def test_every_line_has_its_entry_in_the_order_to_run_them(index):
    indexed = await index(b'{"text": "b"}\n\n{"text": "a"}\nbad\n{"text": "a", "key": "k"}\n')
    assert indexed.entries() == [
        Entry(29, ordinal=2, number=4, length=3, bad=True, repeated=False),
        Entry(15, ordinal=1, number=3, length=13, bad=False, repeated=False),
        Entry(33, ordinal=3, number=5, length=25, bad=False, repeated=False),
        Entry(0, ordinal=0, number=1, length=13, bad=False, repeated=False),
    ]
    assert indexed.summary == IndexSummary(
        requests=4,
        bad=1,
        bad_keys=0,
        errors=("Error on line 4: invalid JSON, near column 1",),
        input_bytes=59,
        keyless=2,
        first_generations=(1, 3, 5),
        models=(),
        # A mark, a letter and the end of the message.
        sharing=Sharing(prompt_bytes=9, shared_bytes=4, groups=2),
        order_version=SORT_KEY_VERSION,
    )


async def test_a_part_of_the_order_is_read_over_the_borders_of_blocks(index):
    data = b"".join(b'{"text": "%05d"}\n' % (n * 7919 % 10_000) for n in range(10_000))
    indexed = await index(data, piece_bytes=1 << 16, chunk_bytes_min=1 << 14)
    entries = indexed.entries()
    assert [json.loads(data[e.offset : e.offset + e.length])["text"] for e in entries] == [
        f"{n:05}" for n in range(10_000)
    ]
    with indexed.store.reader(index_blob("inputs/x")) as reader:
        opened = IndexReader(reader)
        for first, count in ((0, 1), (BLOCK_ROWS - 1, 2), (BLOCK_ROWS, 3 * BLOCK_ROWS), (9_999, 1)):
            assert opened.entries(first, count) == entries[first : first + count]
        with pytest.raises(IndexError, match="10000"):
            opened.entries(9_999, 2)
        assert [length for lengths, _ in opened.sizes() for length in lengths] == [
            entry.length for entry in entries
        ]


async def test_who_asks_what_the_one_before_asks_is_marked_and_bad_lines_are_not(index):
    indexed = await index(b'bad\nbad\n{"text": "a"}\n{"text": "b"}\n{"text": "a"}\n')
    with indexed.store.reader(index_blob("inputs/x")) as reader:
        ((_, twins),) = IndexReader(reader).sizes()
        assert twins == [False, False, False, True, False]


async def test_lines_that_name_a_model_come_after_the_others_each_model_by_itself(index):
    indexed = await index(
        b'{"text": "b", "model": "big"}\n{"text": "a"}\n{"text": "a", "model": "bi"}\nbad\n'
        b'{"text": "a", "model": "big"}\n{"text": "a", "model": "big", "fails": 1}\n{"text": "b"}\n'
    )
    assert [entry.number for entry in indexed.entries()] == [4, 6, 2, 7, 5, 1, 3]
    assert indexed.summary.models == (NamedModel("big", 2, line=1), NamedModel("bi", 1, line=3))
    assert indexed.lines.parted_by_model


async def test_those_who_ask_different_models_the_same_are_no_twins(index):
    indexed = await index(b'{"model": "a"}\n{"model": "b"}\n{"model": "b"}\n{"text": "Hello"}\n')
    with indexed.store.reader(index_blob("inputs/x")) as reader:
        ((_, twins),) = IndexReader(reader).sizes()
        assert twins == [False, False, False, True]


async def test_models_are_counted_up_to_a_bound_and_then_the_file_is_refused(index):
    lines = [b'{"model": "m%d"}\n' % (n % MODELS_MAX) for n in range(2 * MODELS_MAX)]
    indexed = await index(b"".join(lines), chunk_bytes_min=500)
    assert {(named.requests, named.line) for named in indexed.summary.models} == {
        (2, n + 1) for n in range(MODELS_MAX)
    }
    refused = await index(b"".join([*lines, b'{"model": "one more"}\n']), chunk_bytes_min=500)
    assert "names more than 100 models. Split it" in refused.summary.refusal
    refused = await index(b"".join(b'{"model": "m%d"}\n' % n for n in range(500)), chunk_bytes_min=1 << 20)
    assert "names more than 100 models" in refused.summary.refusal


def test_what_is_held_of_the_names_in_a_chunk_is_bounded(tmp_path):
    """A file may have ten million of them, until it is refused."""
    data = b"".join(b'{"model": "m%d"}\n' % n for n in range(500))
    store = LocalBlobStore(tmp_path / "blobs")
    with store.writer("x") as writer:
        writer.write(data)
        writer.commit()
    with store.reader("x") as source:
        report = index_chunk(
            source,
            0,
            len(data),
            last=True,
            read=Reading(parse_lines),
            line_bytes_max=100,
            prompts_run=tmp_path / "prompts",
            keys_run=tmp_path / "keys",
        )
    assert len(report.models) == MODELS_MAX + 1


async def test_a_cache_is_named_with_the_model_that_is_to_use_it(index):
    indexed = await index(
        b'{"cache": "c"}\n{"cache": "c", "model": "m"}\n{"cache": "d"}\n{"cache": "c", "model": "m"}\n'
    )
    assert indexed.summary.named_caches == [("c", 1, None), ("c", 2, "m"), ("d", 3, None)]


def test_an_index_of_before_says_nothing_of_models():
    """It says which Caches are named, and its lines are in the order in which Jobs were planned."""
    known = {"requests": 2, "bad": 0, "bad_keys": 0, "errors": [], "input_bytes": 9, "caches": [["c", 2]]}
    summary = msgspec.msgpack.decode(msgspec.msgpack.encode(known), type=IndexSummary)
    assert summary.models is None
    assert summary.named_caches == [("c", 2, None)]


async def test_a_repeated_key_names_both_lines(index):
    indexed = await index(b'{"key": "a"}\n{"key": "b"}\n\n{"key": "a"}\n{"key": "a"}\n')
    assert indexed.summary.bad_keys == 2
    assert indexed.summary.bad == 0
    assert [error.partition(";")[0] for error in indexed.summary.errors] == [
        "Error on line 4: duplicate key 'a', first used on line 1",
        "Error on line 5: duplicate key 'a', first used on line 1",
    ]
    assert [entry.repeated for entry in sorted(indexed.entries())] == [False, False, True, True]


async def test_errors_of_all_kinds_come_in_the_order_of_lines(index):
    indexed = await index(b'{"key": "a"}\nbad\n{"key": "a"}\nbad\n')
    assert [error.split()[3] for error in indexed.summary.errors] == ["2:", "3:", "4:"]


async def test_errors_are_bounded_and_the_first_ones_kept(index):
    lines = [b'{"key": "a"}'] + [b"bad", b'{"key": "a"}'] * ERRORS_MAX
    summary = (await index(b"\n".join(lines) + b"\n", piece_bytes=1000, chunk_bytes_min=3000)).summary
    assert (summary.bad, summary.bad_keys) == (ERRORS_MAX, ERRORS_MAX)
    assert [int(error.split()[3][:-1]) for error in summary.errors] == list(range(2, ERRORS_MAX + 2))


async def test_the_first_repeated_keys_are_kept_whatever_their_hashes(index):
    keys = [b'{"key": "%d"}' % n for n in range(ERRORS_MAX + 500)]
    summary = (await index(b"\n".join(keys * 2), piece_bytes=1000, chunk_bytes_min=5000)).summary
    assert summary.bad_keys == len(keys)
    assert [int(error.split()[3][:-1]) for error in summary.errors] == [
        len(keys) + 1 + n for n in range(ERRORS_MAX)
    ]


async def test_a_long_key_is_shown_by_its_beginning(index):
    line = b'{"key": "%s"}\n' % (b"x" * 10_000)
    (error,) = (await index(line * 2)).summary.errors
    assert f"duplicate key '{'x' * 59}…'" in error


async def test_an_index_of_another_format_says_so(index):
    indexed = await index(b"{}\n")
    path = indexed.store._root / index_blob("inputs/x")
    data = bytearray(path.read_bytes())
    data[8] = 1
    path.write_bytes(data)
    with (
        indexed.store.reader(index_blob("inputs/x")) as reader,
        pytest.raises(CorruptData, match="it has format 1, and this halfrate reads 2"),
    ):
        IndexReader(reader)


async def test_a_line_too_long_says_how_long_and_what_to_do(index):
    (error,) = (await index(b"{}\n" + b"x" * 5000 + b"\n{}\n", line_bytes=100)).summary.errors
    assert error.startswith("Error on line 2: the line has 5,000 bytes, and at most 100 are allowed: shorten")


async def test_a_last_line_that_was_cut_off_says_so(index):
    errors = (await index(b'{}\n{"key": "a')).summary.errors
    assert len(errors) == 1
    assert "may have been cut off" in errors[0]


async def test_a_whole_last_line_needs_no_newline(index):
    assert (await index(b'{}\n{"key": "a"}')).summary.errors == ()


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"id,prompt\n1,Hello\n", "does not look like a JSON Lines file"),
        (b'[\n{"key": "a"},\n{"key": "b"}\n]\n', "one JSON array"),
        (b'[{"key": "a"}, {"key": "b"}]', "one JSON array"),
        (b'{\n"key": "a"\n}\n', "spread over several lines"),
        (b"\x1f\x8b\x08\x00\n\n", "unpack it first"),
        ('{"key": "a"}\n'.encode("utf-16"), "save it as UTF-8"),
    ],
)
async def test_another_kind_of_file_gets_a_hint_and_an_example(index, data, hint):
    errors = (await index(data)).summary.errors
    assert hint in errors[0]
    assert '{"key": "1", "request":' in errors[0]
    assert all("for example" not in error for error in errors[1:])


async def test_a_slip_in_a_json_line_gets_no_lecture(index):
    summary = (await index(b'{"key": }\n')).summary
    assert summary.errors == ("Error on line 1: invalid JSON, near column 9",)


@pytest.mark.parametrize("data", [b"", b"\n \r\n\n", b"\xef\xbb\xbf"])
async def test_a_file_without_requests_is_refused(index, data):
    summary = (await index(data)).summary
    with pytest.raises(InvalidArgument, match="no requests"):
        refuse_bad_input(summary, keep_going=True)


async def test_too_many_lines_are_refused(index):
    assert (await index(b"{}\n" * 3, file_lines=3)).summary.requests == 3
    with pytest.raises(InvalidArgument, match="more than 3 lines"):
        refuse_bad_input((await index(b"{}\n" * 4, file_lines=3)).summary, keep_going=True)


async def test_a_damaged_index_is_never_read(index):
    """Any bit of it, and any length."""
    indexed = await index(b'{"key": "a"}\nbad\n')
    path = indexed.store._root / index_blob("inputs/x")
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))] + [b"", whole + b"x"]
    damaged += [
        whole[:n] + bytes([whole[n] ^ 1 << bit]) + whole[n + 1 :]
        for n in range(len(whole))
        for bit in range(8)
    ]
    for data in damaged:
        path.write_bytes(data)
        with (
            indexed.store.reader(index_blob("inputs/x")) as reader,
            pytest.raises(CorruptData, match="made again from the input"),
        ):
            IndexReader(reader).check()


async def test_a_block_in_the_place_of_another_is_noticed(index):
    indexed = await index(b"{}\n" * (2 * BLOCK_ROWS), piece_bytes=1 << 16, chunk_bytes_min=1 << 20)
    path = indexed.store._root / index_blob("inputs/x")
    whole = path.read_bytes()
    start = 12
    size = BLOCK_ROWS * 21 + 8
    first, second = whole[start : start + size], whole[start + size : start + 2 * size]
    path.write_bytes(whole[:start] + second + first + whole[start + 2 * size :])
    with indexed.store.reader(index_blob("inputs/x")) as reader, pytest.raises(CorruptData, match="checksum"):
        IndexReader(reader).entries(0, 1)


async def test_nothing_is_left_in_the_spill_folder(index, tmp_path):
    await index(b'{"key": "a"}\nbad\n')
    assert list((tmp_path / "spill").iterdir()) == []


KEYS = st.none() | st.text(max_size=2)
TEXTS = st.text("ab", max_size=3)
LINES = st.builds(lambda key, text: json.dumps({"key": key, "text": text}).encode(), KEYS, TEXTS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.just(b"") | st.just(b"bad") | LINES),
    st.integers(1, 100),
    st.integers(1, 200),
    st.sampled_from([b"\n", b"\r\n"]),
)
async def test_the_index_loses_and_repeats_nothing_and_is_in_order(index, lines, piece, chunk, newline):
    """Whatever the pieces that arrive, and the chunks that are cut."""
    data = newline.join(lines) + newline
    indexed = await index(data, piece_bytes=piece, chunk_bytes_min=chunk)
    named = [key for line in lines if line[:1] == b"{" and (key := json.loads(line)["key"]) is not None]
    summary, kept = indexed.summary, [line for line in lines if line]
    if not kept:
        assert summary.refusal is not None
        return
    entries = indexed.entries()
    in_input_order = sorted(entries)
    assert [data[e.offset : e.offset + e.length] for e in in_input_order] == kept
    assert [e.ordinal for e in in_input_order] == list(range(len(kept)))
    assert [lines[e.number - 1] for e in in_input_order] == kept
    assert summary.requests == len(kept)
    assert summary.bad == lines.count(b"bad") == sum(e.bad for e in entries)
    assert summary.bad_keys == len(named) - len(set(named)) == sum(e.repeated for e in entries)
    keys = [(b"" if e.bad else sort_key(parse(kept[e.ordinal]).request), e.ordinal) for e in entries]
    assert keys == sorted(keys), "by prompt, and equal ones as they came"


async def test_prompts_that_begin_alike_for_very_long_still_meet_their_equals(index, monkeypatch):
    """Beyond a bound they are told apart by a hash, which keeps equal ones together."""
    monkeypatch.setattr("halfrate.ingest.chunks.KEY_BYTES_MAX", 20)
    texts = ["x" * 30 + ending for ending in "abcabc"]
    data = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)
    entries = (await index(data, chunk_bytes_min=100)).entries()
    in_order = [texts[entry.ordinal] for entry in entries]
    assert in_order[0::2] == in_order[1::2]
    assert sorted(in_order) == sorted(texts)


async def test_a_first_line_that_is_too_long_is_guessed_at_too(index):
    """A JSON array on one line is one long line: that it is too long is not what is wrong with it."""
    array = b"[" + b'{"text": "x"}, ' * 1_000 + b"]"
    indexed = await index(array + b"\n", line_bytes=100)
    (error,) = indexed.summary.errors
    assert "at most 100 are allowed" in error
    assert "looks like one JSON array" in error
    objects = b'{"text": "' + b"x" * 10_000 + b'"}\n'
    indexed = await index(objects, line_bytes=100)
    assert "looks like" not in indexed.summary.errors[0]


async def test_an_index_is_the_same_whether_it_was_merged_whole_or_by_halves(index):
    data = b"".join(
        b'{"key": "%d", "text": "%s %05d"}\n' % (n, b"abc"[n % 3 : n % 3 + 1] * 100, n * 7919 % 3_000)
        for n in range(3_000)
    )
    data += b'{"key": "7", "text": "again"}\n'
    whole = await index(data, piece_bytes=1 << 16, chunk_bytes_min=len(data))
    entries = whole.entries()
    halved = await index(data, piece_bytes=1 << 12, chunk_bytes_min=1 << 15)
    assert halved.entries() == entries
    assert [entry.repeated for entry in entries].count(True) == 1
    # The first prompt of the second half has none before it.
    sharing = whole.summary.sharing
    assert 0 < sharing.shared_bytes - halved.summary.sharing.shared_bytes <= sharing.prompt_bytes / 3_000


async def test_what_many_lines_share_is_told_by_a_sample(index, monkeypatch):
    data = b"".join(b'{"text": "%05d %s"}\n' % (n // 10, b"xyz"[n % 3 : n % 3 + 1]) for n in range(4_000))
    exact = (await index(data, piece_bytes=1 << 16)).summary.sharing
    monkeypatch.setattr(indexing, "SHARING_ALL_MAX", 1_000)
    sampled = (await index(data, piece_bytes=1 << 16)).summary.sharing
    assert sampled != exact
    assert sampled.prompt_bytes == pytest.approx(exact.prompt_bytes, rel=0.02)
    assert sampled.shared_bytes == pytest.approx(exact.shared_bytes, rel=0.02)


async def test_an_index_in_another_order_is_not_read(index, monkeypatch):
    indexed = await index(b'{"text": "a"}\n')
    monkeypatch.setattr("halfrate.ingest.index.SORT_KEY_VERSIONS_READ", {SORT_KEY_VERSION + 1})
    with (
        indexed.store.reader(index_blob("inputs/x")) as reader,
        pytest.raises(CorruptData, match=f"has order {SORT_KEY_VERSION}"),
    ):
        IndexReader(reader)
