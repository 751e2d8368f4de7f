"""What a file probably is whose first line is not a JSON object."""

from __future__ import annotations

EXAMPLE = '{"key": "1", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}'


def hint(first_line: bytes) -> str | None:
    """Guess, as a sentence without its full stop; None if it does begin like a JSON object."""
    start = first_line.strip()
    for beginning, sentence in _HINTS:
        if start.startswith(beginning):
            return sentence
    if start == b"{":
        return "The file looks like JSON spread over several lines: write each object on a single line"
    return None if start.startswith(b"{") else "This does not look like a JSON Lines file"


_HINTS = (
    (b"[", "The file looks like one JSON array: write its elements without the brackets, one on each line"),
    (b"\x1f\x8b", "The file is compressed with gzip: unpack it first"),
    (b"PK\x03\x04", "The file is a ZIP archive: unpack it first"),
    (b"\xff\xfe", "The file is encoded as UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "The file is encoded as UTF-16: save it as UTF-8"),
    (b"PAR1", "The file is in Parquet format: export it as JSON Lines"),
)
