"""Draw what `benchmarks.order` measured, for docs/explanation/ordering.md.

    python -m tools.plot_order [FILE]

FILE has one row of JSON; without it, the last row of that benchmark in benchmarks/history.jsonl is drawn. The
pictures and the table of the page are written anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import msgspec

HISTORY = Path("benchmarks/history.jsonl")
PAGE = Path("docs/explanation/ordering.md")
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"

WIDTH, HEIGHT = 640, 320
LEFT, TOP, RIGHT, BOTTOM = 56, 34, 16, 44
INK, FAINT, PALE, STRONG, SECOND = "#1f2933", "#9aa5b1", "#cbd2d9", "#0b69a3", "#de911d"


class Cell(msgspec.Struct, frozen=True):
    """What was measured of one workload with one size of cache, as far as it is drawn."""

    workload: str
    cache: str
    kv_blocks: int | None
    shared: float
    reachable: float
    arrival_hits: float
    service_hits: float
    answer_cost: float
    speedup: float
    bound: float


class Row(msgspec.Struct, frozen=True):
    """One run of the benchmark."""

    benchmark: str
    at: str
    commit: str
    machine: str
    cells: list[Cell]


def read(path: Path) -> Row:
    """Return the row in a file, the last one of the benchmark where there are several."""
    text = path.read_text("utf-8")
    if text.startswith("{\n"):
        return msgspec.json.decode(text, type=Row)
    rows = [line for line in text.splitlines() if json.loads(line)["benchmark"] == "order"]
    if not rows:
        sys.exit(f"{path} has no row of the benchmark order. Make one: python -m benchmarks.order")
    return msgspec.json.decode(rows[-1], type=Row)


def write(row: Row, page: Path) -> None:
    """Write the pictures beside the page, and the table into it."""
    small = [cell for cell in row.cells if cell.cache == "tenth"]
    for name, picture in (("speedup", speedups(small)), ("hits", hits(small)), ("bound", bounds(small))):
        page.with_name(f"ordering-{name}.svg").write_text(picture, "utf-8")
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(row.cells)}\n\n{_told(row)}\n{END}{after}", "utf-8")


def _told(row: Row) -> str:
    return f"Measured on {row.at[:10]}, commit {row.commit}, {row.machine}."


def table(cells: Sequence[Cell]) -> str:
    """Return the figures as a table."""
    lines = [
        "| workload | cache | shared | hits in the file's order | hits in ours | times as fast | at most |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in cells:
        size = "a tenth" if cell.cache == "tenth" else "all of it"
        shares = f"{cell.shared:.0%} | {cell.arrival_hits:.0%} | {cell.service_hits:.0%}"
        lines.append(f"| {cell.workload} | {size} | {shares} | {cell.speedup:.2f} | {cell.bound:.2f} |")
    return "\n".join(lines)


def speedups(cells: Sequence[Cell]) -> str:
    """Draw how many times as fast each workload is, and how many times it could be."""
    most = max(max(cell.speedup, cell.bound) for cell in cells) * 1.15
    frame = _Frame("Times as fast in our order as in the file's, and the bound", y_max=most)
    for bar in frame.bars([cell.workload for cell in cells]):
        cell = cells[bar.number]
        frame.rect(bar.left, bar.width, cell.speedup, STRONG)
        frame.text(bar.middle, frame.y(max(cell.speedup, cell.bound)) - 6, f"{cell.speedup:.2f}", size=11)
        frame.mark(bar.left - 4, bar.width + 8, cell.bound, SECOND)
    frame.level(1.0)
    return frame.svg([("measured", STRONG), ("bound", SECOND)])


def hits(cells: Sequence[Cell]) -> str:
    """Draw which part of the prompts came from the cache, and which could."""
    frame = _Frame("Prompt tokens from the cache, and those that begin alike in whole blocks", y_max=1.0)
    for bar in frame.bars([cell.workload for cell in cells]):
        cell, half = cells[bar.number], bar.width / 2
        frame.rect(bar.left, half, cell.arrival_hits, PALE)
        frame.rect(bar.left + half, half, cell.service_hits, STRONG)
        frame.mark(bar.left - 4, bar.width + 8, cell.reachable, SECOND)
    return frame.svg([("the file's order", PALE), ("our order", STRONG), ("reachable", SECOND)])


def bounds(cells: Sequence[Cell]) -> str:
    """Draw the bound over the shared part, for cheap and dear answers, and where the workloads are."""
    frame = _Frame("The bound, when arrival order hits nothing: r is what answers cost", y_max=10.0)
    frame.axis([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    for r, ink in ((0.0, STRONG), (0.1, "#3d8fc4"), (0.3, "#84bfe3"), (1.0, PALE)):
        points = [(step / 100, (1 + r) / max(1e-9, 1 - step / 100 + r)) for step in range(101)]
        inside = [(x, y) for x, y in points if y <= frame.y_max]
        frame.line(inside, ink)
        x, y = inside[-1]
        frame.text(frame.x(x) - 4, frame.y(y) + (12 if y > 9 else -6), f"r = {r:g}", size=11, anchor="end")
    for cell in cells:
        frame.dot(cell.reachable, cell.speedup, cell.workload)
    return frame.svg([("a workload, as measured", SECOND)])


class _Bar:
    def __init__(self, number: int, left: float, width: float) -> None:
        self.number, self.left, self.width = number, left, width
        self.middle = left + width / 2


class _Frame:
    """A picture with a title, an axis from 0 to ``y_max``, and what is drawn into it."""

    def __init__(self, title: str, *, y_max: float) -> None:
        self.y_max = y_max
        self._title = title
        self._drawn: list[str] = []
        step = next(step for step in (0.2, 0.5, 1, 2, 5, 10, 20) if y_max / step <= 6)
        for count in range(int(y_max / step) + 1):
            y = self.y(count * step)
            self._drawn.append(
                f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{PALE}" stroke-width=".6"/>'
            )
            self.text(LEFT - 8, y + 4, f"{count * step:g}", size=11, anchor="end")

    def x(self, share: float) -> float:
        """Where a share of the width is."""
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Where a value is."""
        return HEIGHT - BOTTOM - value / self.y_max * (HEIGHT - TOP - BOTTOM)

    def bars(self, names: Sequence[str]) -> Iterable[_Bar]:
        """Yield room for a bar for each name, and write the names."""
        room = (WIDTH - LEFT - RIGHT) / len(names)
        for number, name in enumerate(names):
            bar = _Bar(number, LEFT + room * (number + 0.25), room / 2)
            self.text(bar.middle, HEIGHT - BOTTOM + 16, name, size=11)
            yield bar

    def axis(self, shares: Sequence[float]) -> None:
        """Write shares below."""
        for share in shares:
            self.text(self.x(share), HEIGHT - BOTTOM + 16, f"{share:.0%}", size=11)

    def rect(self, left: float, width: float, value: float, ink: str) -> None:
        """Draw a bar."""
        top = self.y(value)
        size = f'width="{width:.1f}" height="{self.y(0) - top:.1f}"'
        self._drawn.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size} fill="{ink}"/>')

    def mark(self, left: float, width: float, value: float, ink: str) -> None:
        """Draw a short line at a value."""
        path = f"M{left:.1f} {self.y(value):.1f}h{width:.1f}"
        self._drawn.append(f'<path d="{path}" stroke="{ink}" stroke-width="3"/>')

    def level(self, value: float) -> None:
        """Draw a line over the whole width."""
        path = f"M{LEFT} {self.y(value):.1f}H{WIDTH - RIGHT}"
        self._drawn.append(f'<path d="{path}" stroke="{INK}" stroke-dasharray="4 3"/>')

    def line(self, points: Sequence[tuple[float, float]], ink: str) -> None:
        """Draw a curve."""
        path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
        self._drawn.append(f'<path d="M{path}" fill="none" stroke="{ink}" stroke-width="2"/>')

    def dot(self, x: float, y: float, name: str) -> None:
        """Draw a point with a name."""
        self._drawn.append(f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4" fill="{SECOND}"/>')
        aside, anchor = (7, "start") if x < 0.85 else (-7, "end")
        self.text(self.x(x) + aside, self.y(y) + 4, name, size=11, anchor=anchor)

    def text(self, x: float, y: float, text: str, *, size: int, anchor: str = "middle") -> None:
        """Write."""
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
        self._drawn.append(f"<text {place}>{escape(text)}</text>")

    def svg(self, legend: Sequence[tuple[str, str]]) -> str:
        """Return the picture."""
        self.text(LEFT, 18, self._title, size=13, anchor="start")
        x = float(LEFT)
        for name, ink in legend:
            self._drawn.append(f'<rect x="{x:.1f}" y="{HEIGHT - 14}" width="10" height="10" fill="{ink}"/>')
            self.text(x + 14, HEIGHT - 5, name, size=11, anchor="start")
            x += 30 + 6.5 * len(name)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        )
        ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        return "\n".join([f'{head} fill="{INK}">', ground, *self._drawn, "</svg>"]) + "\n"


def main() -> None:
    """Draw."""
    write(read(Path(sys.argv[1]) if len(sys.argv) > 1 else HISTORY), PAGE)


if __name__ == "__main__":
    main()
