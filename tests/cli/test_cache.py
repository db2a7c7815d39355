"""Answers that are kept, from the command line."""

import json

from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway


def test_stats_show_what_is_kept_and_what_it_avoided(shell: Shell) -> None:
    people = shell("cache", "stats", CONDUIT_FORCE_TTY="140", NO_COLOR="1").out
    record, _, aliases = people.partition("\n\n")
    assert "1,200" in record
    assert "67.1 MB" in record
    assert "75%" in record
    assert "aliases" not in record
    heading, row = aliases.splitlines()
    assert heading.split()[:3] == ["ALIAS", "ENTRIES", "SIZE"]
    assert row.split()[0] == "gpt-*"
    assert "$1.50" in row
    shown = json.loads(shell("cache", "stats", "--json").out)
    assert shown["aliases"][0]["hits"] == 3


def test_clear_asks_and_says_how_many(conduit: Conduit, gateway: FakeGateway) -> None:
    assert conduit("cache", "clear").code == 2  # nobody can be asked
    assert not gateway.requests("POST")
    outcome = conduit("cache", "clear", "--yes", "--json")
    assert (outcome.code, json.loads(outcome.out)) == (0, {"cleared": 12})
    assert gateway.requests("POST")[-1].body == {}
    assert "forgot 12 answers" in conduit("cache", "clear", "--yes").err


def test_clear_takes_an_alias_a_key_and_an_age(conduit: Conduit, gateway: FakeGateway) -> None:
    key = gateway.add("keys", name="ci")
    chosen = ("cache", "clear", "-m", "gpt-*", "--key", "ci", "--older", "10m")
    assert conduit(*chosen, "--yes").code == 0
    (sent,) = gateway.requests("POST")
    assert sent.path == "/admin/cache/clear"
    assert sent.body == {"alias": "gpt-*", "key": key["id"], "older_than_s": 600}
    dry = conduit(*chosen, "--dry-run")
    assert dry.code == 0
    assert len(gateway.requests("POST")) == 1
    assert conduit("cache", "clear", "--older", "soon", "--yes").code == 2
    assert conduit("cache", "clear", "--key", "none", "--yes").code == 5
