"""Routes, health, breakers and drains from the command line, against a real gateway."""

import asyncio
from pathlib import Path

import pytest
from openai import APIStatusError

from tests.e2e.cli import Cli
from tests.e2e.conftest import UPSTREAM_SECRET, Running
from tests.fakes.upstream import FakeUpstream


@pytest.fixture
async def cli(running: Running, fake: FakeUpstream, tmp_path: Path) -> Cli:
    """With a second provider, `spare`, at the same upstream."""
    await running.admin(
        "POST",
        "/providers",
        {
            "name": "spare",
            "type": "openai_compatible",
            "base_url": fake.base_url,
            "credential": {"secret": UPSTREAM_SECRET},
        },
    )
    await running.admin("PUT", "/prices/spare/*", {"input": "3", "output": "4"})
    return Cli(tmp_path, running.url, running.master_key)


async def add(cli: Cli, alias: str, *words: str) -> None:
    (await cli("mappings", "add", alias, *words)).ok()


async def ask(running: Running, alias: str) -> None:
    """A request to an alias by a client, and its record."""
    client = running.openai(await running.key(f"asks-{alias}"))
    await client.chat.completions.create(
        model=alias, messages=[{"role": "user", "content": "hello"}]
    )


async def test_a_mapping_is_stored_with_how_it_is_routed(cli: Cli, running: Running) -> None:
    await add(cli, "slow", "--to", "spare/fake")
    routing = ("--fallback", "rate_limit=slow", "--sticky", "session", "--breakers", "off")
    await add(cli, "fast", "--to", "fake/fake", "--strategy", "lowest-cost", *routing)
    ends = ("--stream-idle", "30s", "--stream-min-rate", "2", "--long-context", "drop_oldest")
    (await cli("mappings", "update", "fast", *ends)).ok()
    stored = await running.admin("GET", "/mappings/fast")
    assert stored["strategy"] == "lowest-cost"
    assert stored["fallbacks"] == [{"on": "rate_limit", "alias": "slow"}]
    policy = stored["policy"]
    assert (policy["sticky"], policy["breakers"], policy["stream_idle_s"]) == ("session", False, 30)
    (await cli("mappings", "update", "fast", "--stream-idle", "none", "--fallback", "none")).ok()
    stored = await running.admin("GET", "/mappings/fast")
    assert (stored["fallbacks"], stored["policy"]["stream_idle_s"]) == ([], None)
    assert stored["policy"]["long_context"] == "drop_oldest"
    (await cli("route", "set-strategy", "fast", "round-robin")).ok()
    listed = (await cli("route", "list", "--json")).ok().json["data"]
    assert {row["alias"]: row["strategy"] for row in listed}["fast"] == "round-robin"


async def test_an_explanation_follows_strategy_fallbacks_and_what_if(cli: Cli) -> None:
    await add(cli, "last", "--to", "spare/fake-n1")
    targets = ("--to", "spare/fake", "--to", "fake/fake", "--order", "0", "--order", "0")
    await add(cli, "fast", *targets, "--strategy", "lowest-cost", "--fallback", "error=last")
    explained = (await cli("route", "explain", "fast", "--json")).ok().json
    assert explained["chosen"] == {"provider": "fake", "model": "fake"}
    assert explained["by_chance"] is False
    first, second = explained["legs"]
    assert [each["rank"] for each in first["candidates"]] == [1, 2]
    assert [each["cost"] for each in first["candidates"]] == ["0.001512", "0.004024"]
    assert second["alias"] == "last"
    assert second["because"] == [{"alias": "fast", "on": "error"}]
    what_if = ("route", "explain", "fast", "--if-down", "fake")
    down = (await cli(*what_if, "-o", "table", CONDUIT_FORCE_TTY="200", NO_COLOR="1")).ok()
    assert "> 1   spare/fake" in down.out
    assert "falls back on error to last: simple" in down.out
    assert "taken as down" in down.out
    nothing = await cli(*what_if, "--if-down", "spare", "--check")
    assert (nothing.code, "nothing would take it now" in nothing.err) == (9, True)
    assert (await cli("route", "explain", "no-such-alias")).code == 5
    for verb in ("explain", "simulate"):
        unknown = await cli("route", verb, "fast", "--if-down", "nosuch")
        assert (unknown.code, unknown.out) == (2, "")
        assert "there is no provider 'nosuch'" in unknown.err


