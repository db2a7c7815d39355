"""Rate limits of mappings and of the gateway, as commands give and show them."""

from tests.cli.conftest import Conduit
from tests.cli.fake_gateway import FakeGateway


def test_the_limits_of_an_alias_are_given_and_taken_away_one_by_one(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    made = conduit("mappings", "add", "fast", "--to", "openai/gpt-4o", "--rpm", "600,closed")
    assert made.code == 0
    given = {"kind": "rpm", "limit": 600, "on_store_down": "closed"}
    assert gateway.requests("POST")[-1].body["limits"] == [given]
    told = {"burst": None, "shadow": False, "timezone": "UTC"}
    target = {"provider": "openai", "model": "gpt-4o", "order": 0, "weight": 1}
    gateway.tables["mappings"][0] |= {
        "targets": [target],
        "limits": [{**told, **given, "remaining": 9, "exceeded": 0}],
    }
    assert "9/600 rpm closed" in conduit("mappings", "list", "-o", "wide").out
    changed = conduit("mappings", "update", "fast", "--tpd", "9000,shadow", "--rpm", "none")
    assert changed.code == 0
    # The others go along as they were read, so the version that was read does too.
    assert gateway.requests("PATCH")[-1].body == {
        "limits": [{"kind": "tpd", "limit": 9000, "shadow": True}],
        "version": 1,
    }
    assert conduit("mappings", "update", "fast", "--rpm", "many").code == 2
    assert conduit("mappings", "update", "fast", "--concurrent", "5,burst=2").code == 2


def test_limits_for_one_model_stand_beside_those_for_all(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    made = conduit("keys", "create", "ci", "--rpm", "600", "--rpm", "60,model=gpt-4o")
    assert made.code == 0
    every, one = {"kind": "rpm", "limit": 600}, {"kind": "rpm", "limit": 60, "model": "gpt-4o"}
    assert gateway.requests("POST")[-1].body["limits"] == [every, one]
    told = {"burst": None, "shadow": False, "timezone": "UTC", "on_store_down": "degrade"}
    moment = {"remaining": 9, "exceeded": 0}
    both = [{**told, "model": None, **every, **moment}, {**told, **one, **moment}]
    gateway.tables["keys"][0]["limits"] = both
    shown = conduit("keys", "list", "-o", "wide").out
    assert "9/600 rpm, 9/60 rpm of gpt-4o" in shown
    name = gateway.tables["keys"][0]["name"]
    assert conduit("keys", "update", name, "--rpm", "none,model=gpt-4o").code == 0
    assert gateway.requests("PATCH")[-1].body["limits"] == [{**told, "model": None, **every}]
    gateway.tables["keys"][0]["limits"] = both
    assert conduit("keys", "update", name, "--rpm", "none").code == 0
    assert gateway.requests("PATCH")[-1].body["limits"] == [{**told, **one}]
    refused = conduit("keys", "update", name, "--rpm", "5", "--rpm", "6")
    assert (refused.code, "rpm is there twice" in refused.err) == (2, True)
    assert conduit("keys", "update", name, "--rpm", "none,burst=5").code == 2
