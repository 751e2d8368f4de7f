"""Together, or alone."""

import asyncio

from halfrate.dispatch.gate import Gate


async def visit(gate: Gate, inside: list[str], name: str, *, alone: bool, leave: asyncio.Event) -> None:
    async with gate.alone() if alone else gate.together():
        inside.append(name)
        await leave.wait()
        inside.remove(name)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_suspect_waits_for_the_others_and_then_has_the_place_to_itself():
    gate, inside = Gate(), []
    leave = {name: asyncio.Event() for name in ("a", "b", "suspect", "late", "second")}
    visits = [
        asyncio.create_task(visit(gate, inside, name, alone=name in ("suspect", "second"), leave=leave[name]))
        for name in ("a", "b", "suspect", "late", "second")
    ]
    await settle()
    assert inside == ["a", "b"], "the late one does not overtake the suspect"
    leave["a"].set()
    await settle()
    assert inside == ["b"]
    leave["b"].set()
    await settle()
    assert inside == ["suspect"]
    leave["suspect"].set()
    await settle()
    assert inside == ["second"], "suspects go one by one"
    leave["second"].set()
    await settle()
    assert inside == ["late"]
    leave["late"].set()
    await asyncio.gather(*visits)


async def test_a_visitor_that_is_cancelled_while_it_waits_leaves_no_trace():
    gate, inside = Gate(), []
    leave = asyncio.Event()
    first = asyncio.create_task(visit(gate, inside, "first", alone=False, leave=leave))
    await settle()
    suspect = asyncio.create_task(visit(gate, inside, "suspect", alone=True, leave=leave))
    await settle()
    suspect.cancel()
    await asyncio.gather(suspect, return_exceptions=True)
    async with asyncio.timeout(1):
        async with gate.together():
            pass
        leave.set()
        await first
        async with gate.alone():
            pass
