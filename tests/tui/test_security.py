"""Who may call, and the notes on what the gateway cannot do yet."""

import pytest

from conduit.tui.screens.security import limits_of, open_ends
from conduit.tui.state.session import Look
from tests.tui.events import figures, key
from tests.tui.made import setting
from tests.tui.screens import LOST, NOTHING, STATES
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    NOW_MS,
    SIZES,
    Answer,
    make_app,
    page,
    running,
    until,
    until_shown,
)

RPM = {"kind": "rpm", "limit": 60, "burst": None, "shadow": False}
KEYS = page(
    key("ci", limit="50", limits=[RPM, {"kind": "tpm", "limit": 100_000, "shadow": True}]),
    key(
        "web",
        limit="9",
        limits=[RPM],
        allowed_ips=["10.0.0.0/8"],
        expires_at="2026-12-01T00:00:00Z",
    ),
    key("old", enabled=False),
)
DATA: dict[str, Answer] = {
    **NOTHING,
    "keys.list": KEYS,
    "config.list": page(
        setting("rate_limits", "rpm=6000,burst=200"),
        setting("admin_allowed_ips", "10.0.0.0/8"),
        setting("denied_ips", None),
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    given = {"empty": NOTHING, "loading": {}, "error": dict.fromkeys(NOTHING, LOST)}
    app = make_app(given.get(state, DATA), look=Look(screen="security"))
    async with running(app, SIZES[size]) as pilot:
        if state in ("data", "offline"):
            await until_shown("2 of 3 admitted", pilot)
            await until_shown("rpm=6000", pilot)
        if state == "offline":
            app.store.connectivity.lost("connection refused", 4)
            await until_shown("connection refused", pilot)
        await assert_looks(pilot, f"security-{size}-{state}")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", ["images", "video"])
async def test_notes_look_as_they_were_looked_at(place: str, size: str) -> None:
    """They know nothing of a gateway, so they have one state."""
    app = make_app({}, look=Look(screen=place))
    async with running(app, SIZES[size]) as pilot:
        await assert_looks(pilot, f"{place}-{size}")


@pytest.mark.parametrize(
    ("place", "key_", "leads_to"),
    [
        ("images", "enter", "chat"),
        ("video", "enter", "mappings"),
        ("security", "v", "live"),
        ("security", "enter", "keys"),
        ("security", "w", "config"),
        ("security", "a", "config"),
        ("security", "d", "config"),
    ],
)
async def test_a_note_leads_to_where_something_can_be_done(
    place: str, key_: str, leads_to: str
) -> None:
    app = make_app(DATA, look=Look(screen=place))
    async with running(app) as pilot:
        if place == "security":
            await until_shown("2 of 3 admitted", pilot)
        await pilot.press(key_)
        await until(lambda: app.here == leads_to, pilot)


async def test_the_address_lists_of_the_gateway_are_told() -> None:
    app = make_app(DATA, look=Look(screen="security"))
    async with running(app) as pilot:
        await until_shown("admin from 10.0.0.0/8", pilot)
        await until_shown("shut out   no network", pilot)


async def test_what_was_refused_lately_is_counted() -> None:
    app = make_app(DATA, look=Look(screen="security"))
    async with running(app) as pilot:
        await until_shown("2 of 3 admitted", pilot)
        app.store.receive(
            [
                {
                    "boot": "b",
                    "seq": 1,
                    "at_ms": NOW_MS,
                    "kind": "stats.sampled",
                    "data": figures(),
                },
                {"boot": "b", "seq": 2, "at_ms": NOW_MS, "kind": "auth.failed", "data": {}},
            ]
        )
        await until_shown("2xx 738, 4xx 4, 5xx 2", pilot)
        await until_shown("1 event since the start", pilot)


def test_what_holds_nobody_is_counted_of_admitted_keys_alone() -> None:
    assert list(open_ends(KEYS["data"])) == [
        "2 of 3 admitted",
        "1 from anywhere",
        "1 without an end",
    ]


def test_limits_are_written_as_they_are_given() -> None:
    assert limits_of(KEYS["data"][0]) == "rpm 60, tpm 100,000 (shadow)"
    assert limits_of(key("old")) == ""
