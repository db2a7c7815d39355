"""A chat of the interface with a server whose answers a test writes."""

from dataclasses import replace
from typing import Any

from conduit.core.keys import make_virtual_key
from conduit.tui.app import ConduitApp
from conduit.tui.chat.dialogue import Answering
from conduit.tui.screens.chat import ChatScreen
from conduit.tui.state.session import Look
from tests.fakes.answering import AnsweringServer
from tests.tui.support import (
    TARGET,
    make_app,
    page,
    until,
)

LOOK = Look(screen="chat")


def mapping(alias: str) -> dict[str, Any]:
    return {"id": f"map_{alias}", "alias": alias, "enabled": True, "targets": [], "version": 1}


def model(alias: str, **can: bool) -> dict[str, Any]:
    return {
        "id": alias,
        "available": True,
        "input": "2.5",
        "output": "10",
        "context_tokens": 128_000,
        "capabilities": {"tools": True, **can},
    }


def chat_app(url: str, *, key: str | None = "", look: Look = LOOK, **answers: Any) -> ConduitApp:
    """A chat with the server; `key` None is a gateway for which no virtual key is known."""
    virtual_key = make_virtual_key() if key == "" else key
    target = replace(TARGET, core_url=url, virtual_key=virtual_key)
    found = {
        "mappings.list": page(mapping("gpt-4o"), mapping("claude")),
        "models.list": page(model("gpt-4o", vision=True), model("claude", vision=False)),
    } | answers
    return make_app(found, look=look, target=target)


def chat_of(app: ConduitApp) -> ChatScreen:
    screen = app.frame
    assert isinstance(screen, ChatScreen)
    return screen


def answering_of(app: ConduitApp) -> Answering:
    found = chat_of(app).dialogue.answering
    assert found is not None
    return found


async def ready(app: ConduitApp, pilot: Any) -> None:
    await until(lambda: chat_of(app).dialogue.model is not None, pilot)


async def ask(
    app: ConduitApp, pilot: Any, question: str, server: AnsweringServer, *say: Any
) -> None:
    """Ask, and wait until the answer has come and is kept."""
    server.say(*say)
    await pilot.press(*question, "enter")
    await until(lambda: chat_of(app).dialogue.asked is not None or server.asked, pilot)
    await until(lambda: chat_of(app).dialogue.asked is None, pilot)
    await until(lambda: chat_of(app).dialogue.turns, pilot)


CALL = {
    "tool_calls": [
        {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    ]
}
