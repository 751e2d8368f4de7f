"""The process that reads one PDF: its bytes come on standard input, its text goes to standard output."""

from __future__ import annotations

import io
import math
import resource
import sys

TEXT, ERROR = b"T", b"E"
"""The first byte of the answer."""

PAGES_MAX = 1_000
MEMORY_BYTES_MAX = 1 << 30


def main() -> None:
    """Answer, and end."""
    bytes_max, seconds = int(sys.argv[1]), float(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
    try:
        answer = TEXT + text_of(sys.stdin.buffer.read(), bytes_max)
    except Refused as refused:
        answer = ERROR + str(refused).encode()
    except MemoryError:
        answer = ERROR + b"it takes too much memory"
    except Exception as error:  # what anybody may have made has a reader raise anything
        answer = ERROR + f"{type(error).__name__}: {error}"[:300].encode("utf-8", "replace")
    sys.stdout.buffer.write(answer)


class Refused(Exception):
    """Why a PDF that can be read is not."""


def text_of(data: bytes, bytes_max: int) -> bytes:
    """Return the text of a PDF. Raise `Refused`, or what its reader raises."""
    from pypdf import PdfReader  # noqa: PLC0415 - an extra, wanted in this process only

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Refused("it needs a password")
    if len(reader.pages) > PAGES_MAX:
        raise Refused(f"it has {len(reader.pages):,} pages, and at most {PAGES_MAX:,} are read")
    pages: list[bytes] = []
    left = bytes_max
    for page in reader.pages:
        pages.append(page.extract_text().encode("utf-8", "replace"))
        left -= len(pages[-1]) + 1
        if left < 0:
            raise Refused(
                f"its text has more than {bytes_max:,} bytes, and no more are read into a prompt "
                "(limits.prompt_file_bytes)"
            )
    return b"\n".join(pages)


if __name__ == "__main__":
    main()
