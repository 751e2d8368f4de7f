"""The process that makes text of pages, one after the other, until its input ends.

What it is given is framed on standard input: the length of what follows, the length of a media type and of a
charset, those two, and the bytes of the page. It answers with a length, `TEXT`, `WALLED` or `ERROR`, and
a text.
"""

from __future__ import annotations

import codecs
import json
import resource
import struct
import sys
from typing import BinaryIO

from halfrate.lookup import pdf_child

HEAD = struct.Struct("<IBB")
LENGTH = struct.Struct("<I")
TEXT, WALLED, ERROR = b"T", b"W", b"E"
MEMORY_BYTES_MAX = 2 << 30
PDF = "application/pdf"


def main() -> None:
    """Answer until there is nothing to read."""
    bytes_max = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(HEAD.size):
        length, type_length, charset_length = HEAD.unpack(head)
        kind, charset = source.read(type_length).decode(), source.read(charset_length).decode()
        _answer(sink, _text(source.read(length), kind, charset, bytes_max))


def _answer(sink: BinaryIO, answer: tuple[bytes, str]) -> None:
    kind, text = answer
    said = kind + text.encode("utf-8", "replace")
    sink.write(LENGTH.pack(len(said)) + said)
    sink.flush()


def _text(data: bytes, kind: str, charset: str, bytes_max: int) -> tuple[bytes, str]:
    try:
        if kind == PDF:
            return TEXT, pdf_child.text_of(data, bytes_max).decode()
        if "html" in kind:
            return _of_html(data, charset)
        return TEXT, decoded(data, charset)
    except ModuleNotFoundError:
        return ERROR, "what reads it is not installed: pip install 'halfrate[pdf,urls]'"
    except MemoryError:
        return ERROR, "it takes too much memory"
    except Exception as error:  # what anybody may have made has a reader raise anything
        return ERROR, f"{type(error).__name__}: {error}"[:300]


def _of_html(data: bytes, charset: str) -> tuple[bytes, str]:
    import trafilatura  # noqa: PLC0415 - an extra, wanted in this process only

    # Bytes where the answer names no charset: the page itself may.
    page = decoded(data, charset) if charset else data
    text = trafilatura.extract(
        page, output_format="markdown", include_links=False, include_tables=True, with_metadata=False
    )
    if b"isAccessibleForFree" in data and _is_walled(data):
        return WALLED, text or ""
    text = text or _all_text(page)
    return (TEXT, text) if text else (ERROR, "there is no text on it")


def _all_text(page: str | bytes) -> str:
    """Return all there is to read: what is so short, or so odd, that no main part of it is found."""
    from lxml import html  # noqa: PLC0415

    coding = "utf-8" if isinstance(page, str) else None
    data = page.encode("utf-8", "replace") if isinstance(page, str) else page
    tree = html.fromstring(data, parser=html.HTMLParser(encoding=coding))
    for unseen in tree.xpath("//script | //style | //noscript | //template | //head"):
        unseen.drop_tree()
    return "\n".join(line for piece in tree.itertext() if (line := piece.strip()))


def _is_walled(data: bytes) -> bool:
    """Whether a page says, in the way search engines ask for, that it is not for everybody."""
    from lxml import html  # noqa: PLC0415

    for script in html.fromstring(data).iterfind(".//script[@type='application/ld+json']"):
        try:
            said = json.loads(script.text or "")
        except ValueError:
            continue
        for thing in said if isinstance(said, list) else [said]:
            if isinstance(thing, dict) and str(thing.get("isAccessibleForFree", "")).lower() == "false":
                return True
    return False


def decoded(data: bytes, charset: str) -> str:
    """Return text of bytes in ``charset``; where that is unknown or empty, in UTF-8 or else Windows-1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if charset:
        try:
            return data.decode(charset, "replace")
        except LookupError:
            pass
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


if __name__ == "__main__":
    main()
