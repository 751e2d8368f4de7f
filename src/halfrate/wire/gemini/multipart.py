"""Uploads in one body of two parts: a JSON document about the File, then its content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from halfrate.domain.errors import InvalidArgument

HEAD_BYTES_MAX = 128 << 10
"""Bytes before the content: the document, and the headers of both parts."""

_BOUNDARY = re.compile(
    r'multipart/(?:related|form-data)\s*;.*\bboundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.I
)
_AS_IT_IS = ("", "binary", "8bit", "7bit")


@dataclass(frozen=True, slots=True)
class Head:
    """What comes before the content: the document, and the content's own headers, names in lower case."""

    document: bytes
    headers: Mapping[str, str]


def parse_boundary(content_type: str | None) -> bytes:
    """Return what stands between the parts of a body. Raise `InvalidArgument` if it is no such body."""
    found = _BOUNDARY.match((content_type or "").strip())
    if found is None:
        raise InvalidArgument(
            f"Content-Type is {(content_type or '')[:80]!r}; a multipart upload is multipart/related, and "
            "names its boundary."
        )
    return (found[1] or found[2]).encode("latin-1")


class TwoParts:
    """Takes a body as it comes, and gives the content as it comes: only the head is ever held.

    Lines end as the first one does. ``head`` is None until the content begins. Every call raises
    `InvalidArgument` if the body is not of two parts.
    """

    def __init__(self, boundary: bytes) -> None:
        self.head: Head | None = None
        self._dashes = b"--" + boundary
        self._delimiter = b""
        self._unread = bytearray()
        self._skipped_bytes = 0
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        """Take a piece, and return what it has of the content. What comes after the last part is dropped."""
        if self._ended:
            return b""
        self._unread += piece
        if self.head is None:
            self.head = self._begin()
        return b"" if self.head is None else self._content()

    def finish(self) -> None:
        """Note that the body has ended."""
        if not self._ended:
            raise InvalidArgument(
                "The body of the call ends before its last part does. Send it again: nothing of it is kept."
            )

    def _begin(self) -> Head | None:
        head = self._head()
        if head is None and len(self._unread) > HEAD_BYTES_MAX:
            raise InvalidArgument(
                f"The body of the call has no second part within its first {HEAD_BYTES_MAX} bytes. A "
                "multipart upload is a JSON document, then the content."
            )
        return head

    def _head(self) -> Head | None:
        """Return the head if all of it has come, and leave the content as what is unread."""
        text = bytes(self._unread)
        at = text.find(self._dashes)
        if at > 0 and text[at - 1 : at] != b"\n":
            raise InvalidArgument("The body of the call does not begin with its boundary.")
        end_of_line = text.find(b"\n", at)
        if at < 0 or end_of_line < 0:
            return None
        newline = b"\r\n" if text[end_of_line - 1 : end_of_line] == b"\r" else b"\n"
        self._delimiter = newline + self._dashes
        first = self._part(text, at, newline)
        document_end = -1 if first is None else text.find(self._delimiter, first[1] - len(newline))
        if first is None or document_end < 0:
            return None
        second = self._part(text, document_end + len(newline), newline)
        if second is None:
            return None
        headers, begin = second
        _check_encoding(headers)
        # From the end of the last header line: of an empty content it is where the delimiter begins.
        del self._unread[: begin - len(newline)]
        self._skipped_bytes = len(newline)
        return Head(text[first[1] : document_end], headers)

    def _part(self, text: bytes, at: int, newline: bytes) -> tuple[dict[str, str], int] | None:
        """Return the headers of the part whose boundary is ``at``, and where its body begins."""
        begin = text.find(newline, at)
        end = text.find(newline * 2, at)
        if begin < 0 or end < 0:
            return None
        lines = text[begin:end].decode("latin-1").split("\n")
        pairs = (line.partition(":") for line in lines if ":" in line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return headers, end + 2 * len(newline)

    def _content(self) -> bytes:
        at = self._unread.find(self._delimiter)
        if at < 0:
            # The end of what has come may be the beginning of the delimiter.
            return self._taken(max(0, len(self._unread) - len(self._delimiter) + 1))
        after = bytes(self._unread[at + len(self._delimiter) :][:2])
        self._ended = after == b"--"
        if len(after) == 2 and not self._ended:
            raise InvalidArgument("The body of the call has a third part. A multipart upload has two.")
        return self._taken(at)

    def _taken(self, size_bytes: int) -> bytes:
        content = bytes(self._unread[:size_bytes])
        del self._unread[:size_bytes]
        skipped = min(self._skipped_bytes, len(content))
        self._skipped_bytes -= skipped
        return content[skipped:]


def _check_encoding(headers: Mapping[str, str]) -> None:
    encoding = headers.get("content-transfer-encoding", "").lower()
    if encoding not in _AS_IT_IS:
        raise InvalidArgument(
            f"Content-Transfer-Encoding is {encoding[:40]!r}; send the content as it is, with 'binary'."
        )
