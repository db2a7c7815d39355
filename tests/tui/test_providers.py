"""The screen of providers: testing, models, credentials."""

from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.tui.app import ConduitApp
from conduit.tui.state.session import Look
from conduit.tui.widgets.dialogs.forms import Misfit
from conduit.tui.widgets.providers.credentials import entered, reference
from tests.tui.events import mapping, provider
from tests.tui.screens import (
    NOTHING,
    REFUSED,
    STATES,
    assert_kept_nowhere,
    back,
    in_state,
    list_of,
    on_screen,
    sent,
)
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    Answer,
    ByQuery,
    link_of,
    make_app,
    page,
    refusal,
    running,
    screen_text,
    until,
    until_said,
    until_shown,
)

SECRET = "sk-proj-ABCDEFGHIJKLMNOPQRSTUVWX"
ONE = provider("x")["credentials"][0]
TWO = [
    {**ONE, "id": "cred_1", "primary": True},
    {**ONE, "id": "cred_2", "name": "spare", "source": "env:OPENAI_KEY", "state": "missing"},
]
PROVIDERS = page(
    provider("openai-main", credentials=TWO),
    provider("anthropic", type="anthropic"),
    provider("groq", type="groq", credentials=[{**ONE, "state": "wrong_host"}]),
    provider("local", type="openai_compatible", credentials=[], allow_private=True),
    provider("old", enabled=False),
)
TYPES = page(
    {"name": "openai", "default_base_url": "https://x", "simulated": False, "needs_credential": 1},
    {"name": "vllm", "default_base_url": None, "simulated": False, "needs_credential": 0},
)
GOOD = {"ok": True, "provider": "openai-main", "latency_ms": 41, "models": 3, "error": None}
BAD = {"ok": False, "provider": "x", "latency_ms": None, "models": None, "error": "401: bad key"}
MODELS = page(
    {"provider": "openai-main", "model": "gpt-4o", "aliases": ["fast", "gpt-4o"]},
    {"provider": "openai-main", "model": "gpt-4o-mini", "aliases": []},
    {"provider": "openai-main", "model": "o3", "aliases": []},
)
DATA: dict[str, Answer] = {
    "providers.list": PROVIDERS,
    "provider_types.list": TYPES,
    "providers.test": GOOD,
    "providers.models": MODELS,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    async with in_state("providers", state, DATA, size) as (_, pilot):
        await assert_looks(pilot, f"providers-{size}-{state}")


@pytest.mark.parametrize("size", SIZES)
async def test_a_provider_in_full_looks_as_it_was_looked_at(size: str) -> None:
    async with on_screen("providers", DATA, size) as (app, pilot):
        await pilot.press("m")
        await until_shown("3 models, 1 with an alias", pilot)
        list_of(app).refresh(layout=True)
        await assert_looks(pilot, f"providers-{size}-models")


async def test_a_provider_shows_as_a_word_why_it_cannot_be_used() -> None:
    async with on_screen("providers", DATA) as (app, pilot):
        await until_shown("old", pilot)
        lines = screen_text(app).splitlines()[3:8]
        for line, word in zip(lines, ["up", "up", "wrong host", "up", "off"], strict=True):
            assert word in line


async def test_a_credential_that_calls_leave_out_says_why_and_how_it_is_used_again() -> None:
    out = {"state": "invalid_key", "reason": "the provider refused its credential", "model": None}
    whole = {**ONE, "left_out": [{**out, "until": "2100-01-01T00:00:00Z"}]}
    past = {**ONE, "left_out": [{**out, "until": "2001-01-01T00:00:00Z"}]}
    partly = {**ONE, "left_out": [{**whole["left_out"][0], "state": "no_permission", "model": "m"}]}
    rows = [
        provider(name, credentials=[credential])
        for name, credential in (("a-whole", whole), ("b-partly", partly), ("c-past", past))
    ]
    async with on_screen("providers", {**DATA, "providers.list": page(*rows)}, "120x40") as (
        app,
        pilot,
    ):
        await until_shown("conduit breakers reset a-whole", pilot)
        text = screen_text(app)
        assert "until 2100-01-01" in text
        for line, word in zip(text.splitlines()[3:6], ["invalid key", "up", "up"], strict=True):
            assert word in line
        await pilot.press("j")
        await until_shown("breakers reset b-partly", pilot)
        assert "not allowed" in screen_text(app)
        await pilot.press("j")
        await until(lambda: "breakers reset" not in screen_text(app), pilot)
        assert "invalid key" not in screen_text(app).splitlines()[5]


# Health


async def test_its_health_of_a_day_is_listed_with_the_reasons() -> None:
    opened = {
        "at": "2026-11-20T21:40:00Z",
        "provider": "openai-main",
        "model": "gpt-4o",
        "credential": "default",
        "before": "closed",
        "after": "half_open",
        "reason": "5 of 10 calls failed",
        "until": None,
    }
    history = ByQuery(lambda query: page(opened))
    async with on_screen("providers", {**DATA, "health.history": history}) as (app, pilot):
        await pilot.press("H")
        await until_shown("gpt-4o (default)  closed → half open  5 of 10 calls", pilot)
        assert history.queries[0]["provider"] == "openai-main"
        assert history.queries[0]["since"] == "2026-11-19T22:02:11+00:00"
        await pilot.press("escape")
        await until(lambda: app.screen is app.frame, pilot)
        history.answer = lambda query: page()
        await pilot.press("H")
        await until_shown("in the last 24 hours", pilot)


async def test_breakers_are_opened_after_a_question_and_closed_at_once() -> None:
    answers = {
        **DATA,
        "breakers.open": page({"model": "gpt-4o"}, {"model": "o3"}),
        "breakers.close": page({"model": "gpt-4o"}),
        "breakers.reset": page(),
    }
    async with on_screen("providers", answers) as (app, pilot):
        await pilot.press("b", "o")
        await until_shown("Open the breakers of openai-main for 10 minutes?", pilot)
        await pilot.press("y")
        await until_said("opened 2 breakers of openai-main", pilot)
        assert sent(app, "breakers.open")[0][2] == {"provider": "openai-main", "for_s": 600}
        await pilot.press("b", "c")
        await until_said("closed 1 breaker of openai-main", pilot)
        await pilot.press("b", "r")
        await until_said("reset 0 breakers of openai-main", pilot)
        assert len(sent(app, "breakers.open")) == 1


# Testing and models


async def test_a_test_stands_in_the_list_and_says_what_it_found() -> None:
    async with on_screen("providers", DATA) as (app, pilot):
        await pilot.press("t")
        await until_shown("openai-main: ok, 3 models, 41 ms", pilot)
        assert "41 ms" in screen_text(app).splitlines()[3]
        assert sent(app, "providers.test")[0][1] == ("prov_openai-main",)


async def test_a_failed_test_says_why_without_the_key() -> None:
    failed = {**BAD, "error": f"401: wrong key {SECRET}"}
    async with on_screen("providers", {**DATA, "providers.test": failed}, "120x40") as (app, pilot):
        await pilot.press("t")
        await until_shown("401: wrong key", pilot)
        await until_shown("failed", pilot)
        assert_kept_nowhere(app, SECRET)


async def test_marked_providers_are_tested_one_after_the_other() -> None:
    async with on_screen("providers", DATA) as (app, pilot):
        await pilot.press("space", "space", "t")
        await until_shown("anthropic: ok", pilot)
        assert len(sent(app, "providers.test")) == 2


async def test_models_are_asked_for_on_demand_and_a_refusal_stands_in_the_pane() -> None:
    answers = {**DATA, "providers.models": refusal(502, "the provider says 401", "upstream")}
    async with on_screen("providers", answers, "120x40") as (app, pilot):
        await until_shown("m asks for them", pilot)
        assert not sent(app, "providers.models")
        await pilot.press("m")
        await until_shown("the provider says 401", pilot)
        link_of(app).answers["providers.models"] = MODELS
        await pilot.press("m")
        await until_shown("fast, gpt-4o", pilot)


async def test_models_without_an_alias_are_chosen_and_mapped() -> None:
    def make(body: Any) -> Any:
        return mapping(body["alias"])

    async with on_screen("providers", {**DATA, "mappings.create": make}) as (app, pilot):
        await pilot.press("M")
        await until_shown("map models of openai-main", pilot)
        await until_shown("gpt-4o-mini", pilot)
        await assert_looks(pilot, "providers-80x24-map")
        await pilot.press(*"o3")
        await until(lambda: "gpt-4o-mini" not in screen_text(app), pilot)
        await pilot.press("space")
        await until_shown("1 marked", pilot)
        await pilot.press("backspace", "backspace")
        await until_shown("gpt-4o-mini", pilot)
        await pilot.press("ctrl+a")
        await until_shown("2 marked", pilot)
        await pilot.press("enter")
        await until_shown("mapped 2 models of openai-main", pilot)
        assert [call[2] for call in sent(app, "mappings.create")] == [
            {"alias": name, "targets": [{"provider": "openai-main", "model": name}]}
            for name in ("gpt-4o-mini", "o3")
        ]


async def test_a_model_that_cannot_be_mapped_keeps_no_other_from_it() -> None:
    def make(body: Any) -> Any:
        if body["alias"] == "o3":
            raise refusal(409, "there is a mapping o3", "conflict")
        return mapping(body["alias"])

    async with on_screen("providers", {**DATA, "mappings.create": make}) as (_, pilot):
        await pilot.press("M")
        await until_shown("map models", pilot)
        await pilot.press("ctrl+a", "enter")
        await until_shown("o3: there is a mapping o3", pilot)
        await until_shown("mapped 1 model of", pilot)


async def test_with_nothing_left_to_map_nobody_is_asked() -> None:
    mapped = page({"provider": "openai-main", "model": "gpt-4o", "aliases": ["gpt-4o"]})
    async with on_screen("providers", {**DATA, "providers.models": mapped}) as (app, pilot):
        await pilot.press("M")
        await until_shown("every model has an alias", pilot)
        assert app.screen is app.frame


# Adding


async def fill(pilot: Pilot[Any], *keys: str) -> None:
    """The form of a new provider with a name and a key."""
    await pilot.press("a")
    await until_shown("new provider", pilot)
    await pilot.press("tab", *"mine", "tab", "tab", *SECRET, *keys)


async def test_a_provider_is_added_tested_and_its_models_offered() -> None:
    async with on_screen("providers", {**DATA, "providers.create": provider("mine")}) as (
        app,
        pilot,
    ):
        await fill(pilot)
        assert SECRET not in screen_text(app)
        await assert_looks(pilot, "providers-80x24-form")
        await pilot.press("ctrl+s")
        await until_shown("map models of mine", pilot)
        assert sent(app, "providers.create")[0][2] == {
            "name": "mine",
            "type": "openai",
            "credential": {"secret": SECRET},
        }
        assert sent(app, "providers.test")[0][1] == ("prov_mine",)
        assert_kept_nowhere(app, SECRET)
        await pilot.press("escape")
        await back(app, pilot)
        assert list_of(app).grid.cursor_key == "prov_mine"


async def test_a_provider_whose_key_is_wrong_is_kept_and_switched_off() -> None:
    answers = {
        **DATA,
        "providers.create": provider("mine"),
        "providers.update": provider("mine", enabled=False, version=2),
        "providers.test": BAD,
    }
    async with on_screen("providers", answers) as (app, pilot):
        await fill(pilot, "ctrl+s")
        await until_shown("mine was added and is off", pilot)
        assert sent(app, "providers.update")[0][2] == {"enabled": False, "version": 1}
        assert not app.store.table("providers").rows["prov_mine"]["enabled"]
        assert_kept_nowhere(app, SECRET)


async def test_what_a_type_needs_is_asked_for_before_anything_is_sent() -> None:
    async with on_screen("providers", DATA) as (app, pilot):
        await pilot.press("a")
        await until_shown("new provider", pilot)
        await pilot.press("ctrl+s")
        await until_shown("is needed, here or as a reference", pilot)
        assert not sent(app, "providers.create")


async def test_a_refusal_of_the_gateway_stands_at_its_field() -> None:
    refused = refusal(422, "base_url: private addresses are refused; name: is odd", "invalid")
    async with on_screen("providers", {**DATA, "providers.create": refused}) as (_, pilot):
        await fill(pilot, "ctrl+s")
        await until_shown("private addresses are refused", pilot)
        await until_shown("is odd", pilot)


# Changing


async def test_a_new_host_says_that_the_key_must_be_entered_anew() -> None:
    moved = provider("groq", credentials=[{**ONE, "state": "wrong_host"}], version=2)
    moved["base_url"] = "https://other.example/v1"
    answers = {
        **DATA,
        "providers.list": page(provider("groq")),
        "providers.update": moved,
        "providers.show": moved,
    }
    async with on_screen("providers", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("provider groq, version 1", pilot)
        await pilot.press("ctrl+u", *"https://other.example/v1", "ctrl+s")
        await until_shown("enters its key anew", pilot)
        body = {"base_url": "https://other.example/v1", "version": 1}
        assert sent(app, "providers.update")[0][2] == body


async def test_what_somebody_else_saved_of_a_provider_is_merged() -> None:
    theirs = {**provider("groq", version=2), "allow_private": True}

    def update(*_: str, body: Any) -> Any:
        if body["version"] == 1:
            raise refusal(409, "provider groq is at version 2, not 1", "conflict")
        return {**theirs, "enabled": False, "version": 3}

    answers = {
        **DATA,
        "providers.list": page(provider("groq")),
        "providers.update": update,
        "providers.show": theirs,
    }
    async with on_screen("providers", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("provider groq, version 1", pilot)
        await pilot.press("tab", "tab", "space", "ctrl+s")
        await until_shown("in other fields than you", pilot)
        await pilot.press("enter")
        await until_shown("changed groq", pilot)
        bodies = [call[2] for call in sent(app, "providers.update")]
        assert bodies == [{"enabled": False, "version": 1}, {"enabled": False, "version": 2}]


async def test_a_provider_that_mappings_name_is_not_deleted() -> None:
    refused = refusal(409, "openai-main is named by the mappings fast, gpt-4o", "conflict")
    async with on_screen("providers", {**DATA, "providers.delete": refused}) as (app, pilot):
        await pilot.press("D")
        await until_shown("Delete the provider openai-main?", pilot)
        await until_shown("2 credentials", pilot)
        await pilot.press(*"openai-main", "enter")
        await until_shown("is named by the", pilot)
        assert "prov_openai-main" in app.store.table("providers").rows


async def test_a_provider_is_switched_off() -> None:
    off = provider("openai-main", enabled=False, version=2)
    async with on_screen("providers", {**DATA, "providers.update": off}) as (app, pilot):
        await pilot.press("x")
        await until_shown("disabled openai-main", pilot)
        assert sent(app, "providers.update")[0][2] == {"enabled": False, "version": 1}


async def test_a_refused_master_key_is_shown_in_the_title() -> None:
    async with on_screen("providers", {**DATA, "providers.test": REFUSED}) as (_, pilot):
        await pilot.press("t")
        await until_shown("AUTH FAILED", pilot)


@pytest.mark.parametrize("pressed", [["a"], ["e"], ["x"], ["D"], ["M"], ["c", "a"], ["c", "p"]])
async def test_without_a_connection_nothing_is_changed_and_the_reason_said(
    pressed: list[str],
) -> None:
    async with on_screen("providers", DATA) as (app, pilot):
        app.store.connectivity.lost("connection refused", 4)
        await pilot.press(*pressed)
        await until_shown("not connected to the gateway", pilot)
        await until(lambda: "not connected" in app.store.messages[-1].text, pilot)
        assert app.screen is app.frame
        assert not [call for call in link_of(app).calls if not call[0].endswith(".list")]


# Credentials


async def chord(app: ConduitApp, pilot: Pilot[Any], letter: str) -> None:
    await pilot.press("c")
    await until_shown("enter anew", pilot)
    await pilot.press(letter)
    await until(lambda: app.chord is None, pilot)


async def test_a_credential_is_added_as_a_reference() -> None:
    answers = {**DATA, "credentials.create": ONE, "providers.show": provider("openai-main")}
    async with on_screen("providers", answers) as (app, pilot):
        await chord(app, pilot, "a")
        await until_shown("new credential of openai-main", pilot)
        await pilot.press(*"third", "tab", "tab", *"env:OTHER", "ctrl+s")
        await until_shown("added credential default", pilot)
        body = {"name": "third", "env": "OTHER"}
        assert sent(app, "credentials.create") == [
            ("credentials.create", ("prov_openai-main",), body)
        ]


async def test_of_several_credentials_one_is_chosen_and_put_first() -> None:
    answers = {**DATA, "credentials.update": TWO[1], "providers.show": provider("openai-main")}
    async with on_screen("providers", answers) as (app, pilot):
        await chord(app, pilot, "p")
        await until_shown("which of openai-main", pilot)
        await pilot.press(*"spare", "enter")
        await until_shown("is used first now", pilot)
        names = ("prov_openai-main", "cred_2")
        body = {"primary": True, "version": 1}
        assert sent(app, "credentials.update") == [("credentials.update", names, body)]


async def test_a_credential_is_entered_anew_and_its_secret_kept_nowhere() -> None:
    answers = {
        **DATA,
        "providers.list": page(provider("groq")),
        "credentials.update": ONE,
        "providers.show": provider("groq"),
    }
    async with on_screen("providers", answers) as (app, pilot):
        await chord(app, pilot, "e")
        await until_shown("enter default of groq anew", pilot)
        await pilot.press(*SECRET)
        assert_kept_nowhere(app, SECRET)
        await pilot.press("ctrl+s")
        await until_shown("entered credential default", pilot)
        assert sent(app, "credentials.update")[0][2] == {"secret": SECRET, "version": 1}
        assert_kept_nowhere(app, SECRET)


@pytest.mark.parametrize(
    ("letter", "said", "operation", "body"),
    [
        (
            "x",
            "disabled credential default",
            "credentials.update",
            {"enabled": False, "version": 1},
        ),
        ("t", "credential default of groq: ok", "credentials.test", None),
    ],
)
async def test_a_credential_is_switched_and_tested(
    letter: str, said: str, operation: str, body: Any
) -> None:
    answers = {
        **DATA,
        "providers.list": page(provider("groq")),
        "providers.show": provider("groq"),
        "credentials.update": ONE,
        "credentials.test": {**GOOD, "credential": "default"},
    }
    async with on_screen("providers", answers) as (app, pilot):
        await chord(app, pilot, letter)
        await until_shown(said, pilot)
        assert sent(app, operation) == [(operation, ("prov_groq", "cred_groq"), body)]


async def test_removing_a_credential_says_what_stays_and_asks() -> None:
    answers = {
        **DATA,
        "providers.list": page(provider("groq")),
        "providers.show": provider("groq", credentials=[]),
        "credentials.delete": {},
    }
    async with on_screen("providers", answers) as (app, pilot):
        await chord(app, pilot, "D")
        await until_shown("It has no other one.", pilot)
        await pilot.press("y")
        await until_shown("removed credential default", pilot)
        assert sent(app, "credentials.delete")[0][1] == ("prov_groq", "cred_groq")
        rows = app.store.table("providers").rows
        await until(lambda: not rows["prov_groq"]["credentials"], pilot)
        await pilot.press("c", "t")
        await until_shown("groq has no credential", pilot)


def test_a_reference_names_where_the_gateway_reads() -> None:
    assert reference("env:OPENAI_API_KEY") == {"env": "OPENAI_API_KEY"}
    assert reference("file:/run/key") == {"file": "/run/key"}
    for text in ("OPENAI_API_KEY", "env:", "http://x"):
        with pytest.raises(ValueError, match="env:NAME"):
            reference(text)


def test_a_key_is_given_once() -> None:
    assert entered({"secret": None, "reference": None}, needed=False) == {}
    assert entered({"secret": None, "reference": {"env": "A"}}, needed=True) == {"env": "A"}
    with pytest.raises(Misfit, match="not both"):
        entered({"secret": "x", "reference": {"env": "A"}}, needed=True)


async def test_enter_on_the_overview_opens_the_provider() -> None:
    app = make_app({**NOTHING, **DATA}, look=Look(screen="overview"))
    async with running(app) as pilot:
        await until_shown("anthropic", pilot)
        await pilot.press("down", "enter")
        await until(lambda: app.here == "providers", pilot)
        await until_shown("Models that it offers", pilot)
        assert list_of(app).grid.cursor_key == "prov_anthropic"
