"""The two forms of this dialect: OpenAI's own, and that of Gemini's layer for programs written for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from halfrate.wire.openai.errors import Said, error_body, listed_error_body


class Form(StrEnum):
    """How things are named, and how errors look."""

    PLAIN = "plain"
    LAYER = "layer"

    def file_name(self, file_id: str) -> str:
        """Return a File's id as clients see it."""
        return f"files/{file_id}" if self is Form.LAYER else f"file-{file_id}"

    def batch_name(self, job_id: str) -> str:
        """Return a Job's id as clients see it."""
        return f"batches/{job_id}" if self is Form.LAYER else f"batch_{job_id}"

    def file_id(self, name: str) -> str:
        """Return the id of the File that a client names, in either form."""
        return _without(name, "files/", "file-" if self is Form.PLAIN else "")

    def job_id(self, name: str) -> str:
        """Return the id of the Job that a client names, in either form."""
        return _without(name, "batches/", "batch_")

    def error_body(self, said: Said) -> bytes:
        """Return the body of an error."""
        return listed_error_body(said) if self is Form.LAYER else error_body(said)


def _without(name: str, *prefixes: str) -> str:
    """Return a name without the first of these prefixes that it has."""
    for prefix in prefixes:
        if prefix and name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


@dataclass(frozen=True, slots=True)
class ResultFile:
    """The Results of a Job in this dialect's lines: those with an answer, or those with an error."""

    job_id: str
    errors: bool

    @property
    def id(self) -> str:
        """Its id among Files. What begins like this cannot be chosen for an upload."""
        return f"{_ERRORS if self.errors else _ANSWERS}{self.job_id}"


_ANSWERS = "batch-output-"
_ERRORS = "batch-errors-"
_NATIVE = "batch-"


def result_file(file_id: str) -> ResultFile | None:
    """Return which Results a File's id stands for, None if for none: the native output holds the answers."""
    for prefix, errors in ((_ERRORS, True), (_ANSWERS, False), (_NATIVE, False)):
        if file_id.startswith(prefix):
            return ResultFile(file_id.removeprefix(prefix), errors)
    return None
