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
    assert gateway.requests("PATCH")[-1].body == {
        "limits": [{"kind": "tpd", "limit": 9000, "shadow": True}]
    }
    assert conduit("mappings", "update", "fast", "--rpm", "many").code == 2
    assert conduit("mappings", "update", "fast", "--concurrent", "5,burst=2").code == 2
