"""Where requests would go, as the command line tells it."""

import json
from typing import Any, get_args

import pytest

from conduit.cli.failures import Failure
from conduit.cli.routing.policies import fallbacks_of
from conduit.core import policies
from conduit.core.resources.mappings import FallbackCause, MappingPolicy, Strategy
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway
from tests.cli.test_completion import offered


def deployment(gateway: FakeGateway, **fields: Any) -> dict[str, Any]:
    row = gateway.add("deployments", **fields)
    gateway.tables.pop("deployments")
    return row


def candidate(gateway: FakeGateway, provider: str, **fields: Any) -> dict[str, Any]:
    usual = {
        "provider": provider,
        "model": "gpt-4o",
        "order": 0,
        "weight": 1,
        "rank": None,
        "score": None,
        "state": "ready",
        "reason": None,
        "cost": "0.0125",
        "deployments": [deployment(gateway, provider=provider, in_flight=3, cap=8)],
    }
    return usual | fields


@pytest.fixture
def explained(gateway: FakeGateway) -> dict[str, Any]:
    """`fast` goes to openai, could go to azure, not to old; it falls back to `slow`."""
    first = candidate(gateway, "openai", rank=1, score=0.25, weight=3)
    open_one = deployment(gateway, provider="azure", breaker="open")
    second = candidate(
        gateway,
        "azure",
        state="breaker_open",
        reason="its breaker is open",
        deployments=[open_one, {**open_one, "breaker": "closed"}],
    )
    third = candidate(
        gateway, "old", state="left_out", reason="the provider is disabled", deployments=[]
    )
    leg = {
        "alias": "fast",
        "strategy": "weighted",
        "sticky": "session",
        "because": [],
        "chosen": {"provider": "openai", "model": "gpt-4o"},
        "by_chance": True,
        "cuts": False,
        "candidates": [first, second, third],
    }
    fallback: dict[str, Any] = {
        "alias": "slow",
        "strategy": "simple",
        "sticky": "off",
        "because": [{"alias": "fast", "on": "rate_limit"}],
        "chosen": None,
        "by_chance": False,
        "cuts": False,
        "candidates": [],
    }
    answer = {
        "alias": "fast",
        "chosen": leg["chosen"],
        "by_chance": True,
        "legs": [leg, fallback],
    }
    gateway.answers["explain"] = answer
    return answer


def test_the_words_are_those_of_the_api() -> None:
    assert get_args(Strategy) == policies.STRATEGIES
    assert get_args(FallbackCause) == policies.FALLBACK_CAUSES
    fields = MappingPolicy.model_fields
    assert get_args(fields["sticky"].annotation) == policies.STICKY
    assert get_args(fields["long_context"].annotation) == policies.LONG_CONTEXT
    unknown, _ = get_args(fields["unknown_price"].annotation)
    assert get_args(unknown) == policies.UNKNOWN_PRICE


def test_people_get_a_table_for_each_alias_on_the_way(
    shell: Shell, explained: dict[str, Any]
) -> None:
    outcome = shell("route", "explain", "fast", CONDUIT_FORCE_TTY="200", NO_COLOR="1")
    assert outcome.code == 0, outcome.err
    heading, titles, first, second, third, blank, fallback = outcome.out.splitlines()
    assert heading == "fast: weighted, sticky by session"
    assert titles.split()[:4] == ["RANK", "TARGET", "STATE", "BREAKER"]
    assert first.startswith("> 1   openai/gpt-4o")
    for part in ("ready", "closed", "3/8     5", "310ms", "88.2", "$0.012", "0.25"):
        assert part in first
    assert second.startswith("  -   azure/gpt-4o")
    assert second.endswith("its breaker is open")
    assert "open, closed" in second
    assert third.endswith("the provider is disabled")
    assert (blank, fallback) == ("", "falls back on rate_limit to slow: simple")
    assert "it would go to openai/gpt-4o; chance decides" in outcome.err
    assert "conduit route simulate fast" in outcome.err


def test_every_way_to_an_alias_is_told(shell: Shell, explained: dict[str, Any]) -> None:
    _, slow = explained["legs"]
    slow["because"] += [{"alias": "fast", "on": "timeout"}, {"alias": "mid", "on": "error"}]
    slow["cuts"] = True
    table = shell("route", "explain", "fast", CONDUIT_FORCE_TTY="200", NO_COLOR="1").out
    assert table.splitlines()[-1] == (
        "falls back on rate_limit or timeout and from mid on error to slow: "
        "simple, without the oldest turns of the prompt"
    )


