"""What a model can do: said of the targets of a mapping, and looked for in the list of models."""

import json
from dataclasses import fields
from typing import Any

import pytest

from conduit.cli.failures import Failure
from conduit.cli.routing.targets import capabilities_of, capabilities_text
from conduit.core.capabilities import ABILITIES, SIZES
from conduit.core.resources.models import ModelCapabilities
from conduit.gateway.capabilities import Capabilities
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway
from tests.cli.test_completion import offered


def test_the_command_line_the_api_and_the_gateway_know_the_same_ones() -> None:
    for kind in (ModelCapabilities, Capabilities):
        assert [field.name for field in fields(kind)] == [*ABILITIES, *SIZES]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vision", {"vision": True}),
        ("vision,no-audio", {"vision": True, "audio": False}),
        ("schema=unknown,context_tokens=128000", {"schema": None, "context_tokens": 128_000}),
        ("", {}),
    ],
)
def test_capabilities_are_said_in_a_line(text: str, said: dict[str, Any]) -> None:
    assert capabilities_of(text) == said
    assert capabilities_text(said) == text


@pytest.mark.parametrize(
    "text", ["flying", "no-context_tokens", "context_tokens", "vision=5", "context_tokens=0", "-x"]
)
def test_what_is_no_capability_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="--caps"):
        capabilities_of(text)


def test_a_new_mapping_says_what_its_targets_can_do(conduit: Conduit, gateway: FakeGateway) -> None:
    add = ("mappings", "add", "fast", "--to", "a/m", "--to", "b/n")
    assert conduit(*add, "--caps", "no-vision,context_tokens=8k").code == 0
    first, second = gateway.requests("POST")[-1].body["targets"]
    assert first["capabilities"] == {"vision": False, "context_tokens": 8000}
    assert "capabilities" not in second
    assert conduit(*add, *("--caps", "vision") * 3).code == 2


def test_capabilities_change_without_naming_the_targets_again(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    second = {"provider": "b", "model": "n", "order": 1, "weight": 2, "params": {"top_p": 1}}
    first = {"provider": "a", "model": "m", "order": 0, "weight": 1, "params": {}}
    gateway.add("mappings", alias="fast", targets=[second, first])
    assert conduit("mappings", "update", "fast", "--caps", "tools").code == 0
    body = gateway.requests("PATCH")[-1].body
    targets = [{**first, "capabilities": {"tools": True}}, second]
    assert body == {"targets": targets, "version": 1}
    shown = conduit("mappings", "show", "fast", "-o", "wide").out
    assert "tools; -" in shown
    assert conduit("mappings", "update", "fast").code == 2


def test_models_are_listed_by_capability(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.tables["models"] = []
    assert conduit("models", "list", "--capability", "vision, tools", "--json").code == 0
    assert gateway.seen[-1].query["capability"] == ["vision,tools"]
    refused = conduit("models", "list", "--capability", "flying", "--json")
    assert refused.code == 2
    assert "vision" in json.loads(refused.err)["error"]["message"]


def test_a_shell_is_offered_the_next_capability(shell: Shell) -> None:
    assert "vision" in offered(shell, "conduit models list --capability ")
    assert offered(shell, "conduit models list --capability vision,to") == ["vision,tools"]
    assert offered(shell, "conduit mappings add x --caps tools,too") == []


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("temperature=0.2,service_tier=flex", {"temperature": 0.2, "service_tier": "flex"}),
        ('{"stop": ["a", "b"]}', {"stop": ["a", "b"]}),
    ],
)
def test_fields_that_a_target_is_sent_are_named_in_two_ways(
    conduit: Conduit, gateway: FakeGateway, text: str, params: dict[str, object]
) -> None:
    add = ("mappings", "add", "fast", "--to", "a/m", "--to", "b/n")
    assert conduit(*add, "--params", text).code == 0
    first, second = gateway.requests("POST")[-1].body["targets"]
    assert first["params"] == params
    assert "params" not in second
    assert conduit(*add, *("--params", text) * 3).code == 2


@pytest.mark.parametrize("text", ["temperature", "{broken"])
def test_what_is_no_field_is_refused(conduit: Conduit, text: str) -> None:
    outcome = conduit("mappings", "add", "fast", "--to", "a/m", "--params", text)
    assert outcome.code == 2
    assert "--params" in outcome.err
