"""When the next call to a server may begin. It only decides: it is told what happens, and when."""

from __future__ import annotations

from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.engines.upstream.bucket import Bucket
from halfrate.engines.upstream.limit import Limit
from halfrate.engines.upstream.load import Load
from halfrate.engines.upstream.throttle import Throttle
from halfrate.wire.allowances import Allowance, Allowances

_TOO_MUCH = frozenset({Cause.TIMED_OUT, Cause.UPSTREAM, Cause.ENGINE_DIED})

HUNGRY = 0.7
"""With less than this of the places taken, and nobody waiting, there is too little to do to learn from."""


class Governor:
    """Lets as many calls to one server begin as it answers best, and as it allows.

    ``opens_at`` says when; each ``began`` is followed by one ``ended`` or ``given_up``. What a server asks of
    one call (Retry-After, what its headers say is left) holds for all of them.
    """

    def __init__(self, *, least: int = 1, most: int) -> None:
        self._limit = Limit(least=least, most=most)
        self._most = most
        self._throttle = Throttle()
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._tokens_in_flight = 0
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many calls may be on the wire at once, as far as is known by now."""
        return self._limit.value

    @property
    def full(self) -> bool:
        """Whether a call must end before another may begin."""
        return self.in_flight >= self._limit.value

    @property
    def paused_until(self) -> float:
        """Until when the server asked to be left alone."""
        return self._throttle.paused_until

    def opens_at(self, now: float, *, tokens: int) -> float:
        """Return when a call of about so many tokens may begin, ``now`` or later, unless it is ``full``."""
        opens_at = self._throttle.opens_at(now)
        if self._requests is not None:
            opens_at = max(opens_at, self._requests.opens_at(1, now))
        if self._tokens is not None:
            opens_at = max(opens_at, self._tokens.opens_at(tokens, now))
        return opens_at

    def delayed(self) -> None:
        """Note that calls wait for something else than a place: answers then say nothing of the limit."""
        self._limit.disturbed(in_flight=self.in_flight)

    def began(self, now: float, *, tokens: int) -> None:
        """Note that a call of about so many tokens is on the wire."""
        self.in_flight += 1
        self._tokens_in_flight += tokens
        self._throttle.began(now)
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def ended(self, now: float, outcome: Outcome, *, tokens: int, waiting: int) -> None:
        """Note what a call came to, of as many tokens as when it began, and how many wait for a place."""
        self.given_up(tokens=tokens)
        if not isinstance(outcome, Failed):
            self._throttle.answered()
            hungry = not waiting and self.in_flight < HUNGRY * self._limit.value
            self._limit.answered(now, in_flight=self.in_flight, hungry=hungry)
        elif outcome.retry_after_seconds:
            self._throttle.refused(now, pause_seconds=outcome.retry_after_seconds)
            self._limit.disturbed(in_flight=self.in_flight)
        elif outcome.cause is Cause.OVERLOADED:
            # Where too many came in a time, and not at once, its headers say so.
            if self.opens_at(now, tokens=0) <= now:
                self._limit.refused(in_flight=self.in_flight)
        elif outcome.cause in _TOO_MUCH:
            self._limit.failed(in_flight=self.in_flight)

    def given_up(self, *, tokens: int) -> None:
        """Note that a call is not on the wire any more, and says nothing of the server."""
        self.in_flight -= 1
        self._tokens_in_flight -= tokens

    def allowed(self, now: float, said: Allowances) -> None:
        """Take what an answer says is left, of calls and of tokens."""
        # The others on the wire may be counted in it, or not: they are taken off, so that none is refused.
        others = max(self.in_flight - 1, 0)
        if said.requests is not None:
            self._requests = _bucket(said.requests, now, owed=others)
        if said.tokens is not None:
            self._tokens = _bucket(said.tokens, now, owed=self._tokens_in_flight)

    def loaded(self, load: Load) -> None:
        """Take what the server says of its load."""
        most = load.most(self.in_flight)
        self._limit.bound(self._most if most is None else most)


def _bucket(said: Allowance, now: float, *, owed: float) -> Bucket:
    seconds = max(said.reset_seconds, 0.001)
    return Bucket(
        capacity=said.limit,
        per_second=(said.limit - said.remaining) / seconds if said.refills else 0.0,
        level=said.remaining - owed,
        at=now,
        full_at=now + seconds,
    )