async def test_the_limit_of_an_answer_counts_in_its_cost(cli: Cli) -> None:
    await add(cli, "fast", "--to", "fake/fake")
    explained = await cli("route", "explain", "fast", "--max-tokens", "2k", "--json")
    assert explained.ok().json["legs"][0]["candidates"][0]["cost"] == "0.005"


async def test_a_key_that_may_not_use_an_alias_is_told_so(cli: Cli) -> None:
    (await cli("keys", "create", "ci", "--models", "fake*,spare/*", "--direct")).ok()
    assert (await cli("route", "explain", "fake", "--key", "ci")).code == 0
    await add(cli, "other", "--to", "fake/fake")
    assert (await cli("route", "explain", "other", "--key", "ci")).code == 4
    direct = ("route", "explain", "spare/fake-n1", "--key", "ci", "--json")
    assert (await cli(*direct)).ok().json["chosen"] == {"provider": "spare", "model": "fake-n1"}
    (await cli("keys", "update", "ci", "--no-direct")).ok()
    assert (await cli(*direct)).code == 5


async def test_what_has_no_price_is_explained_by_cost_too(cli: Cli, running: Running) -> None:
    await running.admin("DELETE", "/prices/spare/*")
    targets = ("--to", "spare/fake-free", "--to", "fake/fake", "--order", "0", "--order", "0")
    await add(cli, "fast", *targets, "--strategy", "lowest-cost")
    explained = (await cli("route", "explain", "fast", "--json")).ok().json
    (leg,) = explained["legs"]
    assert [each["score"] is None for each in leg["candidates"]] == [False, True]
    assert (await cli("route", "explain", "fast", "-o", "table")).code == 0


async def test_a_simulation_shares_by_weight(cli: Cli) -> None:
    targets = ("--to", "fake/fake", "--to", "spare/fake", "--order", "0", "--order", "0")
    await add(cli, "fast", *targets, "--weight", "3", "--strategy", "weighted")
    simulated = (await cli("route", "simulate", "fast", "--n", "4k", "--json")).ok().json
    counts = [share["count"] for share in simulated["shares"]]
    assert (sum(counts), simulated["unserved"]) == (4000, 0)
    assert 2800 < counts[0] < 3200


async def test_breakers_are_opened_and_closed_by_hand(cli: Cli) -> None:
    await add(cli, "fast", "--to", "fake/fake", "--to", "spare/fake")
    assert (await cli("breakers", "open", "fake", "--for", "5m")).code == 2
    (await cli("breakers", "open", "fake/fake", "--for", "5m", "--yes")).ok()
    assert (await cli("health", "breakers", "-q")).out == "fake\n"
    explained = (await cli("route", "explain", "fast", "--json")).ok().json
    assert explained["chosen"]["provider"] == "spare"
    assert (await cli("health", "summary", "--check", "--json")).ok().json["status"] == "degraded"
    (await cli("breakers", "open", "spare", "--yes")).ok()
    down = await cli("health", "summary", "--check")
    assert (down.code, "nothing serves fast" in down.err) == (9, True)
    (await cli("breakers", "close", "fake/fake")).ok()
    (await cli("breakers", "reset", "spare", "--credential", "default")).ok()
    assert (await cli("health", "breakers", "-q")).out == ""
    changes = (await cli("health", "history", "--since", "1h", "--json")).ok().json["data"]
    assert [(each["provider"], each["after"]) for each in changes] == [
        ("spare", "closed"),
        ("fake", "closed"),
        ("spare", "open"),
        ("fake", "open"),
    ]
    of_one = (await cli("providers", "health", "spare", "--json")).ok().json
    assert [each["after"] for each in of_one["history"]] == ["closed", "open"]
    assert [each["provider"] for each in of_one["deployments"]] == ["spare"]
    assert (await cli("breakers", "close", "nobody")).code == 5


