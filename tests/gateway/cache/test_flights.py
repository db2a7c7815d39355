"""Who is sent, who waits, and what becomes of those who wait."""

import asyncio

import pytest

from conduit.gateway.cache.flights import Brought, Flights, Lead
from conduit.gateway.cache.store import Entry
from tests.gateway.cache.test_store import answer, place

DIGEST = place(1).digest
ENTRY = Entry(place(1), answer(), 1, 0.0)


async def led(flights: Flights) -> Lead:
    lead = await flights.join(DIGEST, 5)
    assert isinstance(lead, Lead)
    return lead


async def followers(
    flights: Flights, count: int, within_s: float = 5
) -> list[asyncio.Task[Brought]]:
    tasks = [asyncio.create_task(flights.join(DIGEST, within_s)) for _ in range(count)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    return tasks


async def settled(*tasks: asyncio.Task[Brought]) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert all(task.done() for task in tasks)


async def test_one_leads_and_all_others_get_its_answer() -> None:
    flights = Flights()
    lead = await led(flights)
    tasks = await followers(flights, 3)
    lead.land(ENTRY)
    assert await asyncio.gather(*tasks) == [ENTRY] * 3
    assert len(flights) == 0
    assert isinstance(await flights.join(DIGEST, 5), Lead)


async def test_other_requests_wait_for_nobody() -> None:
    flights = Flights()
    await led(flights)
    assert isinstance(await flights.join(place(2).digest, 5), Lead)


async def test_after_a_failure_one_leads_and_the_others_wait_on() -> None:
    flights = Flights()
    lead = await led(flights)
    first, *others = await followers(flights, 3)
    lead.fail()
    lead.fail()  # said twice, meant once
    await settled(first)
    successor = await first
    assert isinstance(successor, Lead)
    assert not any(task.done() for task in others)
    (latecomer,) = await followers(flights, 1)
    successor.land(ENTRY)
    assert await asyncio.gather(*others, latecomer) == [ENTRY] * 3


async def test_an_answer_for_nobody_else_lets_all_go_on_alone() -> None:
    flights = Flights()
    lead = await led(flights)
    tasks = await followers(flights, 3)
    lead.release()
    assert await asyncio.gather(*tasks) == [None] * 3
    assert len(flights) == 0


async def test_a_follower_that_hangs_up_harms_nobody() -> None:
    flights = Flights()
    lead = await led(flights)
    gone, stays = await followers(flights, 2)
    gone.cancel()
    await settled(gone)
    lead.fail()
    await settled(stays)
    assert isinstance(await stays, Lead)


async def test_one_that_hangs_up_as_it_gets_the_lead_hands_it_on() -> None:
    flights = Flights()
    lead = await led(flights)
    gone, stays = await followers(flights, 2)
    lead.fail()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await settled(stays)
    assert isinstance(await stays, Lead)


async def test_the_last_one_that_fails_leaves_nothing_behind() -> None:
    flights = Flights()
    lead = await led(flights)
    (gone,) = await followers(flights, 1)
    gone.cancel()
    await settled(gone)
    lead.fail()
    assert len(flights) == 0


async def test_waiting_has_an_end_and_the_answer_still_reaches_the_others() -> None:
    flights = Flights()
    lead = await led(flights)
    (patient,) = await followers(flights, 1)
    assert await flights.join(DIGEST, 0.01) is None
    lead.land(ENTRY)
    assert await patient is ENTRY


async def test_after_a_parting_nobody_waits_for_what_was_in_flight() -> None:
    flights = Flights()
    lead = await led(flights)
    (before,) = await followers(flights, 1)
    flights.part()
    newer = await flights.join(DIGEST, 5)
    assert isinstance(newer, Lead)
    lead.land(ENTRY)
    assert await before is ENTRY
    (after,) = await followers(flights, 1)
    newer.land(ENTRY)
    assert await after is ENTRY
