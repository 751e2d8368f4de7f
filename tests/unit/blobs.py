"""A blob in memory, for tests that write millions of small ones."""

from typing import Self


class MemoryBlob:
    """Reader, writer and appender of the same bytes. Counts its reads and what they gave."""

    def __init__(self, data: bytes = b"", name: str = "segments/1") -> None:
        self.data = bytearray(data)
        self.name = name
        self.reads = 0
        self.read_bytes = 0
        self.is_open = True

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def write(self, data: bytes) -> None:
        self.data += data

    append = write

    def commit(self) -> int:
        return len(self.data)

    def sync(self) -> None:
        pass

    def read(self, offset: int, length: int) -> bytes:
        data = bytes(self.data[offset : offset + length])
        self.reads += 1
        self.read_bytes += len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.is_open = False
