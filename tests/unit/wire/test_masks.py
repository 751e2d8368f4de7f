"""Masks: what they mean of an answer, and where a wrong one is wrong."""

from __future__ import annotations

import pytest

from halfrate.domain.errors import InvalidArgument
from halfrate.wire.gemini.masks import parse_fields, parse_paths, selected

ANSWER = {
    "operations": [
        {"name": "batches/a", "metadata": {"state": "S", "batchStats": {"requestCount": "3"}}, "done": True},
        {"name": "batches/b", "metadata": {"state": "P"}},
    ],
    "nextPageToken": "t",
}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ("*", ANSWER),
        ("nextPageToken", {"nextPageToken": "t"}),
        ("next_page_token , ", None),
        ("next_page_token", {"nextPageToken": "t"}),
        ("operations.name", {"operations": [{"name": "batches/a"}, {"name": "batches/b"}]}),
        ("operations/name", {"operations": [{"name": "batches/a"}, {"name": "batches/b"}]}),
        ("operations(done, name),nextPageToken", {
            "operations": [{"name": "batches/a", "done": True}, {"name": "batches/b"}],
            "nextPageToken": "t",
        }),
        ("operations(metadata(batch_stats))", {
            "operations": [{"metadata": {"batchStats": {"requestCount": "3"}}}, {"metadata": {}}],
        }),
        ("operations/*/state", {"operations": [{"metadata": {"state": "S"}}, {"metadata": {"state": "P"}}]}),
        ("operations(*/state,metadata)", {
            "operations": [{"metadata": each["metadata"]} for each in ANSWER["operations"]],
        }),
        ("operations.metadata.state,operations", {"operations": ANSWER["operations"]}),
        ("operations.done,operations.done", {"operations": [{"done": True}, {}]}),
        ("nextPageToken.deeper,unknown", {}),
    ],
)  # fmt: skip
def test_what_a_mask_means(fields, kept):
    if kept is None:
        with pytest.raises(InvalidArgument):
            parse_fields(fields)
    else:
        assert selected(ANSWER, parse_fields(fields)) == kept


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("a,,b", "at character 3: a field's name is missing"),
        ("a(b", "at character 4: a ')' is missing"),
        ("a)", "at character 2: ')' does not belong here"),
        ("a(b)c", "at character 5: 'c' does not belong here"),
        ("a/", "at character 3: a field's name is missing"),
        ("()", "at character 1: a field's name is missing"),
        ("a b", "at character 3: 'b' does not belong here"),
        ("a;b", "at character 2: ';' does not belong here"),
        ("a(" * 40, "deeper than 32 levels"),
    ],
)
def test_a_wrong_mask_says_where(fields, says):
    with pytest.raises(InvalidArgument) as refused:
        parse_fields(fields)
    assert says in str(refused.value)
    assert refused.value.violations[0][0] == "fields"


def test_a_mask_of_paths_names_top_level_fields_in_either_case():
    paths = parse_paths("display_name, inputConfig.file_name,*", parameter="updateMask")
    assert paths == {"displayName", "inputConfig", "*"}
    assert parse_paths("", parameter="updateMask") == set()
    for wrong in ("a(b)", "a..b", "1"):
        with pytest.raises(InvalidArgument):
            parse_paths(wrong, parameter="updateMask")
