"""What an answer says of what the server still allows: headers of OpenAI, Anthropic and the IETF's draft."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Allowance:
    """``remaining`` of ``limit`` may still be used, which is whole again after ``reset_seconds``.

    ``refills`` is whether it grows until then, not all at once.
    """

    remaining: float
    limit: float
    reset_seconds: float
    refills: bool


@dataclass(frozen=True, slots=True)
class Allowances:
    """Of Requests, and of tokens; each is None where nothing is said of it."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


NOTHING_SAID = Allowances()


def allowances_of(headers: Mapping[str, str]) -> Allowances:
    """Return what the headers of an answer allow. Their names are in lower case. Never raises."""
    for of_requests, of_tokens, refills in _NAMES:
        if of_requests[0] in headers or (of_tokens and of_tokens[0] in headers):
            return Allowances(
                _allowance(headers, of_requests, refills=refills),
                _allowance(headers, of_tokens, refills=refills) if of_tokens else None,
            )
    return NOTHING_SAID


_Names = tuple[str, str, str]


def _three(pattern: str) -> _Names:
    return pattern.format("remaining"), pattern.format("limit"), pattern.format("reset")


_NAMES: tuple[tuple[_Names, _Names | None, bool], ...] = (
    (_three("x-ratelimit-{}-requests"), _three("x-ratelimit-{}-tokens"), True),
    (_three("anthropic-ratelimit-requests-{}"), _three("anthropic-ratelimit-tokens-{}"), True),
    (_three("ratelimit-{}"), None, False),
    (_three("x-ratelimit-{}"), None, False),
)


def _allowance(headers: Mapping[str, str], names: _Names, *, refills: bool) -> Allowance | None:
    remaining = _number(headers.get(names[0], ""))
    reset_seconds = _seconds(headers.get(names[2], ""), headers.get("date", ""))
    if remaining is None or reset_seconds is None:
        return None
    # Drafts write "100, 100;w=60": the first is the one that counts.
    limit = _number(headers.get(names[1], "").partition(",")[0])
    return Allowance(remaining, max(limit or 0.0, remaining, 1.0), reset_seconds, refills)


_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)(d|h|ms|m|s))")
_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e12


def _seconds(value: str, date: str) -> float | None:
    """Read seconds (``7.5``), a span (``1m30s``), or an instant, compared with the answer's own date."""
    number = _number(value)
    if number is None:
        parts = _SPAN.findall(value)
        if parts and "".join(amount + unit for amount, unit in parts) == value.strip():
            return sum(float(amount) * _UNITS[unit] for amount, unit in parts)
        return _until(value, date)
    if number < _EPOCH_SECONDS:
        return max(number, 0.0)
    instant = number / 1_000 if number >= _EPOCH_MILLISECONDS else number
    sent = _sent_at(date)
    return None if sent is None else max(instant - sent.timestamp(), 0.0)


def _until(value: str, date: str) -> float | None:
    sent = _sent_at(date)
    if sent is None:
        return None
    try:
        return max((datetime.fromisoformat(value) - sent).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _sent_at(date: str) -> datetime | None:
    try:
        return parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
