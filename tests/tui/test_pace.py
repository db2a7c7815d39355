"""What is wished often is done at once, then once a rest, and the last wish is never lost."""

from textual.app import App

from conduit.tui.pace import Pace

EVERY_S = 0.05


async def test_the_first_wish_is_met_at_once_and_the_others_by_one_act() -> None:
    async with App[None]().run_test() as pilot:
        acts: list[int] = []
        pace = Pace(pilot.app, EVERY_S, lambda: acts.append(len(acts)))
        pace.wish()
        assert acts == [0]
        for _ in range(5):
            pace.wish()
        assert acts == [0]
        while len(acts) < 2:
            await pilot.pause(0.01)
        # Nothing was wished since: it does not go on by itself, and is ready for the next.
        await pilot.pause(EVERY_S * 3)
        assert acts == [0, 1]
        pace.wish()
        assert acts == [0, 1, 2]


async def test_now_does_it_whatever_came_before() -> None:
    async with App[None]().run_test() as pilot:
        acts: list[int] = []
        pace = Pace(pilot.app, 60, lambda: acts.append(len(acts)))
        pace.wish()
        pace.wish()
        pace.now()
        assert acts == [0, 1]
