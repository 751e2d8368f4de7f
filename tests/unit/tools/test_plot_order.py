"""The pictures and the table of the page on order are drawn from a row of the benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.plot_order import BEGIN, END, read, write

CELL = {
    "workload": "documents",
    "cache": "tenth",
    "kv_blocks": 64,
    "shared": 0.84,
    "reachable": 0.8,
    "arrival_hits": 0.05,
    "service_hits": 0.79,
    "answer_cost": 0.1,
    "speedup": 3.21,
    "bound": 3.5,
    "of_bound": 0.92,
}


def row(**changes: object) -> str:
    cells = [CELL | changes, CELL | changes | {"cache": "default", "speedup": 1.0}]
    return json.dumps(
        {"benchmark": "order", "at": "2026-01-02T03", "commit": "abc", "machine": "here", "cells": cells}
    )


def page_in(folder: Path) -> Path:
    page = folder / "ordering.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return page


def test_the_last_row_is_drawn(tmp_path: Path) -> None:
    history, page = tmp_path / "history.jsonl", page_in(tmp_path)
    history.write_text("\n".join([row(speedup=2.0), row(), '{"benchmark": "ingest"}']))
    write(read(history), page)
    text = page.read_text()
    assert "| documents | a tenth | 84% | 5% | 79% | 3.21 | 3.50 |" in text
    assert "| documents | all of it | 84% | 5% | 79% | 1.00 | 3.50 |" in text
    assert "Measured on 2026-01-02, commit abc, here." in text
    assert (text.startswith("before\n"), text.endswith("after\n"), "old" in text) == (True, True, False)
    again = text
    write(read(history), page)
    assert page.read_text() == again
    for name in ("speedup", "hits", "bound"):
        drawn = (tmp_path / f"ordering-{name}.svg").read_text()
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
        assert "documents" in drawn


def test_a_bar_is_as_high_as_what_was_measured(tmp_path: Path) -> None:
    heights = []
    for speedup in (1.5, 3.0):
        path = tmp_path / "row.json"
        path.write_text(json.dumps(json.loads(row(speedup=speedup)), indent=2))
        write(read(path), page_in(tmp_path))
        drawn = ElementTree.fromstring((tmp_path / "ordering-speedup.svg").read_text())
        bars = [each for each in drawn.iter() if each.tag.endswith("rect")]
        heights.append(float(bars[1].attrib["height"]))
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)


def test_without_a_row_it_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"benchmark": "ingest"}\n')
    with pytest.raises(SystemExit, match=r"python -m benchmarks\.order"):
        read(tmp_path / "history.jsonl")
