"""What an Attempt came to, and the verdict that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from halfrate.domain.embedding import Embedded
from halfrate.domain.page import ReadUrl
from halfrate.domain.request import FunctionCall
from halfrate.domain.usage import Usage


class Finish(StrEnum):
    """Why a model stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    MALFORMED_CALL = "malformed_call"  # in the middle of a function call
    BLOCKED = "blocked"  # a filter of the upstream let it say no more, or nothing at all
    RECITATION = "recitation"  # it repeated what it was trained on, and the upstream stopped it
    OTHER = "other"  # the upstream gives a reason of its own


class Cause(StrEnum):
    """Why an Attempt failed, or why a Request was never tried."""

    INVALID = "invalid"  # the Request is wrong: what it asks can never be answered
    UNSUPPORTED = "unsupported"  # the Request is right, this Engine cannot do it
    FORBIDDEN = "forbidden"  # the Request names something that is not there, or not the client's
    TOO_LONG = "too_long"  # prompt and answer do not fit the model's context
    OVERLOADED = "overloaded"  # the Engine has no room now
    TIMED_OUT = "timed_out"  # no answer within the time allowed for one Attempt
    ENGINE_DIED = "engine_died"  # the Engine's process ended while it held the Request
    UPSTREAM = "upstream"  # the server behind the Engine failed, or its answer did not come whole
    INTERNAL = "internal"  # the Engine reported a fault of its own
    CANCELLED = "cancelled"  # the client cancelled the Job
    EXPIRED = "expired"  # the Job's deadline passed

    @property
    def retriable(self) -> bool:
        """Whether the same Request may do better next time."""
        return self in _RETRIABLE


_RETRIABLE = frozenset({Cause.OVERLOADED, Cause.TIMED_OUT, Cause.ENGINE_DIED, Cause.UPSTREAM})


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and its natural log probability. ``top`` are the likeliest in its place, in order."""

    token: str
    token_id: int
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer. It has ``calls`` where the model wants functions called, beside its text or instead of it.

    ``thought`` is what the model thought before, if the Request asked to be told; ``thought_tokens`` are the
    tokens that took in any case, and a part of the Usage's ``output_tokens``. ``logprobs`` are those of the
    answer's tokens, if asked for.
    """

    text: str
    finish: Finish
    thought: str = ""
    thought_tokens: int = 0
    calls: tuple[FunctionCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model answered: as many Candidates as were asked for, and what they took together.

    ``read`` are the URLs that were read for it, and ``tool_tokens`` the part of the Usage's ``input_tokens``
    that came of them.
    """

    candidates: tuple[Candidate, ...]
    usage: Usage
    read: tuple[ReadUrl, ...] = ()
    tool_tokens: int = 0

    @classmethod
    def of(cls, text: str, finish: Finish, usage: Usage) -> Answered:
        """Return an answer that is one text."""
        return cls((Candidate(text, finish),), usage)

    @property
    def text(self) -> str:
        """The text of the first Candidate."""
        return self.candidates[0].text

    @property
    def finish(self) -> Finish:
        """Why the first Candidate ends where it does."""
        return self.candidates[0].finish


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer in the making: more of what the Candidate at ``index`` says, or thinks."""

    text: str = ""
    thought: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer. ``detail`` is a sentence for the user: what happened and what to do next.

    ``retry_after_seconds`` is how long whoever answers asked to be left alone, None if it did not say.
    """

    cause: Cause
    detail: str
    retry_after_seconds: float | None = None


Outcome = Answered | Embedded | Failed


@dataclass(frozen=True, slots=True)
class Keep:
    """The Outcome is the Request's Result."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Make another Attempt after this long."""

    delay_seconds: float


Verdict = Keep | TryAgain

_DOUBLINGS_MAX = 60  # far beyond any bound; without one, a float would overflow in the end


def judge(
    outcome: Outcome,
    *,
    attempt: int,
    refusals: int = 0,
    attempts_max: int,
    backoff_seconds: float,
    backoff_seconds_max: float,
    chance: float,
) -> Verdict:
    """Decide what follows the ``attempt``-th Attempt (from 1). ``chance`` in [0, 1) spreads retries out.

    An Engine without room has not tried: however often it refuses, it is asked again, for as long as somebody
    waits. ``refusals`` is how often it refused before.

    The delay doubles from ``backoff_seconds`` with each Attempt, or refusal, to ``backoff_seconds_max``, and
    is cut by up to a half by chance. It is never shorter than what the Engine asked for.
    """
    if not isinstance(outcome, Failed) or not outcome.cause.retriable:
        return Keep(outcome)
    refused = outcome.cause is Cause.OVERLOADED
    if not refused and attempt >= attempts_max:
        return Keep(outcome)
    doublings = refusals if refused else attempt - 1
    delay_seconds = min(backoff_seconds * 2.0 ** min(doublings, _DOUBLINGS_MAX), backoff_seconds_max)
    return TryAgain(max(delay_seconds * (1 - chance / 2), outcome.retry_after_seconds or 0.0))
