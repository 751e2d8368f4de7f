"""Lanes: by the chunk, in turn, and never lost."""

import asyncio

from halfrate.dispatch.lanes import Lanes, Taken


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def taker(lanes: Lanes, most: int) -> asyncio.Task[Taken]:
    return asyncio.create_task(lanes.take(most))


async def test_one_takes_what_is_free_and_no_more_than_it_can_use():
    lanes = Lanes(8)
    assert (await lanes.take(5)).count == 5
    assert (await lanes.take(5)).count == 3


async def test_who_waits_gets_at_least_one_in_the_order_of_coming():
    lanes = Lanes(2)
    held = await lanes.take(2)
    first, second = taker(lanes, 4), taker(lanes, 4)
    await settle()
    assert not first.done()
    held.give_one_back()
    late = taker(lanes, 4)
    await settle()
    assert first.done()
    assert first.result().count == 1
    assert not second.done()
    held.give_back()
    await settle()
    assert second.result().count == 1
    assert not late.done()
    first.result().give_back()
    assert (await late).count == 1


async def test_one_who_comes_between_a_lane_and_its_waiter_does_not_get_it():
    """The waiter was woken, and has not run yet."""
    lanes = Lanes(1)
    held = await lanes.take(1)
    waiting = taker(lanes, 1)
    await settle()

    async def overtake() -> Taken:
        held.give_back()
        return await lanes.take(1)

    overtaking = asyncio.create_task(overtake())
    await settle()
    assert waiting.result().count == 1
    assert not overtaking.done()
    waiting.result().give_back()
    assert (await overtaking).count == 1


async def test_what_one_leaves_goes_to_the_next_at_once():
    lanes = Lanes(6)
    held = await lanes.take(6)
    first, second = taker(lanes, 2), taker(lanes, 9)
    await settle()
    held.give_back()
    await settle()
    assert (first.result().count, second.result().count) == (2, 4)


async def test_one_who_is_cancelled_while_waiting_takes_nothing_along():
    """Neither a place in the queue, nor the lane it was about to get."""
    lanes = Lanes(1)
    held = await lanes.take(1)
    gone, woken, last = taker(lanes, 1), taker(lanes, 1), taker(lanes, 1)
    await settle()
    gone.cancel()
    await settle()
    held.give_back()  # wakes the second, which is cancelled before it runs
    woken.cancel()
    async with asyncio.timeout(1):
        assert (await last).count == 1


async def test_lanes_are_given_back_once():
    lanes = Lanes(3)
    held = await lanes.take(3)
    held.give_one_back()
    held.give_back()
    held.give_back()
    assert (await lanes.take(9)).count == 3


async def test_lanes_say_how_many_are_in_use():
    lanes = Lanes(3)
    assert lanes.in_use == 0
    taken = await lanes.take(2)
    assert lanes.in_use == 2
    taken.give_one_back()
    assert lanes.in_use == 1
