"""Whole Jobs in the real application, on a disk that loses things and in a process that dies anywhere.

A seed is one world: what clients want, when the process dies and at which point, what the disk loses, when it
is full, when the engine dies. `make simulate` lives through 1,000 of them, `make test` through a few.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections import Counter

import pytest

from halfrate.crashpoints import CrashPoint
from halfrate.dispatch import assembling
from tests.simulation.fate import Fate
from tests.simulation.seeds import SEEDS
from tests.simulation.threads import in_later_turns
from tests.simulation.world import World

SEEDS_TO_REACH_ALL, SEEDS_TO_DIE_AT_ALL = 40, 400
DEATHS_MAX = 7
HANGS_AFTER_SECONDS = 300  # a world takes less than one: this only gives a hang its seed

POINTS = list(CrashPoint)
LATE = {point for point in POINTS if point.startswith(("prune.", "delete."))}
"""Where little but the end of everything leads to."""

reached: Counter[CrashPoint] = Counter()
died_at: Counter[CrashPoint] = Counter()
lived: set[int] = set()


def next_life(world: World, seed: int) -> tuple[Fate, bool]:
    """When a life ends, and whether it goes on until everything is gone.

    By count, what is passed often ends most lives; by name, everything ends some. The first name is the
    seed's own, the others are of points that this world has passed.
    """
    chance = world.chance
    own = POINTS[seed % len(POINTS)]
    wither = world.done or (own in LATE and not world.story) or chance.random() < 0.1
    if not world.story:
        return Fate(chance.choice([0, 0, 0, 1]), point=own), wither
    if chance.random() < 0.5:
        passed = [point for point in POINTS if world.reached[point] and (point in LATE) == wither]
        return Fate(chance.choice([0, 0, 0, 1, 2, 7]), point=chance.choice(passed or POINTS)), wither
    return Fate(chance.randint(0, 60 if world.done else 300)), wither


@pytest.fixture
def world(seed, tmp_path, monkeypatch):
    """A world in which nothing is left to chance but what the seed says."""
    world = World(seed, tmp_path)
    monkeypatch.setattr(asyncio, "to_thread", in_later_turns(world.chance))
    monkeypatch.setattr(secrets, "choice", world.chance.choice)
    monkeypatch.setattr(secrets, "token_hex", lambda size: world.chance.randbytes(size).hex())
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: world.chance.randbytes(size).hex())
    monkeypatch.setattr(assembling, "LINES_A_POINT", 4)
    yield world
    if seed in lived:
        shutil.rmtree(tmp_path)  # a thousand worlds are many; one that came to a bad end is kept


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_job_ends_as_if_nothing_had_happened(world, seed):
    try:
        async with asyncio.timeout(HANGS_AFTER_SECONDS):
            while len(world.story) < DEATHS_MAX and not world.withered:
                if world.chance.random() < 0.25:
                    await world.live(Fate(), wither=False, stop_after_seconds=world.chance.randint(0, 15))
                fate, wither = next_life(world, seed)
                await world.live(fate, wither=wither)
            for wither in (False, False, True, True):
                await world.live(Fate(), wither=wither)
    except BaseException as error:
        error.add_note(f"seed {seed}, died at: {', '.join(world.story) or 'nothing'}")
        raise
    reached.update(world.reached)
    died_at.update(world.died_at)
    lived.add(seed)


@pytest.mark.parametrize(
    ("points", "seeds_min"),
    [(reached, SEEDS_TO_REACH_ALL), (died_at, SEEDS_TO_DIE_AT_ALL)],
    ids=["reached", "died at"],
)
def test_every_point_is(points, seeds_min):
    """A point that nobody comes to, or dies at, is not worth its line; or the worlds are too tame."""
    if len(lived) < seeds_min:
        pytest.skip(f"{len(lived)} seeds are too few to come to every point; `make simulate` lives more")
    assert [point for point in POINTS if not points[point]] == []
