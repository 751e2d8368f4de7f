"""The example input file is what a first batch sends, so it has to be valid line by line."""

import json
from collections import Counter
from pathlib import Path

LINES = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "examples" / "batch_requests.jsonl")
    .read_text("utf-8")
    .splitlines()
]


def text_of(line: dict[str, dict[str, list[dict[str, list[dict[str, str]]]]]]) -> str:
    return line["request"]["contents"][0]["parts"][0]["text"]


def test_every_line_has_its_own_key_and_a_prompt() -> None:
    assert len({line["key"] for line in LINES}) == len(LINES)
    assert all(text_of(line).strip() for line in LINES)


def test_several_questions_share_one_document() -> None:
    """That shared beginning is what prefix caching is for."""
    documents = Counter(text_of(line).rpartition("\n\nQuestion:")[0] for line in LINES)
    del documents[""]
    assert documents.most_common(1)[0][1] >= 4


def test_structured_output_asks_for_the_fields_its_prompt_names() -> None:
    structured = [line for line in LINES if "generationConfig" in line["request"]]
    assert structured
    for line in structured:
        schema = line["request"]["generationConfig"]["responseSchema"]
        assert all(field in text_of(line) for field in schema["properties"])