def test_programs_get_what_the_api_answers(conduit: Conduit, explained: dict[str, Any]) -> None:
    assert json.loads(conduit("route", "explain", "fast", "--json").out) == explained
    assert conduit("route", "explain", "fast", "-q").out == "fast\n"
    fields = conduit("route", "explain", "fast", "--fields", "chosen.provider").out
    assert fields == "chosen.provider\topenai\n"


def test_the_question_says_what_was_asked(
    conduit: Conduit, gateway: FakeGateway, explained: dict[str, Any]
) -> None:
    conduit("route", "explain", "fast")
    assert gateway.seen[-1].body == {"alias": "fast"}
    conduit(
        *("route", "explain", "fast", "--key", "ci", "--tokens", "8k", "--max-tokens", "2k"),
        *("--caps", "vision,tools"),
        *("--if-down", "openai", "--if-down", "azure", "--session", "s1", "--operation", "chat"),
    )
    assert gateway.seen[-1].body == {
        "alias": "fast",
        "key": "ci",
        "tokens": 8000,
        "max_tokens": 2000,
        "caps": ["vision", "tools"],
        "if_down": ["openai", "azure"],
        "session": "s1",
        "operation": "chat",
    }


def test_nothing_that_takes_it_is_a_negative_check_where_that_is_asked(
    conduit: Conduit, explained: dict[str, Any]
) -> None:
    assert conduit("route", "explain", "fast", "--check").code == 0
    explained["chosen"] = None
    outcome = conduit("route", "explain", "fast")
    assert (outcome.code, "nothing would take it now" in outcome.err) == (0, True)
    assert conduit("route", "explain", "fast", "--check", "--json").code == 9


@pytest.fixture
def simulated(gateway: FakeGateway) -> dict[str, Any]:
    shares = [
        {"provider": "a", "model": "m", "count": 7500, "share": 0.75},
        {"provider": "b", "model": "m", "count": 2000, "share": 0.2},
    ]
    answer = {
        "alias": "fast",
        "strategy": "weighted",
        "n": 10000,
        "unserved": 500,
        "shares": shares,
    }
    gateway.answers["simulate"] = answer
    return answer


def test_a_simulation_shows_shares_with_bars(
    conduit: Conduit, shell: Shell, gateway: FakeGateway, simulated: dict[str, Any]
) -> None:
    outcome = shell("route", "simulate", "fast", CONDUIT_FORCE_TTY="120", NO_COLOR="1")
    _, first, second = outcome.out.splitlines()
    assert first.split() == ["a", "m", "7,500", "75.0%", "█" * 30 + "·" * 10]
    assert second.split()[-1] == "█" * 8 + "·" * 32
    assert "nothing would take 500 requests" in outcome.err
    assert "10,000 requests by weighted" in outcome.err
    plain = shell("route", "simulate", "fast", PYTHONIOENCODING="ascii", CONDUIT_FORCE_TTY="120")
    assert "#" * 30 + "." * 10 in plain.out
    assert conduit("route", "simulate", "fast").out == "a\tm\t7500\t0.75\nb\tm\t2000\t0.2\n"
    assert json.loads(conduit("route", "simulate", "fast", "--json").out) == simulated
    conduit("route", "simulate", "fast", "--n", "100k", "--tokens", "5")
    assert gateway.seen[-1].body == {"alias": "fast", "n": 100_000, "tokens": 5}


def test_routes_are_listed_with_strategy_targets_fallbacks_and_policy(
    shell: Shell, conduit: Conduit, gateway: FakeGateway
) -> None:
    targets = [
        {"provider": provider, "model": "m", "order": order, "weight": weight}
        for provider, order, weight in (("c", 1, 1), ("a", 0, 3), ("b", 0, 1))
    ]
    gateway.add(
        "mappings",
        alias="fast",
        targets=targets,
        strategy="weighted",
        fallbacks=[{"on": "timeout", "alias": "slow"}, {"on": "error", "alias": "other"}],
        policy={
            **MappingPolicy().model_dump(),
            "sticky": "user",
            "breakers": False,
            "stream_idle_s": 30.0,
            "stream_min_tokens_per_s": 2.5,
        },
    )
    table = shell("route", "list", CONDUIT_FORCE_TTY="220", NO_COLOR="1").out
    assert "a/m x3, b/m > c/m" in table
    assert "timeout=slow, error=other" in table
    assert "sticky user, breakers off, stream-idle 30, stream-min-rate 2.5" in table
    shown = shell("route", "show", "fast", CONDUIT_FORCE_TTY="220", NO_COLOR="1").out
    assert "sticky user, breakers off" in shown
    assert conduit("route", "list", "-q").out == "fast\n"


