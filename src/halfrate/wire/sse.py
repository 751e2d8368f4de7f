"""Server-sent events as bytes that come cut anywhere."""

from __future__ import annotations


class Events:
    """Takes a stream piece by piece and gives the data of each event that is complete.

    Of an event only its data matters here; a comment or a field without data is passed over. Lines end in
    LF or CRLF. It holds no more than the event that is not complete.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece, and return the data of the events that it completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        events = []
        for line in lines:
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                events.append(event)
        return events

    def end(self) -> list[bytes]:
        """Return what the stream ended with, where a server left out the empty line after its last event."""
        last = self.feed(b"\n\n")
        self._data.clear()
        return last

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
