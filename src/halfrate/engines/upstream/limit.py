"""How many calls to a server are best on the wire at once, found by trying. It asks no clock."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from enum import Enum, auto

START = 4
"""Calls at once to begin with."""

WINDOW_CALLS = 16
WINDOW_SECONDS = 0.05
"""What is measured lasts for so many answers, and so long, at least."""

GAIN_MIN = 0.0075
"""More calls at once must bring so much more, or they only wait elsewhere."""

LOSS_MAX = 0.005
"""Fewer calls at once may bring so much less, for what they save in waiting."""

GROWTH = 0.10
"""A gain after which it doubles again."""

CERTAIN = 0.005
"""A standard error that is small enough to call two rates the same."""

ERRORS = 2.0
"""A difference of so many standard errors is none of chance."""

NOISE = 0.06
"""How much the rates of two windows may differ by chance: they are made long enough for that."""

TURNS_MAX = 8

BURST_GAP = 3.0
"""An answer after a pause of so many times the usual is the first of a burst."""

APART_MAX = 0.3
"""A larger difference is a change, and not noise."""

FAILED_PART = 0.7
"""What is left when a server breaks down under what it has."""

PAIRS_MAX = 12
"""So many comparisons decide, whatever they say."""

STEP = 0.25
STEP_MIN = 0.1
"""How many more are tried, as a fraction; a step that cost something is followed by a smaller one."""

WAIT_MAX = 64
"""Windows between two trials, at most."""

COLLAPSE = 0.5
"""What is left of the rate of a server that is in trouble."""

CHANGE = 0.15
"""A rate that differs so much twice in a row is that of a server that has changed."""


class _Direction(Enum):
    UP = auto()
    DOWN = auto()


@dataclass(slots=True)
class _Window:
    """Counts answers for whole turns of all calls, once those asked before it are out of the way.

    Calls that a server works on together are answered together. So a window begins and ends with the first
    of a burst, where there are bursts: a part of one would mislead by far more than there is to find out.
    """

    skip: int
    turn: int
    answers_least: float
    rate: float  # about what is expected
    last_at: float = 0.0
    began_at: float | None = None
    count: int = 0
    need: int = 0

    def answered(self, now: float) -> float | None:
        """Count one. Return the answers in a second when the window is over."""
        is_first = (now - self.last_at) * self.rate > BURST_GAP
        self.last_at = now
        if self.began_at is not None:
            return self._counted(now, is_first=is_first)
        self.skip -= 1
        if self.skip < 0 and (is_first or self.skip <= -self.turn):
            self.began_at = now
            self.need = self.turn * min(math.ceil(self.answers_least / self.turn), TURNS_MAX)
        return None

    def _counted(self, now: float, *, is_first: bool) -> float | None:
        assert self.began_at is not None, "counting"
        self.count += 1
        if self.count < self.need or not (is_first or self.count >= self.need + self.turn):
            return None
        seconds = now - self.began_at
        if seconds < WINDOW_SECONDS:
            self.need = self.count + self.turn
            return None
        return self.count / seconds


@dataclass(slots=True)
class _Way:
    """How a direction is tried: by how much, and after how many windows of rest."""

    wait_least: int
    step: float = STEP
    wait: int = 0
    rested: int = 0

    def __post_init__(self) -> None:
        self.wait = self.wait_least

    def reset(self) -> None:
        self.step, self.wait = STEP, self.wait_least

    def hurry(self) -> None:
        """Try half, or double, at once."""
        self.step, self.wait = 1.0, 0

    def paid(self, *, certain: bool) -> None:
        """Go on at once, by larger steps if it was no chance."""
        self.step, self.wait, self.rested = min(2 * self.step, 1.0) if certain else STEP, 0, 0

    def made_no_difference(self) -> None:
        self.step, self.wait, self.rested = STEP, self.wait_least, 0

    def cost(self) -> None:
        """Try less, and more seldom: what trying costs stays a small part of all."""
        self.step = max(self.step / 2, STEP_MIN)
        self.wait, self.rested = min(max(2 * self.wait, 2 * self.wait_least), WAIT_MAX), 0


@dataclass(slots=True)
class _Trial:
    """Another number of calls at once, in turns with the present one."""

    direction: _Direction
    candidate: int
    trying: bool = True
    before: float = 0.0
    tried: float = 0.0
    differences: list[float] = field(default_factory=list)

    @property
    def difference(self) -> float:
        """What the candidate makes of the rate, as a fraction."""
        return statistics.fmean(self.differences)

    def certain(self, noise: float) -> bool:
        """Whether that is no chance. Each is the difference of one window from the mean of two."""
        error = noise * math.sqrt(1.5 / len(self.differences))
        return error < CERTAIN or abs(self.difference) > max(ERRORS * error, 2 * GAIN_MIN)


class _Noise:
    """How much the rates of windows differ that should be the same, for one answer in each."""

    def __init__(self) -> None:
        self._of_one = NOISE * math.sqrt(WINDOW_CALLS)

    def saw(self, rate: float, other: float, *, answers: int) -> None:
        # The mean distance of two is 1.13 standard deviations.
        apart = min(abs(rate - other) / max(rate, other) / 1.13, APART_MAX)
        self._of_one += (apart * math.sqrt(answers) - self._of_one) / 8

    def of(self, answers: int) -> float:
        """The relative standard deviation of windows of so many."""
        return self._of_one / math.sqrt(answers)

    @property
    def answers_least(self) -> float:
        """How many make it small."""
        return max((self._of_one / NOISE) ** 2, WINDOW_CALLS)


class Limit:
    """The number of calls that may be on the wire at once, between ``least`` and ``most``.

    It doubles for as long as that brings more answers in a second. Then more and fewer are tried, in turns
    with what is: what brings more is kept, and fewer are kept where they bring as much. What cost something
    is tried less often, so that trying costs little on the whole; but never so seldom that a server that has
    become faster goes unnoticed.
    """

    def __init__(self, *, least: int = 1, most: int, start: int = START) -> None:
        self._least = least
        self._most = most
        self._bound = most
        self._base = self._value = min(max(start, least), most)
        self._growing = True
        self._rate = 0.0
        self._odd = 0
        self._ways = {_Direction.UP: _Way(wait_least=2), _Direction.DOWN: _Way(wait_least=12)}
        self._trial: _Trial | None = None
        self._noise = _Noise()
        self._measure_anew(0)
        self._cut = 0

    @property
    def value(self) -> int:
        """How many may be on the wire now."""
        return self._value

    def answered(self, now: float, *, in_flight: int, hungry: bool) -> None:
        """Note an answer. ``in_flight`` are left; ``hungry``: there are too few to fill up with."""
        self._cut = max(self._cut - 1, 0)
        if hungry:
            self._measure_anew(in_flight)
            return
        rate = self._window.answered(now)
        if rate is not None:
            before = self._value
            self._take(rate)
            # What did not change needs no time to settle.
            self._measure_anew(in_flight if self._value != before else 0)

    def disturbed(self, *, in_flight: int) -> None:
        """Forget what is being measured: calls had to wait for something else."""
        self._measure_anew(in_flight)

    def refused(self, *, in_flight: int) -> None:
        """Note that a call was one too many. ``in_flight`` are those that the server has."""
        # Of many that were too many, each is told: what the server has is left in the end.
        if not self._cut:
            self._ways[_Direction.UP].cost()
        self._shrink(min(self._value - 1, in_flight), in_flight)

    def failed(self, *, in_flight: int) -> None:
        """Note that the server was too slow, or broke off: as if it had too much to do."""
        # Once for all that were on the wire together: their failures are one piece of news.
        if not self._cut:
            self._shrink(int(self._value * FAILED_PART), in_flight)

    def bound(self, most: int) -> None:
        """Do not go beyond what the server itself says it has use for."""
        self._bound = max(min(most, self._most), self._least)
        if self._value > self._bound:
            self._base = min(self._base, self._bound)
            self._settle(in_flight=self._value)

    def _shrink(self, to: int, in_flight: int) -> None:
        self._cut = in_flight
        self._base = max(min(to, self._base), self._least)
        self._growing = False
        self._settle(in_flight=in_flight)

    def _take(self, rate: float) -> None:
        if self._growing:
            self._grow(rate)
        elif rate < COLLAPSE * self._rate and (self._trial is None or not self._trial.trying):
            self._collapse(rate)
        elif self._trial is not None:
            self._compare(self._trial, rate)
        else:
            self._rest(rate)

    def _grow(self, rate: float) -> None:
        if rate < self._rate * (1 + 2 * GAIN_MIN):
            self._growing = False
            if rate < self._rate * (1 - LOSS_MAX):
                self._value = self._base
                # The best is not far above what is, if it is not below.
                self._ways[_Direction.UP].cost()
                self._ways[_Direction.DOWN].wait = 0
            self._base = self._value
            self._rate = max(rate, self._rate)
            return
        self._base, self._rate = self._value, rate
        self._value = min(2 * self._value, self._bound)
        self._growing = self._value > self._base

    def _collapse(self, rate: float) -> None:
        """Go down to half at once: what is too much takes long to be found out by trying."""
        self._trial = None
        self._base = self._value = max(self._base // 2, self._least)
        self._rate = rate
        for way in self._ways.values():
            way.reset()
        self._ways[_Direction.DOWN].hurry()

    def _rest(self, rate: float) -> None:
        self._odd = self._odd + 1 if abs(rate - self._rate) > CHANGE * self._rate else 0
        if self._odd == 2:
            self._odd = 0
            for way in self._ways.values():
                way.reset()
            if rate < self._rate:
                self._ways[_Direction.DOWN].hurry()
            self._rate = rate
        if not self._odd:
            self._noise.saw(rate, self._rate, answers=self._window.count)
            self._rate += (rate - self._rate) / 4
        for way in self._ways.values():
            way.rested += 1
        for direction, way in sorted(self._ways.items(), key=lambda item: item[1].wait):
            if self._trial is None and way.rested >= way.wait:
                self._try(direction, rate)

    def _try(self, direction: _Direction, rate: float) -> None:
        candidate = self._candidate(direction)
        if candidate == self._base:
            self._ways[direction].rested = 0
            return
        self._trial = _Trial(direction, candidate, before=rate)
        self._value = candidate

    def _candidate(self, direction: _Direction) -> int:
        step = self._ways[direction].step
        if direction is _Direction.UP:
            return min(math.ceil(self._base * (1 + step)), self._bound)
        return max(math.floor(self._base / (1 + step)), self._least)

    def _compare(self, trial: _Trial, rate: float) -> None:
        if trial.trying:
            trial.trying, trial.tried, self._value = False, rate, self._base
            return
        self._noise.saw(rate, trial.before, answers=self._window.count)
        trial.differences.append(trial.tried / ((trial.before + rate) / 2) - 1)
        certain = trial.certain(self._noise.of(self._window.count))
        if certain or len(trial.differences) == PAIRS_MAX:
            self._trial = None
            self._decide(trial, certain=certain)
        else:
            trial.trying, trial.before, self._value = True, rate, trial.candidate

    def _decide(self, trial: _Trial, *, certain: bool) -> None:
        way = self._ways[trial.direction]
        difference, up = trial.difference, trial.direction is _Direction.UP
        self._rate = trial.before
        if difference > (-LOSS_MAX if certain and not up else GAIN_MIN):
            self._base = self._value = trial.candidate
            self._rate = trial.tried
            way.paid(certain=certain)
            self._growing = up and certain and difference > GROWTH
        elif not certain or (up and difference > -LOSS_MAX):
            way.made_no_difference()
        else:
            way.cost()

    def _settle(self, *, in_flight: int) -> None:
        self._trial = None
        self._value = self._base
        self._measure_anew(in_flight)

    def _measure_anew(self, in_flight: int) -> None:
        # While it doubles, differences are too large to be mistaken, and every moment is one at a low rate.
        answers_least = self._value if self._growing else self._noise.answers_least
        self._window = _Window(in_flight, self._value, answers_least, self._rate)
