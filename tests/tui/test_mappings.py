"""The screen of mappings: targets, their order, their prices."""

import asyncio
from typing import Any

import pytest

from conduit.client.errors import ApiError
from conduit.tui.screens.mappings import targets_of, with_params
from conduit.tui.widgets.providers.abilities import deployments_of
from tests.tui.allowed import deployment
from tests.tui.events import mapping, provider, target
from tests.tui.screens import REFUSED, STATES, in_state, list_of, on_screen, sent
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    Answer,
    link_of,
    page,
    refusal,
    screen_text,
    until,
    until_said,
    until_shown,
)

FAST = mapping(
    "fast",
    target("openai-main", "gpt-4o-mini"),
    target("groq", "llama-3.1-8b", 1, weight=3, params={"temperature": 0}),
    target("old", "mystery", 2, capabilities={"tools": False}),
)
MAPPINGS = page(
    FAST, mapping("gpt-4o"), mapping("gpt-*", enabled=False), mapping("claude", version=4)
)
PRICES = {
    "gpt-4o-mini": {"input": "0.15", "output": "0.60"},
    "llama-3.1-8b": {"input": "0.05", "output": "0.08"},
    "gpt-4o": {"input": "2.50", "output": "10.00"},
}
SERVED = {
    "id": "fast",
    "available": True,
    "provider": "openai-main",
    "model": "gpt-4o-mini",
    "operations": ["chat"],
    "reasons": ["old/mystery: the provider is disabled"],
}
EXPLAINED = {
    "alias": "fast",
    "legs": [
        {
            "alias": "fast",
            "candidates": [
                {
                    "provider": "openai-main",
                    "model": "gpt-4o-mini",
                    "capabilities": {
                        "chat": True,
                        "vision": True,
                        "tools": True,
                        "schema": True,
                        "reasoning": False,
                        "embeddings": False,
                        "audio": None,
                        "context_tokens": 128_000,
                        "output_tokens": 16_384,
                    },
                },
                {"provider": "old", "model": "mystery", "capabilities": None},
            ],
        }
    ],
}
DEPLOYMENTS = page(
    deployment("openai-main", "gpt-4o-mini"),
    deployment("groq", "llama-3.1-8b", breaker="open", until="2026-11-20T22:02:38Z"),
    deployment("openai-main", "claude", breaker="open", until="2026-11-20T22:02:38Z"),
    deployment("groq", "another", breaker="half_open"),
)


def price(provider_name: str, model: str, body: Any) -> Any:
    if model not in PRICES:
        raise ApiError("not_found", f"no price for {model}", status=404)
    return PRICES[model]


DATA: dict[str, Answer] = {
    "mappings.list": MAPPINGS,
    "providers.list": page(
        provider("openai-main"), provider("groq"), provider("old", enabled=False)
    ),
    "prices.show": price,
    "models.show": SERVED,
    "routes.explain": EXPLAINED,
    "health.deployments": DEPLOYMENTS,
    "providers.models": page({"provider": "groq", "model": "qwen-32b", "aliases": []}),
}


def order(app: Any, id: str = "map_fast") -> list[str]:
    targets = app.store.table("mappings").rows[id]["targets"]
    return [each["model"] for each in targets]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    async with in_state("mappings", state, DATA, size) as (_, pilot):
        await assert_looks(pilot, f"mappings-{size}-{state}")


async def test_a_mapping_in_full_looks_as_it_was_looked_at() -> None:
    async with on_screen("mappings", DATA) as (_, pilot):
        await pilot.press("enter")
        await until_shown("the provider is disabled", pilot)
        await assert_looks(pilot, "mappings-80x24-detail")


async def test_a_mapping_shows_its_targets_in_order_with_the_prices_in_force() -> None:
    async with on_screen("mappings", DATA, "120x40") as (app, pilot):
        await until_shown("served by  openai-main/gpt-4o-mini now", pilot)
        lines = screen_text(app).splitlines()
        shown = [line for line in lines if "groq/llama" in line and "0.05" in line]
        assert shown, lines
        assert "0.08" in shown[0]
        assert "none" in next(line for line in lines if "old/mystery " in line)


async def test_nothing_is_asked_of_an_alias_that_no_client_can_use_as_it_stands() -> None:
    async with on_screen("mappings", DATA, "120x40") as (app, pilot):
        assert list_of(app).open_record("gpt-*")
        await until(
            lambda: ("prices.show", ("openai-main", "gpt-*"), None) in link_of(app).calls, pilot
        )
        await until_shown("none", pilot)
        assert not [call for call in sent(app, "models.show") if call[1] == ("gpt-*",)]


async def test_prices_that_cannot_be_read_say_why() -> None:
    refused = refusal(500, "the database is busy", "unavailable")
    async with on_screen("mappings", {**DATA, "prices.show": refused}, "120x40") as (_, pilot):
        await until_shown("the database is busy", pilot)


