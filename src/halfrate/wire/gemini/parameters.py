"""The query parameters that every method takes: how its answer is to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from halfrate.domain.errors import InvalidArgument
from halfrate.wire.gemini.masks import Mask, parse_fields, selected


class Alt(StrEnum):
    """What an answer is made of."""

    JSON = "json"
    MEDIA = "media"
    SSE = "sse"


@dataclass(frozen=True, slots=True)
class Look:
    """How a JSON answer is to look: which of its fields, and whether it is indented."""

    mask: Mask | None = None
    pretty: bool = False

    @property
    def plain(self) -> bool:
        """Whether that is as it comes."""
        return self.mask is None and not self.pretty

    def of(self, body: bytes, *, refused: bool) -> bytes:
        """Return a JSON body as it is to look. Errors are shown whole."""
        if self.mask is not None and not refused:
            body = msgspec.json.encode(selected(msgspec.json.decode(body), self.mask))
        return msgspec.json.format(body, indent=2) + b"\n" if self.pretty else body


def parse_look(query: Sequence[tuple[str, str]]) -> Look:
    """Return how an answer is to look, as the parameters of a call say. Raise `InvalidArgument` if they are
    wrong. Those that change nothing here (``key``, ``quotaUser``, ``uploadType``) are for others to read.
    """
    said = {name.removeprefix("$"): value for name, value in query}
    _check("alt", said.get("alt", Alt.JSON).lower(), tuple(Alt))
    _check("$.xgafv", said.get(".xgafv", "2"), ("1", "2"))
    fields = said.get("fields", "")
    return Look(parse_fields(fields) if fields.strip() else None, _truth("prettyPrint", said))


def _truth(name: str, said: dict[str, str]) -> bool:
    value = said.get(name, "false").lower()
    _check(name, value, ("true", "false", "1", "0", ""))
    return value in ("true", "1", "")


def _check(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        what = f"Invalid value {value[:80]!r}; it must be one of {', '.join(filter(None, allowed))}."
        raise InvalidArgument(f"Invalid query parameter {name!r}: {what}", ((name, what),))
