"""What a file probably is whose first line is no request, and how to make requests of it."""

from __future__ import annotations

import re

EXAMPLE = '{"key": "1", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}'


def hint(first_line: bytes) -> str | None:
    """Return a guess as a sentence without its full stop, None if there is nothing to add.

    ``first_line`` is the first line that is not blank, and could not be read as a request. Looks at its
    beginning only, however long it is.
    """
    start = first_line[:LOOKED_AT_BYTES].strip()
    for beginning, sentence in _BEGINNINGS:
        if start.lower().startswith(beginning):
            return sentence
    if b"\0" in start[:4]:
        return _with_nuls(start[:4])
    if not start.startswith(b"{"):
        return "This does not look like a JSON Lines file"
    return _of_object(start, end=first_line[-LOOKED_AT_BYTES:])


def _with_nuls(start: bytes) -> str:
    if not any(start):
        return "The file begins with NUL bytes, as one does that was not written to its end: make it again"
    return _UTF_32 if start.count(0) == _NULS_IN_UTF_32 else _UTF_16


def _of_object(start: bytes, *, end: bytes) -> str | None:
    if re.search(rb"\}\s*\r\s*\{", start):
        return "The lines end in a carriage return alone: end each with a newline"
    if _UNFINISHED.search(end):
        return "The file looks like JSON spread over several lines: write each object on a single line"
    return next((sentence for names, sentence in _DIALECTS if _has_names(start, names)), None)


LOOKED_AT_BYTES = 4_096
_UNFINISHED = re.compile(rb"[{\[,:]\s*\Z")


def _has_names(start: bytes, names: tuple[bytes, ...]) -> bool:
    return all(re.search(rb'"' + name + rb'"\s*:', start) for name in names)


_NULS_IN_UTF_32 = 3  # of the four bytes of an ASCII character
_UTF_16 = "The file is encoded as UTF-16: save it as UTF-8"
_UTF_32 = "The file is encoded as UTF-32: save it as UTF-8"
_MARKUP = (
    "The file is a web page or XML, perhaps an error page that was saved in place of the file: look into it"
)
_PACKED = "unpack it first"

# In lower case; the longer one first where one begins like another.
_BEGINNINGS = (
    (b"[", "The file looks like one JSON array: write its elements without the brackets, one on each line"),
    (b"\x1f\x8b", f"The file is compressed with gzip: {_PACKED}"),
    (b"pk\x03\x04", f"The file is a ZIP archive, or an Excel or OpenDocument table: {_PACKED}, or export it"),
    (b"bzh", f"The file is compressed with bzip2: {_PACKED}"),
    (b"\xfd7zxz\0", f"The file is compressed with xz: {_PACKED}"),
    (b"\x28\xb5\x2f\xfd", f"The file is compressed with Zstandard: {_PACKED}"),
    (b"\xff\xfe\0\0", _UTF_32),
    (b"\0\0\xfe\xff", _UTF_32),
    (b"\xff\xfe", _UTF_16),
    (b"\xfe\xff", _UTF_16),
    (b"par1", "The file is in Parquet format: export it as JSON Lines"),
    (b"%pdf", "The file is a PDF: write its text into requests"),
    (b"<", _MARKUP),
)

# Names that stand on lines made for other services, the likeliest first.
_DIALECTS = (
    (
        (b"custom_id", b"body"),
        "This is a line for OpenAI's batch API: it has custom_id, url and body, and the method POST",
    ),
    (
        (b"custom_id", b"params"),
        "This is a line for Anthropic's batch API: rename custom_id to key and write params as request, its "
        "messages as contents with parts (role assistant is model), system as system_instruction with parts, "
        "max_tokens as generation_config.max_output_tokens",
    ),
    (
        (b"response",),
        "This is a line of results: send the file of requests that they answer",
    ),
    (
        (b"instances",),
        "This is a line for Vertex AI's prediction API: write each instance's prompt as a request of its own",
    ),
    (
        (b"messages",),
        "This is a line of chat messages: write messages as request.contents, the text of each in parts",
    ),
    (
        (b"prompt",),
        "A prompt is written as request.contents, its text in parts",
    ),
)