async def test_a_mapping_shows_what_each_target_can_do_and_its_breaker() -> None:
    async with on_screen("mappings", DATA) as (app, pilot):
        await pilot.press("enter")
        await until_shown("128k", pilot)
        lines = [line.split() for line in screen_text(app).splitlines()]
        able = [line[line.index("│") + 1 :] for line in lines if {"│", "?"} <= {*line}]
        assert able[0][:10] == ["1", "closed", *["yes"] * 4, "no", "?", "no", "128k"]
        # The gateway leaves these out: what is known of them was said by hand, or nothing.
        assert able[1][:5] == ["2", "open", "27s", "?", "?"]
        assert able[2][:5] == ["3", "-", "?", "?", "no"]
        asked = sent(app, "routes.explain")[0][2]
        assert asked == {"alias": "fast", "operation": "chat"}


async def test_the_list_says_which_breakers_keep_targets_from_serving() -> None:
    async with on_screen("mappings", DATA) as (app, pilot):
        await until_shown("1/2 open", pilot)
        line = next(line for line in screen_text(app).splitlines() if line[2:].startswith("claude"))
        assert "open 27s" in line
        link_of(app).answers["health.deployments"] = page(deployment("groq", "llama-3.1-8b"))
        await pilot.press("r")
        await until(lambda: not {"27s", "1/2"} & set(screen_text(app).split()), pilot)


def test_the_breakers_of_a_target_with_a_star_are_those_of_all_its_models() -> None:
    rows = [deployment("groq", "llama-1"), deployment("groq", "qwen"), deployment("x", "llama-1")]
    assert deployments_of([target("groq", "llama-*")], rows) == rows[:1]
    assert deployments_of([target("groq", "llama")], rows) == []


# Order


async def test_a_target_moves_at_once_and_is_sent_with_the_version() -> None:
    sent_on, answered = asyncio.Event(), asyncio.Event()

    async def update(id: str, body: Any) -> Any:
        sent_on.set()
        await answered.wait()
        return {**FAST, "targets": body["targets"], "version": 2}

    async with on_screen("mappings", {**DATA, "mappings.update": update}, "120x40") as (app, pilot):
        await pilot.press("enter", "J")
        await until(sent_on.is_set, pilot)
        assert order(app) == ["llama-3.1-8b", "gpt-4o-mini", "mystery"]
        answered.set()
        await until(lambda: app.store.table("mappings").rows["map_fast"]["version"] == 2, pilot)
        body = sent(app, "mappings.update")[0][2]
        assert body["version"] == 1
        assert [(each["model"], each["order"]) for each in body["targets"]] == [
            ("llama-3.1-8b", 0),
            ("gpt-4o-mini", 1),
            ("mystery", 2),
        ]
        assert body["targets"][0]["params"] == {"temperature": 0}


async def test_moves_that_follow_each_other_are_sent_one_by_one_each_on_the_last() -> None:
    versions = iter(range(2, 9))

    def update(id: str, body: Any) -> Any:
        return {**FAST, "targets": body["targets"], "version": next(versions)}

    async with on_screen("mappings", {**DATA, "mappings.update": update}, "120x40") as (app, pilot):
        await pilot.press("enter", "J", "J")
        await until(lambda: order(app) == ["llama-3.1-8b", "mystery", "gpt-4o-mini"], pilot)
        await until(lambda: len(sent(app, "mappings.update")) == 2, pilot)
        assert [call[2]["version"] for call in sent(app, "mappings.update")] == [1, 2]
        await pilot.press("J")
        await until_shown("it is the last target", pilot)
        await pilot.press("K")
        await until(lambda: order(app) == ["llama-3.1-8b", "gpt-4o-mini", "mystery"], pilot)


async def test_a_refused_move_is_taken_back_and_told() -> None:
    refused = refusal(409, "mapping fast is at version 2, not 1", "conflict")
    async with on_screen("mappings", {**DATA, "mappings.update": refused}, "120x40") as (
        app,
        pilot,
    ):
        await pilot.press("enter", "J")
        await until_said("fast is shown as it was: mapping fast is at version 2", pilot)
        assert order(app) == ["gpt-4o-mini", "llama-3.1-8b", "mystery"]
        assert app.store.messages[-1].request_id == "req_0000000000TEST"


async def test_what_is_not_shown_is_not_moved() -> None:
    async with on_screen("mappings", DATA) as (app, pilot):
        await pilot.press("J")
        await until_shown("open the mapping first", pilot)
        assert not sent(app, "mappings.update")


async def test_enter_on_a_target_opens_its_provider() -> None:
    async with on_screen("mappings", DATA) as (app, pilot):
        await pilot.press("enter", "down", "enter")
        await until(lambda: app.here == "providers", pilot)
        await until(lambda: list_of(app).grid.cursor_key == "prov_groq", pilot)


