"""The chat screen in its states, as pictures."""

from collections.abc import AsyncIterator

import pytest

from conduit.tui.app import ConduitApp
from tests.fakes.answering import AnsweringServer, answering
from tests.tui.chats import (
    CALL,
    chat_app,
    chat_of,
    ready,
)
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    running,
    until,
    until_shown,
)


@pytest.fixture
async def server() -> AsyncIterator[AnsweringServer]:
    async with answering() as found:
        yield found


ANSWER = """A token bucket refills at a fixed rate:

```python
class Bucket:
    def take(self) -> bool: ...
```

- burst is the capacity
- **rate** is what it refills in a second
"""


class Clock:
    """The screen's clock, which only a test moves."""

    def __init__(self, app: ConduitApp) -> None:
        self.seconds = 1_000.0
        chat_of(app).now_s = lambda: self.seconds  # type: ignore[method-assign]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["data", "empty", "loading", "no-key", "error", "offline"])
async def test_it_looks_as_it_did(server: AnsweringServer, size: str, state: str) -> None:
    app = chat_app(server.url, key=None if state == "no-key" else "")
    server.refusal = 429 if state == "error" else None
    if state == "offline":
        app.store.connectivity.lost("the connection was refused", 4)
    async with running(app, SIZES[size]) as pilot:
        clock = Clock(app)
        if state not in ("offline", "loading"):
            await ready(app, pilot)
        if state == "loading":
            server.say("half an an", end=False)
            chat_of(app).dialogue.model = "gpt-4o"
            await pilot.press(*"Sketch a bucket", "enter")
            await until_shown("half an an", pilot)
            clock.seconds += 2
            app.frame.query_one("#progress").refresh()
            await until_shown("2.0 s", pilot)
        if state in ("data", "error"):
            await pilot.press(*"Sketch a bucket", "enter")
            await until(lambda: server.asked, pilot)
            clock.seconds += 1.9
            server.say(ANSWER)
            await until_shown("[insufficient_quota]" if state == "error" else "34 out", pilot)
        await until_shown("virtual key" if state == "no-key" else "model", pilot)
        await assert_looks(pilot, f"chat-{size}-{state}")


@pytest.mark.parametrize("size", SIZES)
async def test_an_answer_with_reasoning_and_calls_looks_as_it_did(
    server: AnsweringServer, size: str
) -> None:
    app = chat_app(server.url)
    async with running(app, SIZES[size]) as pilot:
        clock = Clock(app)
        await ready(app, pilot)
        chat_of(app).dialogue.set_system("You are terse.")
        chat_of(app).dialogue.parameters = {"temperature": 0.2, "max_tokens": 1024}
        chat_of(app).dialogue.attach(
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        )
        await pilot.press(*"What is it like outside?", "enter")
        await until(lambda: server.asked, pilot)
        clock.seconds += 1.9
        server.say({"reasoning_content": "They want the weather. " * 6}, "I will look.", CALL)
        await until_shown("weather(", pilot)
        await pilot.press("ctrl+g")
        await until_shown("They want", pilot)
        await assert_looks(pilot, f"chat-{size}-reasoning")


@pytest.mark.parametrize("size", SIZES)
async def test_models_to_choose_from_look_as_they_did(server: AnsweringServer, size: str) -> None:
    app = chat_app(server.url)
    async with running(app, SIZES[size]) as pilot:
        await ready(app, pilot)
        await until(lambda: app.store.table("models").is_loaded, pilot)
        await pilot.press("ctrl+o")
        await until_shown("vision tools", pilot)
        await assert_looks(pilot, f"chat-{size}-models")


async def test_answers_side_by_side_look_as_they_did(server: AnsweringServer) -> None:
    app = chat_app(server.url)
    async with running(app, SIZES["120x40"]) as pilot:
        clock = Clock(app)
        await ready(app, pilot)
        chat_of(app).dialogue.rivals = ["claude"]
        server.say(end=False, model="gpt-4o")
        server.say(end=False, model="claude")
        await pilot.press(*"Sketch a bucket", "enter")
        await until(lambda: len(server.asked) == 2, pilot)
        clock.seconds += 1.9
        server.say(ANSWER, model="gpt-4o")
        server.say("Use a `deque` of times.", model="claude")
        await until(lambda: chat_of(app).dialogue.turns, pilot)
        await assert_looks(pilot, "chat-120x40-compare")
