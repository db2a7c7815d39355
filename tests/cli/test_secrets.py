"""Secrets stay out of output, errors, traces and arguments, wherever they come from."""

import pytest

from conduit.core.redaction import redacted, redacted_fields
from tests.cli.conftest import Shell
from tests.cli.fake_gateway import MASTER_KEY, VIRTUAL_KEY, FakeGateway, Refusal

PROVIDER_KEY = "sk-proj-CanaryCanaryCanary0000000001"


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "list", "--debug"),
        ("keys", "list", "--json"),
        ("keys", "show", "ci", "--debug"),
        ("status", "--debug"),
        ("doctor",),
        ("context", "list"),
        ("context", "show"),
        ("auth", "whoami"),
        ("config", "path"),
        ("providers", "add", "openai", "--key-env", "CANARY", "--dry-run"),
        ("providers", "add", "openai", "--key-env", "CANARY"),
    ],
    ids=" ".join,
)
def test_no_command_shows_a_key_that_it_was_given(
    shell: Shell, gateway: FakeGateway, arguments: tuple[str, ...]
) -> None:
    gateway.add("keys", name="ci")
    outcome = shell(*arguments, CANARY=PROVIDER_KEY)
    for secret in (MASTER_KEY, VIRTUAL_KEY, PROVIDER_KEY):
        assert secret not in outcome.out + outcome.err


@pytest.mark.parametrize("form", ["--json", "--debug"])
def test_a_key_in_an_error_of_the_gateway_is_shortened(
    shell: Shell, gateway: FakeGateway, form: str
) -> None:
    message = f"refused Bearer {PROVIDER_KEY} and {MASTER_KEY}"
    gateway.failing = [Refusal(500, "internal_error", message, f"try {VIRTUAL_KEY}")]
    outcome = shell("keys", "list", form)
    for secret in (MASTER_KEY, VIRTUAL_KEY, PROVIDER_KEY):
        assert secret not in outcome.err
        assert secret[-4:] in outcome.err


def test_a_trace_holds_no_key(shell: Shell, gateway: FakeGateway) -> None:
    gateway.tables["keys"] = [{VIRTUAL_KEY: 1}]
    outcome = shell("keys", "list", "--debug", "--fields", "id", "--sort", "id.x", "--all")
    traces = shell.home / "conduit/state/traces"
    texts = [path.read_text() for path in traces.glob("*")] if traces.exists() else []
    for secret in (MASTER_KEY, VIRTUAL_KEY):
        assert all(secret not in text for text in [*texts, outcome.err])


def test_there_is_no_option_that_takes_a_key_as_its_value(shell: Shell) -> None:
    for command in (("providers", "add"), ("auth", "login"), ("context", "add"), ("chat",)):
        assert shell(*command, "--key", PROVIDER_KEY).code == 2
        assert shell(*command, "--api-key", PROVIDER_KEY).code == 2


@pytest.mark.parametrize(
    "flags", [("--key-stdin", "--key-env", "X"), ("--key-file", "f", "--env", "X")]
)
def test_a_key_is_given_once(shell: Shell, flags: tuple[str, ...]) -> None:
    assert shell("providers", "add", "openai", *flags, stdin="k").code == 2


def test_redaction_keeps_the_prefix_and_the_last_four() -> None:
    assert redacted(f"key {PROVIDER_KEY}.") == "key sk-...0001."
    assert redacted(VIRTUAL_KEY) == f"condt_...{VIRTUAL_KEY[-4:]}"
    assert redacted("nothing secret here, task-force") == "nothing secret here, task-force"
    fields = {"credential": {"secret": "x", "env": None}, "list": [{"api_key": "y"}]}
    assert redacted_fields(fields) == {
        "credential": {"secret": "***", "env": None},
        "list": [{"api_key": "***"}],
    }
