"""An interface without a network: a frozen clock, a link that answers from a table, screen text."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from textual.pilot import Pilot

from conduit.client.api import Record
from conduit.client.errors import ApiError, AuthenticationFailed, ClientError
from conduit.tui.app import ConduitApp
from conduit.tui.state.gateway import GatewayLink
from conduit.tui.state.session import DEFAULT_LOOK, Look, Target
from conduit.tui.state.store import Store
from tests.tui.made import report

NOW_MS = 1_795_212_131_000  # 2026-11-20T22:02:11Z
TARGET = Target(
    name="prod",
    admin_url="http://gateway.invalid:5000",
    core_url="http://gateway.invalid:5000",
    master_key="condt_mk_for_tests_only",
)
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
PATIENCE_S = 60.0

Answer = Record | ClientError | Callable[..., Any]


class ByQuery:
    """An answer that depends on the query: `answer(query)` makes it. `queries` holds all so far."""

    def __init__(self, answer: Callable[[Mapping[str, Any]], Any]) -> None:
        self.answer = answer
        self.queries: list[dict[str, Any]] = []

    def __call__(self, query: Mapping[str, Any]) -> Any:
        self.queries.append(dict(query))
        return self.answer(query)


class FrozenClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class FakeLink(GatewayLink):
    """Answers operations from `answers` by name: a record, an error, or a function of the call.

    `calls` holds (operation, names, body) of all that was asked. An operation that is not in
    `answers` waits for ever, as one of a slow gateway would.
    """

    def __init__(
        self, target: Target, store: Store, *, on_error: Any, answers: Mapping[str, Answer]
    ) -> None:
        super().__init__(target, store, on_error=on_error)
        self.answers = dict(answers)
        self.calls: list[tuple[str, tuple[str, ...], Any]] = []

    def start(self) -> None:
        self._opened.set()
        self._tasks.append(asyncio.create_task(self._guarded("tables", self._keep_tables)))

    async def call(
        self,
        name: str,
        *names: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Record:
        self.calls.append((name, names, body))
        if name not in self.answers:
            await asyncio.Event().wait()
        answer = self.answers[name]
        if isinstance(answer, AuthenticationFailed):
            self._refused(answer)
        if isinstance(answer, ByQuery):
            answer = answer(query or {})
        if isinstance(answer, ClientError):
            raise answer
        if callable(answer):
            answer = answer(*names, body=body)
            if isinstance(answer, Awaitable):
                answer = await answer
        return dict(answer)


def page(*rows: Record) -> Record:
    """A list as the admin API answers it."""
    return {"data": list(rows), "next_cursor": None}


def refusal(status: int, message: str, code: str = "refused", param: str | None = None) -> ApiError:
    return ApiError(code, message, param, request_id="req_0000000000TEST", status=status)


BESIDES: Mapping[str, Answer] = {
    "budgets.list": page(),
    "groups.list": page(),
    "health.deployments": page(),
    "notifications.list": page(),
    "usage.show": report({"by": "day"}),
}
"""What is read beside a screen's own records, where a test has nothing to say of it."""


def make_app(
    answers: Mapping[str, Answer] = {},
    *,
    look: Look = DEFAULT_LOOK,
    target: Target = TARGET,
    connected: bool = True,
) -> ConduitApp:
    """The whole application over a fake link; `connected` says whether it is LIVE."""
    answers = {**BESIDES, **answers} if answers else answers
    store = Store(clock=FrozenClock(), wall_ms=lambda: NOW_MS)
    app = ConduitApp(target, look, store=store, make_link=partial(FakeLink, answers=answers))
    if connected:
        store.boot = "boot"
        store.connectivity.connected()
        store.connectivity.measured(41)
    return app


def link_of(app: ConduitApp) -> FakeLink:
    assert isinstance(app.link, FakeLink)
    return app.link


def screen_text(app: ConduitApp) -> str:
    """What stands on the screen, as plain text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def until(condition: Callable[[], object], pilot: Pilot[Any]) -> None:
    """Wait for a condition and never for a time."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await pilot.pause(0.01)


async def until_shown(text: str, pilot: Pilot[Any]) -> None:
    """Wait until a text stands on the screen."""
    app = pilot.app
    assert isinstance(app, ConduitApp)
    try:
        await until(lambda: text in screen_text(app), pilot)
    except TimeoutError:
        raise AssertionError(f"{text!r} is not on the screen:\n{screen_text(app)}") from None


async def until_said(text: str, pilot: Pilot[Any]) -> None:
    """Wait until something was told, however a toast breaks it into lines."""
    app = pilot.app
    assert isinstance(app, ConduitApp)
    await until(lambda: any(text in message.text for message in app.store.messages), pilot)


@asynccontextmanager
async def running(app: ConduitApp, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[None]]:
    """The application on a terminal of this size, after its first frame."""
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        yield pilot
