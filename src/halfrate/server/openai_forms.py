"""Bodies of type multipart/form-data, read as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from halfrate.domain.errors import InvalidArgument

TEXT_BYTES_MAX = 64 << 10


@dataclass(slots=True)
class Part:
    """The head of a part. ``filename`` is None for a field without a file."""

    name: str
    filename: str | None
    content_type: str


class _End(Enum):
    END = 0


_Event = Part | bytes | _End


@dataclass(slots=True)
class _Head:
    headers: dict[str, str] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""


class FormBody:
    """A form, part by part: take the data of each before the next one. Only what arrived last is held; how
    long the head of a part may be is bounded by the parser.

    Every call raises `InvalidArgument` if the body is no form, or is cut off.
    """

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InvalidArgument("The body must be multipart/form-data, with its boundary in Content-Type.")
        self._arrived: list[_Event] = []
        self._head = _Head()
        self._complete = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_head,
                "on_part_data": self._on_data,
                "on_part_end": lambda: self._arrived.append(_End.END),
                "on_end": self._end,
            },
        )
        self._events = self._read(chunks)

    async def parts(self) -> AsyncIterator[Part]:
        """Yield the head of every part. Data nobody took is passed over."""
        async for event in self._events:
            if isinstance(event, Part):
                yield event

    async def data(self) -> AsyncIterator[bytes]:
        """Yield the data of the part whose head came last."""
        while isinstance(event := await anext(self._events, _End.END), bytes):
            yield event

    async def text(self) -> str:
        """Return the data of that part as a text of bounded length."""
        data = b""
        async for piece in self.data():
            data += piece
            if len(data) > TEXT_BYTES_MAX:
                raise InvalidArgument(f"A field of the form has more than {TEXT_BYTES_MAX} bytes.")
        return data.decode(errors="replace")

    async def _read(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[_Event]:
        async for chunk in chunks:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise InvalidArgument(f"The form cannot be read: {error}.") from None
            arrived, self._arrived = self._arrived, []
            for event in arrived:
                yield event
        if not self._complete:
            raise InvalidArgument("The form is cut off: its last boundary is missing. Send it again.")

    def _begin(self) -> None:
        self._head = _Head()

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._head.name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._head.value += data[start:end]

    def _end_header(self) -> None:
        head = self._head
        head.headers[head.name.decode("latin-1").lower()] = head.value.decode(errors="replace")
        head.name = head.value = b""

    def _end_head(self) -> None:
        headers = self._head.headers
        _, options = parse_options_header(headers.get("content-disposition", ""))
        filename = options.get(b"filename")
        self._arrived.append(
            Part(
                options.get(b"name", b"").decode(errors="replace"),
                None if filename is None else filename.decode(errors="replace"),
                headers.get("content-type", ""),
            )
        )

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._arrived.append(data[start:end])

    def _end(self) -> None:
        self._complete = True
