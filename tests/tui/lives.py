"""The interface on its live screen, with requests whose records a test knows."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot

from conduit.core.keys import make_virtual_key
from conduit.tui.app import ConduitApp
from conduit.tui.screens.live import LiveScreen
from conduit.tui.state.session import Look
from conduit.tui.widgets.ring_grid import RingGrid
from tests.tui.events import recorded, request_events
from tests.tui.support import make_app, page, running, until

LIVE = Look(screen="live")
ATTEMPT = {
    "id": "att_1",
    "provider": "openai-main",
    "model": "gpt-4o-2024",
    "state": "done",
    "outcome": "succeeded",
    "status": 200,
    "error_code": None,
    "ambiguous": False,
    "hold": "0.05",
    "cost": "0.0041",
    "billed": "0.0041",
    "price_version": "2026-11-01",
    "usage_source": "provider",
    "input_tokens": 1_000,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "output_tokens": 204,
    "reasoning_tokens": 0,
}


def detail_of(number: int) -> dict[str, object]:
    """A request with a refused attempt before the one that answered."""
    record = recorded(number)
    at = record["at"].replace("Z", "")
    refused = ATTEMPT | {
        "id": "att_0",
        "provider": "groq",
        "outcome": "refused",
        "status": 429,
        "error_code": "rate_limit_exceeded",
        "cost": "0",
        "held_at": f"{at}.002Z",
        "settled_at": f"{at}.120Z",
    }
    answered = ATTEMPT | {"held_at": f"{at}.121Z", "settled_at": f"{at}.810Z"}
    return record | {"attempts": 2, "attempt_list": [refused, answered]}


def live_app(*, count: int = 30, look: Look = LIVE, connected: bool = True) -> ConduitApp:
    app = make_app(
        {
            "providers.list": page(),
            "keys.list": page(),
            "requests.show": lambda name, body: detail_of(int(name.removeprefix("req_"))),
        },
        look=look,
        connected=connected,
    )
    app.store.receive(request_events(*range(1, count + 1)))
    return app


def grid_of(app: ConduitApp) -> RingGrid:
    screen = app.frame
    assert isinstance(screen, LiveScreen)
    return screen.grid


@asynccontextmanager
async def showing(app: ConduitApp, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[None]]:
    """The screen once it has taken in what the ring holds."""
    async with running(app, size) as pilot:
        await until(lambda: grid_of(app).count() == len(app.store.traffic), pilot)
        yield pilot


async def arrive(app: ConduitApp, pilot: Pilot[None], *numbers: int, **fields: object) -> None:
    """New requests come, and the screen has drawn what is to be drawn of them."""
    app.store.receive(request_events(*numbers, **fields))
    app.frame.show_store()
    await pilot.pause()


ROUTE = {
    "legs": [
        {
            "alias": "gpt-4o",
            "strategy": "lowest-cost",
            "because": None,
            "sticky": False,
            "candidates": [
                {
                    "provider": "groq",
                    "model": "llama",
                    "score": 0.5,
                    "state": "ready",
                    "reason": None,
                },
                {
                    "provider": "local",
                    "model": "llama",
                    "score": 1.0,
                    "state": "open",
                    "reason": "its breaker is open for 27 s",
                },
            ],
            "left_out": [
                {
                    "provider": "old",
                    "model": "gpt-3",
                    "score": None,
                    "state": "left_out",
                    "reason": "it takes no images",
                }
            ],
        }
    ],
    "attempts": [
        {
            "provider": "groq",
            "model": "llama",
            "credential": "main",
            "because": None,
            "waited_ms": 0,
            "error": "rate_limit",
        },
        {
            "provider": "openai-main",
            "model": "gpt-4o-2024",
            "credential": "first",
            "because": "rate_limit",
            "waited_ms": 40,
            "error": None,
        },
    ],
    "trimmed": 0,
}


def routed(name: str, body: object) -> dict[str, object]:
    return detail_of(int(name.removeprefix("req_"))) | {"route": ROUTE}


def body(content: object, **headers: str) -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    return {
        "headers": headers,
        "body": text,
        "encoding": "utf-8",
        "bytes": len(text),
        "truncated": False,
    }


SECRET = make_virtual_key()  # shown shortened, and with the same ends in no two runs
QUESTION = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "be terse"},
        {"role": "user", "content": f"why {SECRET}?"},
    ],
}
BODIES = {
    "id": "req_1",
    "at": "2026-11-20T22:01:11Z",
    "key_id": "key_1",
    "path": "/v1/chat/completions",
    "status": 200,
    "request": body(QUESTION, **{"user-agent": "tests/1"}),
    "attempts": [
        {
            "id": "att_1",
            "provider": "openai-main",
            "model": "gpt-4o-2024",
            "url": "https://api.example/v1/chat/completions",
            "request": body(QUESTION | {"model": "gpt-4o-2024", "seed": 7}),
            "status": 200,
            "response": body({"id": "chatcmpl-1"}, **{"x-request-id": "up_1"}),
        }
    ],
    "response": body({"choices": [{"text": "because"}]}),
}