async def test_a_drain_lets_a_running_stream_finish(
    cli: Cli, running: Running, fake: FakeUpstream
) -> None:
    client = running.openai(await running.key())
    stream = await client.chat.completions.create(
        model="fake-n30-gap100", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    pieces = 0

    async def read() -> None:
        nonlocal pieces
        async for _ in stream:
            pieces += 1

    reading = asyncio.create_task(read())
    too_short = await cli("providers", "drain", "fake", "--wait", "200ms")
    assert (too_short.code, reading.done()) == (124, False), too_short.err
    assert "1 call still in flight at fake" in too_short.err
    drained = (await cli("providers", "drain", "fake", "--json")).ok()
    assert drained.json["enabled"] is False
    await reading
    assert pieces >= 30
    assert (await running.last_record())["outcome"] == "succeeded"


async def test_a_record_tells_its_route(cli: Cli, running: Running) -> None:
    await add(cli, "last", "--to", "spare/fake-n1")
    await add(cli, "fast", "--to", "fake/fake-status500", "--fallback", "error=last")
    await ask(running, "fast")
    record = await running.last_record()
    shown = (await cli("logs", "show", record["id"], "--json")).ok().json
    first, second = shown["route"]["legs"]
    assert (first["alias"], second["alias"], second["because"]) == ("fast", "last", "error")
    *failed, served = shown["route"]["attempts"]
    assert {each["provider"] for each in failed} == {"fake"}
    assert all(each["error"] for each in failed)
    assert (served["provider"], served["because"], served["error"]) == ("spare", "error", None)
    table = await cli(
        *("logs", "show", record["id"], "--no-pager"), CONDUIT_FORCE_TTY="160", NO_COLOR="1"
    )
    assert "fell back on error to last: simple" in table.ok().out


async def test_the_record_of_a_request_that_nobody_could_serve_tells_why(
    cli: Cli, running: Running
) -> None:
    await add(cli, "fast", "--to", "spare/fake-n1")
    (await cli("providers", "disable", "spare")).ok()
    with pytest.raises(APIStatusError, match="the provider is disabled"):
        await ask(running, "fast")
    record = await running.last_record()
    assert (record["status"], record["attempts"]) == (503, 0)
    shown = (await cli("logs", "show", record["id"], "--json")).ok().json
    (leg,), called = shown["route"]["legs"], shown["route"]["attempts"]
    (why,) = leg["left_out"]
    assert (why["provider"], why["state"], why["reason"], called) == (
        *("spare", "left_out", "the provider is disabled"),
        [],
    )
    table = await cli(
        *("logs", "show", record["id"], "--no-pager"), CONDUIT_FORCE_TTY="160", NO_COLOR="1"
    )
    assert "the provider is disabled" in table.ok().out


async def test_credentials_have_shares_and_caps(cli: Cli, running: Running) -> None:
    update = ("providers", "credentials", "update", "fake", "default")
    (await cli(*update, "--weight", "2", "--max-in-flight", "4", "--rpm", "1k")).ok()
    (stored,) = (await running.admin("GET", "/providers/fake"))["credentials"]
    assert (stored["weight"], stored["max_in_flight"], stored["requests_per_minute"]) == (
        2,
        4,
        1000,
    )
    await add(cli, "fast", "--to", "fake/fake")
    explained = (await cli("route", "explain", "fast", "-o", "wide")).ok()
    assert "0/4     4" in explained.out
    (await cli(*update, "--max-in-flight", "none")).ok()
    (stored,) = (await running.admin("GET", "/providers/fake"))["credentials"]
    assert (stored["max_in_flight"], stored["requests_per_minute"]) == (None, 1000)
