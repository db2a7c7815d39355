"""The socket of live events, made for the first who asks."""

from conduit.gateway.events.bus import Bus
from conduit.gateway.events.live import LiveEvents


def _live() -> LiveEvents:
    return LiveEvents(
        Bus("boot"),
        lambda token: True,
        lambda request: "",
        lambda request: None,
        lambda request, error: error,
    )


async def test_a_socket_is_there_from_the_first_listener_to_the_stop() -> None:
    live = _live()
    assert live.listeners == 0
    (route,) = live.load()()
    assert route.path.startswith(live.PREFIX)
    await live.stop()


async def test_nobody_is_served_by_what_was_loaded_while_it_was_stopped() -> None:
    live = _live()
    start = live.load()
    await live.stop()
    assert start() == ()