# Testing


def probed(model: str, **fields: Any) -> dict[str, Any]:
    return {
        "ok": True,
        "provider": "openai-main",
        "model": model,
        "latency_ms": 300,
        "error": None,
        **fields,
    }


async def test_a_test_shows_how_each_target_answered() -> None:
    answer = {
        "ok": False,
        "alias": "fast",
        "answered": 1,
        "targets": [
            probed("gpt-4o-mini"),
            probed("llama-3.1-8b", provider="groq", ok=False, error="429: slow down"),
        ],
    }
    async with on_screen("mappings", {**DATA, "mappings.test": answer}, "120x40") as (app, pilot):
        await pilot.press("t")
        await until_shown("fast: 1 of 2 targets answered", pilot)
        await until_shown("groq/llama-3.1-8b: 429: slow down", pilot)
        assert "300ms" in screen_text(app)
        assert sent(app, "mappings.test") == [("mappings.test", ("map_fast",), {})]


async def test_an_alias_that_ends_in_a_star_is_tested_with_a_model_of_it() -> None:
    answer = {"ok": True, "alias": "gpt-*", "answered": 1, "targets": [probed("gpt-5")]}
    async with on_screen("mappings", {**DATA, "mappings.test": answer}) as (app, pilot):
        await pilot.press("down", "down", "t")
        await until_shown("test gpt-*", pilot)
        await pilot.press(*"gpt-5", "enter")
        await until_shown("gpt-*: 1 of 1 target answered", pilot)
        assert sent(app, "mappings.test")[0][2] == {"model": "gpt-5"}


# Changing


async def test_a_mapping_is_made_of_an_alias_and_targets_that_are_completed() -> None:
    made = mapping("new", target("groq", "qwen-32b"))
    async with on_screen("mappings", {**DATA, "mappings.create": made}) as (app, pilot):
        await pilot.press("a")
        await until_shown("new mapping", pilot)
        await until(lambda: len(sent(app, "providers.models")) == 2, pilot)
        await pilot.press(*"new", "tab", *"groq/q")
        await until_shown("groq/qwen-32b", pilot)
        await pilot.press("right", *",openai-main/gpt-4o x3")
        await assert_looks(pilot, "mappings-80x24-form")
        await pilot.press("enter")
        await until_shown("added new", pilot)
        assert sent(app, "mappings.create")[0][2] == {
            "alias": "new",
            "targets": [
                {"provider": "groq", "model": "qwen-32b", "order": 0},
                {"provider": "openai-main", "model": "gpt-4o", "weight": 3, "order": 0},
            ],
        }


async def test_what_is_no_target_is_said_before_it_is_sent() -> None:
    async with on_screen("mappings", DATA) as (app, pilot):
        await pilot.press("a")
        await until_shown("new mapping", pilot)
        await pilot.press(*"new", "tab", *"gpt-4o", "ctrl+s")
        await until_shown("provider/model is expected, not 'gpt-4o'", pilot)
        assert not sent(app, "mappings.create")


async def test_a_target_that_the_gateway_refuses_is_said_at_the_field() -> None:
    message = "targets.0.provider: there is no provider nix"
    refused = refusal(422, message, "invalid", "targets.0.provider")
    async with on_screen("mappings", {**DATA, "mappings.create": refused}) as (_, pilot):
        await pilot.press("a")
        await until_shown("new mapping", pilot)
        await pilot.press(*"new", "tab", *"nix/gpt", "ctrl+s")
        await until_shown("there is no provider nix", pilot)


async def test_editing_targets_keeps_the_parameters_that_they_had() -> None:
    changed = {**FAST, "version": 2}
    async with on_screen("mappings", {**DATA, "mappings.update": changed}) as (app, pilot):
        await pilot.press("e")
        await until_shown("mapping fast, version 1", pilot)
        await until_shown("groq/llama-3.1-8b x3", pilot)
        await pilot.press("ctrl+u", *"groq/llama-3.1-8b", "ctrl+s")
        await until_shown("changed fast", pilot)
        kept = {"provider": "groq", "model": "llama-3.1-8b", "order": 0}
        assert sent(app, "mappings.update")[0][2] == {
            "targets": [{**kept, "params": {"temperature": 0}}],
            "version": 1,
        }


def stale_once(then: Any) -> Any:
    """Refuses version 1, as somebody else has saved version 2."""

    def update(*_: str, body: Any) -> Any:
        if body["version"] == 1:
            raise refusal(409, "mapping fast is at version 2, not 1", "conflict")
        return then

    return update