def test_a_strategy_is_set(conduit: Conduit, gateway: FakeGateway) -> None:
    row = gateway.add("mappings", alias="fast", targets=[])
    outcome = conduit("route", "set-strategy", "fast", "least-used")
    assert (outcome.code, row["strategy"]) == (0, "least-used")
    assert "fast is routed by least-used" in outcome.err
    refused = conduit("route", "set-strategy", "fast", "best")
    assert refused.code == 2
    assert "lowest-cost or lowest-latency is expected" in refused.err
    planned = conduit("route", "set-strategy", "fast", "simple", "--dry-run")
    assert (planned.code, row["strategy"]) == (0, "least-used")


def test_a_strategy_that_has_nothing_to_choose_among_says_so(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    targets = [{"provider": name, "model": "m", "order": place} for place, name in enumerate("ab")]
    gateway.add("mappings", alias="fast", targets=targets)
    outcome = conduit("route", "set-strategy", "fast", "weighted")
    assert "each of its targets has an order of its own" in outcome.err
    assert "conduit mappings update fast --order 0 --order 0" in outcome.err
    outcome = conduit("route", "set-strategy", "fast", "simple")
    assert "order of its own" not in outcome.err


@pytest.mark.parametrize("text", ["error", "error=", "cold=slow", "=slow"])
def test_what_is_no_fallback_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="--fallback: CAUSE=ALIAS"):
        fallbacks_of([text])


def test_strategies_are_offered_to_a_shell(shell: Shell) -> None:
    words = offered(shell, "conduit route set-strategy fast ")
    assert words == list(policies.STRATEGIES)


ROUTING = (
    *("--strategy", "weighted", "--fallback", "rate_limit=other", "--fallback", "error=slow"),
    *("--sticky", "session", "--breakers", "off", "--long-context", "drop_oldest"),
    *("--stream-idle", "30s", "--stream-min-rate", "2.5"),
)


def test_a_mapping_is_made_and_changed_with_how_it_is_routed(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    said = {
        "strategy": "weighted",
        "fallbacks": [{"on": "rate_limit", "alias": "other"}, {"on": "error", "alias": "slow"}],
        "policy": {
            "sticky": "session",
            "breakers": False,
            "long_context": "drop_oldest",
            "stream_idle_s": 30.0,
            "stream_min_tokens_per_s": 2.5,
        },
    }
    assert conduit("mappings", "add", "fast", "--to", "a/m", *ROUTING).code == 0
    body = gateway.requests("POST")[-1].body
    assert {name: body[name] for name in said} == said
    assert conduit("mappings", "update", "fast", *ROUTING).code == 0
    assert gateway.requests("PATCH")[-1].body == said  # the targets stay as they are
    less = ("--stream-idle", "none", "--stream-min-rate", "none", "--fallback", "none")
    assert conduit("mappings", "update", "fast", *less).code == 0
    assert gateway.requests("PATCH")[-1].body == {
        "fallbacks": [],
        "policy": {"stream_idle_s": None, "stream_min_tokens_per_s": None},
    }
    gateway.tables["mappings"][0]["targets"] = []
    wide = conduit("mappings", "list", "-o", "wide").out
    assert "FALLS BACK" in wide
    assert "POLICY" in wide


@pytest.mark.parametrize(
    "flags",
    [
        ("--strategy", "best"),
        ("--sticky", "glue"),
        ("--breakers", "maybe"),
        ("--long-context", "x"),
        ("--stream-idle", "soon"),
        ("--stream-min-rate", "fast"),
        ("--fallback", "none", "--fallback", "error=slow"),
        (),
    ],
    ids=" ".join,
)
def test_routing_that_there_is_not_is_refused_here(
    conduit: Conduit, gateway: FakeGateway, flags: tuple[str, ...]
) -> None:
    gateway.add("mappings", alias="fast", targets=[])
    assert conduit("mappings", "update", "fast", *flags).code == 2
    assert gateway.requests("PATCH") == []
