"""Which waiting Requests may enter the pipeline now. Pure: no clock, no pipeline, no I/O.

The pipeline itself takes whatever it is given, and then does two things a batch should not pay for.
Requests that enter together compute a shared prefix once each, because a block can be shared only after
someone has computed it. And when its KV cache runs full it throws out a Request that was under way and
computes it again. So:

* of Requests that begin with the same blocks, one leader goes ahead, and the others wait for its first token;
* who comes after those who wait for a leader passes them only if the cache has room for them too: what they
  are to find there is not overwritten for what is needed later;
* a Request enters only when the cache has room for its prompt and the longest answer it may give;
* apart from that the order is first come, first served, and interactive Requests go ahead of batch ones.

Nobody waits for ever: a Request too large for the room that is left holds back those behind it, one is held
for at most `HOLDS_MAX` leaders, and while interactive Requests pour in, a batch one enters after every
`INTERACTIVE_RUN` of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from halfrate.engines.embedded.prefix import BLOCK_TOKENS, PrefixMirror, Stamp

HELD_BLOCKS_MIN = 2  # a shorter shared prefix costs less to compute twice than to wait for
HOLDS_MAX = 4
INTERACTIVE_RUN = 8


@dataclass(frozen=True, slots=True)
class Applicant:
    """A Request that waits. ``keys`` is the `chain` of its prompt; ``output_tokens`` the longest answer."""

    id: int
    prompt_tokens: int
    output_tokens: int
    keys: tuple[int, ...]
    interactive: bool = False

    @property
    def blocks(self) -> int:
        """Cache blocks it may come to need, sharing nothing, and one that the pipeline takes ahead."""
        return -(-(self.prompt_tokens + self.output_tokens) // BLOCK_TOKENS) + 1


@dataclass(frozen=True, slots=True)
class Entry:
    """Leave to enter. ``cached_tokens`` of the prompt will come from the cache."""

    id: int
    cached_tokens: int


@dataclass(slots=True)
class _Running:
    keys: tuple[int, ...]
    counted: tuple[int, ...]  # keys that this one holds a reference to
    private_blocks: int
    leads: tuple[int, ...]  # keys that it computes and others may be waiting for
    stamp: Stamp


@dataclass(slots=True)
class _Queue:
    """Candidates in the order they came, and for which leaders each was held."""

    waiting: dict[int, Applicant] = field(default_factory=dict)
    held_for: dict[int, set[int]] = field(default_factory=dict)


class Admission:
    """Decides who enters, and keeps count of what those inside hold."""

    def __init__(self, *, sequences_max: int, blocks_total: int, prefix_caching: bool = True) -> None:
        self._sequences_max = sequences_max
        self._blocks_total = blocks_total
        self._prefix_caching = prefix_caching
        self._batch, self._interactive = _Queue(), _Queue()
        self._interactive_in_a_row = 0
        self._running: dict[int, _Running] = {}
        self._references: Counter[int] = Counter()
        self._doubled: set[int] = set()  # of those, the ones that somebody computed once more
        self._private_blocks = 0
        self._leaders: dict[int, int] = {}  # key of a block being computed -> who computes it
        self._mirror = PrefixMirror(blocks_total)

    @property
    def running(self) -> int:
        """How many are inside."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many are not."""
        return len(self._batch.waiting) + len(self._interactive.waiting)

    @property
    def blocks_in_use(self) -> int:
        """Blocks promised to those inside, a shared one counted once."""
        return len(self._references) + self._private_blocks

    def offer(self, applicant: Applicant) -> None:
        """Let it wait. Its `Applicant.blocks` must not exceed the whole cache, or it would wait for ever."""
        assert applicant.blocks <= self._blocks_total
        queue = self._interactive if applicant.interactive else self._batch
        queue.waiting[applicant.id] = applicant

    def withdraw(self, id: int) -> bool:
        """Forget one that still waits. False if it does not wait."""
        for queue in (self._batch, self._interactive):
            if queue.waiting.pop(id, None) is not None:
                queue.held_for.pop(id, None)
                return True
        return False

    def admit(self) -> list[Entry]:
        """Let in everyone who may enter now, in the order in which they are to be added."""
        entries: list[Entry] = []
        while self.running < self._sequences_max:
            applicant = self._next()
            if applicant is None:
                break
            self.withdraw(applicant.id)
            entries.append(self._enter(applicant))
        return entries

    def prefilled(self, id: int) -> None:
        """It produced its first token: its prompt is in the cache, and its siblings may enter."""
        running = self._running.get(id)
        if running is None:
            return
        self._stop_leading(id, running)
        if self._prefix_caching:
            self._mirror.use(running.keys, running.stamp)

    def exchanged(self, blocks: int) -> None:
        """Someone inside gave up blocks and took as many others."""
        self._mirror.allocate(blocks)

    def left(self, id: int) -> None:
        """It is out of the pipeline, finished or cancelled; its blocks are free. Unknown ids are ignored."""
        running = self._running.pop(id, None)
        if running is None:
            return
        self._stop_leading(id, running)
        self._private_blocks -= running.private_blocks
        self._references.subtract(running.counted)
        for key in running.counted:
            if not self._references[key]:
                del self._references[key]
                self._doubled.discard(key)

    def _next(self) -> Applicant | None:
        """The first of the preferred queue, or of the other, that is not held and has room.

        Whoever passes some that are held leaves them the room that they will need: else what they wait for
        would be overwritten, to make way for what is needed after them.
        """
        kept = 0
        for queue in self._preference():
            for applicant in queue.waiting.values():
                if not self._held(queue, applicant):
                    # One without room holds back everyone, the other queue too: else it might never find it.
                    return applicant if self._room >= kept + self._blocks_to_take(applicant) else None
                kept += self._blocks_left_to_take(applicant)
                if kept > self._room:
                    return None
        return None

    def _preference(self) -> tuple[_Queue, _Queue]:
        if self._interactive_in_a_row >= INTERACTIVE_RUN:
            return self._batch, self._interactive
        return self._interactive, self._batch

    def _held(self, queue: _Queue, applicant: Applicant) -> bool:
        """Whether waiting for a leader saves it the computing of at least `HELD_BLOCKS_MIN` blocks."""
        leader = self._leader_of(applicant)
        if leader is None:
            return False
        held_for = queue.held_for.setdefault(applicant.id, set())
        if leader in held_for:
            return True
        if len(held_for) >= HOLDS_MAX:
            return False
        held_for.add(leader)
        return True

    def _leader_of(self, applicant: Applicant) -> int | None:
        if not self._leaders:
            return None
        leading = [key for key in applicant.keys if key in self._leaders]
        return self._leaders[leading[-1]] if len(leading) >= HELD_BLOCKS_MIN else None

    @property
    def _room(self) -> int:
        return self._blocks_total - self.blocks_in_use

    def _blocks_to_take(self, applicant: Applicant) -> int:
        """Return how many blocks more are in use when it has entered."""
        cached = applicant.keys[: self._cached_blocks(applicant)]
        return applicant.blocks - sum(map(self._references.__contains__, cached))

    def _blocks_left_to_take(self, applicant: Applicant) -> int:
        """Return how many blocks one that is held will take when its leader is done."""
        return applicant.blocks - sum(map(self._references.__contains__, applicant.keys))

    def _cached_blocks(self, applicant: Applicant) -> int:
        """How many of its leading blocks are surely there."""
        if not self._prefix_caching:
            return 0
        for depth, key in enumerate(applicant.keys):
            if not self._in_use(key) and not self._mirror.holds(key):
                return depth
        return len(applicant.keys)

    def _in_use(self, key: int) -> bool:
        """Whether somebody inside holds this block, computed.

        One that was computed twice may be lost while it is in use: the pipeline finds the later one only.
        """
        return key in self._references and key not in self._leaders and key not in self._doubled

    def _enter(self, applicant: Applicant) -> Entry:
        self._interactive_in_a_row = self._interactive_in_a_row + 1 if applicant.interactive else 0
        cached = self._cached_blocks(applicant)
        # A block computed a second time while its twin is in use is a block of its own, not a shared one.
        counted = tuple(
            key for depth, key in enumerate(applicant.keys) if depth < cached or key not in self._references
        )
        self._doubled.update(key for key in applicant.keys[cached:] if key in self._references)
        new = sum(1 for key in counted if key not in self._references)
        private = applicant.blocks - len(counted)
        running = _Running(
            keys=applicant.keys,
            counted=counted,
            private_blocks=private,
            leads=tuple(key for key in applicant.keys[cached:] if key not in self._leaders),
            stamp=self._mirror.stamp(self.blocks_in_use),
        )
        self._running[applicant.id] = running
        self._references.update(counted)
        self._private_blocks += private
        self._mirror.use(applicant.keys[:cached], running.stamp)
        self._mirror.allocate(new + private)
        if self._prefix_caching:
            self._leaders.update(dict.fromkeys(running.leads, applicant.id))
        # The last token of a prompt is always computed: its logits begin the answer.
        return Entry(applicant.id, min(cached * BLOCK_TOKENS, applicant.prompt_tokens - 1))

    def _stop_leading(self, id: int, running: _Running) -> None:
        for key in running.leads:
            if self._leaders.get(key) == id:
                del self._leaders[key]
        running.leads = ()