async def test_what_another_changed_in_no_field_of_the_form_is_kept_without_a_question() -> None:
    theirs = {**FAST, "strategy": "weighted", "version": 2}
    saved = {**theirs, "enabled": False, "version": 3}
    answers = {**DATA, "mappings.update": stale_once(saved), "mappings.show": theirs}
    async with on_screen("mappings", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("mapping fast, version 1", pilot)
        await pilot.press("tab", "space", "ctrl+s")
        await until_shown("changed fast", pilot)
        bodies = [call[2] for call in sent(app, "mappings.update")]
        assert bodies == [{"enabled": False, "version": 1}, {"enabled": False, "version": 2}]


async def test_targets_that_both_changed_are_shown_beside_each_other_and_one_is_chosen() -> None:
    params = {"temperature": 1}
    theirs = mapping("fast", target("groq", "llama-3.1-8b", params=params), version=2)
    answers = {
        **DATA,
        "mappings.update": stale_once({**theirs, "version": 3}),
        "mappings.show": theirs,
    }
    async with on_screen("mappings", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("mapping fast, version 1", pilot)
        await pilot.press("ctrl+u", *"groq/llama-3.1-8b x2", "ctrl+s")
        await until_shown("You both changed 1 field.", pilot)
        await until_shown("yours   groq/llama-3.1-8b x2", pilot)
        await until_shown("theirs  groq/llama-3.1-8b", pilot)
        await pilot.press("enter")
        await until_shown("changed fast", pilot)
        kept = {"provider": "groq", "model": "llama-3.1-8b", "order": 0, "weight": 2}
        body = sent(app, "mappings.update")[1][2]
        assert body == {"targets": [{**kept, "params": params}], "version": 2}


async def test_a_conflict_about_something_else_keeps_the_form_open() -> None:
    refused = refusal(409, "mapping fast is at version 2, not 1", "conflict")
    answers = {**DATA, "mappings.update": refused, "mappings.show": FAST}
    async with on_screen("mappings", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("mapping fast, version 1", pilot)
        await pilot.press("tab", "space", "ctrl+s")
        await until_shown("(nothing was saved)", pilot)
        assert app.screen is not app.frame


async def test_deleting_a_mapping_says_what_clients_get() -> None:
    async with on_screen("mappings", {**DATA, "mappings.delete": {}}) as (app, pilot):
        await pilot.press("D")
        await until_shown("Clients that ask for it get a 404", pilot)
        await pilot.press("y")
        await until_shown("deleted fast", pilot)
        assert sent(app, "mappings.delete")[0][1] == ("map_fast",)


async def test_a_refused_master_key_is_shown_in_the_title() -> None:
    async with on_screen("mappings", {**DATA, "mappings.update": REFUSED}) as (_, pilot):
        await pilot.press("x")
        await until_shown("AUTH FAILED", pilot)


@pytest.mark.parametrize("pressed", ["a", "e", "x", "D", "J"])
async def test_without_a_connection_nothing_is_changed_and_the_reason_said(pressed: str) -> None:
    async with on_screen("mappings", DATA, "120x40") as (app, pilot):
        app.store.connectivity.lost("connection refused", 4)
        await pilot.press(pressed)
        await until(
            lambda: app.store.messages and "not connected" in app.store.messages[-1].text, pilot
        )
        assert app.screen is app.frame
        assert order(app) == ["gpt-4o-mini", "llama-3.1-8b", "mystery"]


# What is typed


def test_targets_are_equals_as_they_stand_and_may_have_weights() -> None:
    assert targets_of("a/b , c/org/d:free x2") == [
        {"provider": "a", "model": "b", "order": 0},
        {"provider": "c", "model": "org/d:free", "weight": 2, "order": 0},
    ]


@pytest.mark.parametrize("text", ["a", "a/", "/b", "a/b,", "a/b c", "a b/c"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="provider/model is expected"):
        targets_of(text)


def test_capabilities_go_with_their_target() -> None:
    before = [{**target("a", "b"), "capabilities": {"vision": False}}, target("c", "d")]
    after = with_params([{"provider": "c", "model": "d"}, {"provider": "a", "model": "b"}], before)
    assert after[0] == {"provider": "c", "model": "d"}
    assert after[1] == {"provider": "a", "model": "b", "capabilities": {"vision": False}}


def test_targets_of_one_name_keep_theirs_in_their_order() -> None:
    twice = {"provider": "a", "model": "b"}
    before = [target("a", "b", 1), target("a", "b", 0, params={"top_p": 1})]
    assert with_params([twice, twice], before) == [{**twice, "params": {"top_p": 1}}, twice]


def test_parameters_go_with_their_target() -> None:
    before = [target("a", "b", params={"top_p": 1}), target("c", "d")]
    after = with_params([{"provider": "c", "model": "d"}, {"provider": "a", "model": "b"}], before)
    assert after[0] == {"provider": "c", "model": "d"}
    assert after[1] == {"provider": "a", "model": "b", "params": {"top_p": 1}}
