"""Shares and caps of a provider's credentials, from the command line."""

import pytest

from tests.cli.conftest import Conduit
from tests.cli.fake_gateway import FakeGateway


@pytest.fixture(autouse=True)
def provider(gateway: FakeGateway) -> None:
    gateway.add("providers", name="main", type="openai")


def test_a_credential_is_added_with_its_share_and_caps(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    add = ("providers", "credentials", "add", "main", "--env", "KEY")
    limits = ("--weight", "3", "--max-in-flight", "8", "--rpm", "1k")
    conduit(*add, *limits)
    assert gateway.requests("POST")[-1].body == {
        "name": "default",
        "env": "KEY",
        "weight": 3,
        "max_in_flight": 8,
        "requests_per_minute": 1000,
    }


def test_limits_change_without_the_key_and_none_takes_a_cap_away(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    limits = {"weight": 1, "max_in_flight": 8, "requests_per_minute": None}
    gateway.add("credentials", name="spare", state="ready", source="env:K", primary=True, **limits)
    update = ("providers", "credentials", "update", "main", "spare")
    outcome = conduit(*update, "--weight", "0", "--max-in-flight", "none")
    assert outcome.code == 0, outcome.err
    assert gateway.requests("PATCH")[-1].body == {"weight": 0, "max_in_flight": None}
    assert "credential spare of main has other limits" in outcome.err
    assert conduit(*update).code == 2  # nobody can be asked for a key
    assert conduit(*update, "--rpm", "few").code == 2
    table = conduit("providers", "credentials", "list", "main", "-o", "table").out
    assert {"WEIGHT", "RPM"} <= set(table.split())
