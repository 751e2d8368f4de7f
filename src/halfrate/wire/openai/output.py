"""A Job's output in this dialect, made of its lines in the Gemini dialect as they come."""

from __future__ import annotations

from halfrate.domain.outcome import Failed
from halfrate.wire.gemini.results import read_result
from halfrate.wire.openai.lines import output_line


class Translation:
    """Takes an output piece by piece, and gives the lines with an answer, or those with an error.

    It holds one piece and the line that is not complete. ``model`` is the one of answers that name none.
    """

    def __init__(self, job_id: str, *, model: str, created: float, errors: bool, expired: bool) -> None:
        self._job_id = job_id
        self._model = model
        self._created = created
        self._errors = errors
        self._expired = expired
        self._lines = 0
        self._unfinished = b""

    def feed(self, piece: bytes) -> bytes:
        """Take a piece, and return the lines that it completes."""
        *lines, self._unfinished = (self._unfinished + piece).split(b"\n")
        return b"".join([self._translated(line) for line in lines])

    def _translated(self, line: bytes) -> bytes:
        self._lines += 1
        if self._errors and b'"error":' not in line:  # most lines, and quicker than to read them
            return b""
        result = read_result(line, expired=self._expired)
        if isinstance(result.outcome, Failed) != self._errors:
            return b""
        return output_line(
            result.key,
            result.outcome,
            id=result.response_id or f"{self._job_id}-e{self._lines}",
            model=result.model_version or self._model,
            created=self._created,
        )
