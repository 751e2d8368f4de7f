"""Draws the states of a Job from the one table of steps. `python -m tools.state_diagram` does it anew."""

from __future__ import annotations

from pathlib import Path

from halfrate.domain.job import FINAL_STATES, NEXT

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "states.md"
BEGIN, END = "<!-- begin: python -m tools.state_diagram -->", "<!-- end -->"


def diagram() -> str:
    """Return the table of steps as a mermaid diagram."""
    steps = [f"    {state} --> {following}: {event.value}" for (state, event), following in NEXT.items()]
    ends = [f"    {state} --> [*]" for state in sorted(FINAL_STATES)]
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> PENDING: create", *steps, *ends, "```"]
    return "\n".join(lines)


def updated(page: str) -> str:
    """Return ``page`` with the diagram between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{diagram()}\n{END}{after}"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(updated(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
