"""What each command sends, prints and says."""

import json
import os
from pathlib import Path

import pytest

from conduit.core.keys import is_master_key
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import MASTER_KEY, VIRTUAL_KEY, FakeGateway


def test_a_created_key_is_all_that_quiet_prints(shell: Shell, gateway: FakeGateway) -> None:
    outcome = shell("keys", "create", "ci", "--budget", "5", "-q")
    assert outcome.out == f"{VIRTUAL_KEY}\n"
    assert outcome.err == ""
    assert gateway.seen[-1].body == {"name": "ci", "budget": {"limit": "5.00", "period": "total"}}


def test_a_created_key_is_shown_once_with_a_reminder(conduit: Conduit) -> None:
    outcome = conduit("keys", "create", "ci", "--models", "a,b")
    assert outcome.out.count(VIRTUAL_KEY) == 1
    assert VIRTUAL_KEY not in outcome.err
    assert "cannot be shown again" in outcome.err
    assert json.loads(conduit("keys", "create", "x", "--json").out)["secret"] == VIRTUAL_KEY


def test_a_created_key_goes_to_a_private_file_when_told_so(
    conduit: Conduit, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    outcome = conduit("keys", "create", "ci", "--out", str(path))
    assert path.read_text() == f"{VIRTUAL_KEY}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert VIRTUAL_KEY not in outcome.out + outcome.err
    assert conduit("keys", "create", "c2", "--out", str(path)).code == 2


def test_a_key_expires_after_a_duration_and_never_again(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    conduit("keys", "create", "ci", "--expires", "30d")
    assert gateway.seen[-1].body["expires_at"].endswith("Z")
    assert conduit("keys", "update", "ci", "--expires", "never").code == 0
    assert gateway.requests("PATCH")[-1].body == {"expires_at": None}
    assert conduit("keys", "create", "x", "--expires", "soon").code == 2


@pytest.mark.parametrize("amount", ["-5", "5e3", "five", "1.0000000001"])
def test_an_amount_that_is_none_is_refused_before_anything_is_sent(
    conduit: Conduit, gateway: FakeGateway, amount: str
) -> None:
    assert conduit("keys", "create", "ci", f"--budget={amount}").code == 2
    assert gateway.requests("POST") == []


def test_a_new_budget_of_a_key_changes_the_old_one_or_makes_one(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    budget = gateway.add("budgets", scope={"kind": "key", "id": "k"}, limit="5.00")
    key = gateway.add("keys", name="ci", budgets=[budget])
    conduit("keys", "update", "ci", "--budget", "$10")
    assert gateway.requests("PATCH")[-1].body == {"limit": "10.00"}
    key["budgets"] = []
    conduit("keys", "update", "ci", "--budget", "7")
    assert gateway.requests("POST")[-1].body == {
        "scope": {"kind": "key", "id": key["id"]},
        "period": "total",
        "limit": "7.00",
    }


def test_a_record_is_named_by_id_name_or_unambiguous_prefix(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    one = gateway.add("keys", name="production-eu")
    gateway.add("keys", name="production-us")
    assert conduit("keys", "show", one["id"], "-q").out == f"{one['id']}\n"
    assert conduit("keys", "show", "production-e", "-q").out == f"{one['id']}\n"
    ambiguous = conduit("keys", "show", "production")
    assert ambiguous.code == 2
    assert "production-eu" in ambiguous.err
    assert "production-us" in ambiguous.err
    assert conduit("keys", "show", "pro").code == 5


def test_a_dry_run_prints_the_request_and_sends_no_change(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("keys", name="ci")
    outcome = conduit("keys", "disable", "ci", "--dry-run")
    assert outcome.out.startswith("PATCH /admin/keys/key_")
    assert "- enabled: true\n+ enabled: false\n" in outcome.out
    plan = json.loads(conduit("keys", "disable", "ci", "--dry-run", "--json").out)
    assert plan["changes"] == {"enabled": [True, False]}
    assert conduit("keys", "delete", "ci", "--dry-run").out.startswith("DELETE ")
    assert gateway.requests("PATCH") == gateway.requests("DELETE") == []


def test_deleting_needs_yes_where_nobody_can_be_asked(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("keys", name="ci")
    refused = conduit("keys", "delete", "ci")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert conduit("keys", "rm", "ci", "--yes").code == 0
    assert gateway.tables["keys"] == []


def test_names_come_from_stdin_with_a_dash(shell: Shell, gateway: FakeGateway) -> None:
    for name in ("a", "b", "c"):
        gateway.add("keys", name=name)
    ids = shell("keys", "list", "-q").out
    outcome = shell("keys", "disable", "-", "-q", stdin=ids)
    assert outcome.code == 0
    assert [row["enabled"] for row in gateway.tables["keys"]] == [False] * 3


def test_a_provider_is_added_tested_and_its_key_comes_from_stdin(
    shell: Shell, gateway: FakeGateway
) -> None:
    secret = "sk-provider-secret-000000000001"
    outcome = shell("providers", "add", "openai", "--name", "main", "--key-stdin", stdin=secret)
    assert outcome.code == 0
    body = gateway.requests("POST")[0].body
    assert body == {"name": "main", "type": "openai", "credential": {"secret": secret}}
    assert gateway.requests("POST")[1].path.endswith("/test")
    assert secret not in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("flags", "credential"),
    [
        (("--env", "OPENAI_API_KEY"), {"env": "OPENAI_API_KEY"}),
        (("--file", "/run/secrets/key"), {"file": "/run/secrets/key"}),
        (("--key-env", "MY_KEY"), {"secret": "sk-of-the-environment"}),
    ],
)
def test_a_provider_credential_is_a_reference_or_a_secret(
    shell: Shell, gateway: FakeGateway, flags: tuple[str, ...], credential: dict[str, str]
) -> None:
    outcome = shell(
        "providers", "add", "openai", "--no-test", *flags, MY_KEY="sk-of-the-environment"
    )
    assert outcome.code == 0
    assert gateway.requests("POST")[0].body["credential"] == credential


def test_a_missing_provider_key_is_never_asked_for_off_a_terminal(
    shell: Shell, gateway: FakeGateway
) -> None:
    outcome = shell("providers", "add", "openai")
    assert outcome.code == 2
    assert "--key-stdin" in outcome.err
    assert gateway.requests("POST") == []


def test_a_provider_that_fails_its_first_test_is_left_disabled(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.tested_ok = False
    outcome = conduit("providers", "add", "simulator")
    assert outcome.code == 7
    assert gateway.tables["providers"][0]["enabled"] is False


def test_an_unknown_provider_type_names_those_that_exist(conduit: Conduit) -> None:
    outcome = conduit("providers", "add", "opnai")
    assert outcome.code == 2
    assert "openai, simulator" in outcome.err


def test_models_of_a_provider_are_imported_as_mappings(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("providers", name="main", type="openai")
    assert conduit("providers", "models", "main", "--import").code == 0
    assert gateway.tables["mappings"][0]["targets"] == [{"provider": "main", "model": "m/1"}]


def test_a_mapping_keeps_its_targets_in_order(conduit: Conduit, gateway: FakeGateway) -> None:
    conduit("mappings", "add", "fast", "--to", "a/m", "--to", "b/n/o", "--weight", "3")
    assert gateway.requests("POST")[0].body == {
        "alias": "fast",
        "targets": [
            {"provider": "a", "model": "m", "weight": 3},
            {"provider": "b", "model": "n/o"},
        ],
    }


@pytest.mark.parametrize(
    "arguments",
    [("add", "x"), ("add", "x", "--to", "nomodel"), ("add", "x", "--to", "a/b", "--weight", "x")],
)
def test_a_mapping_without_a_proper_target_is_a_usage_error(
    conduit: Conduit, arguments: tuple[str, ...]
) -> None:
    assert conduit("mappings", *arguments).code == 2


def test_an_alias_with_slashes_is_one_step_of_the_path(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("mappings", alias="meta/llama 3", targets=[])
    assert conduit("mappings", "show", "meta/llama 3").code == 0
    assert gateway.seen[-1].path == "/admin/mappings/meta%2Fllama%203"


@pytest.mark.parametrize(
    ("per", "given", "sent"),
    [("1M", "2.50", "2.50"), ("1K", "0.0025", "2.50"), ("1", "0.0000025", "2.50")],
)
def test_a_price_is_sent_per_million_whatever_it_was_given_for(
    conduit: Conduit, gateway: FakeGateway, per: str, given: str, sent: str
) -> None:
    outcome = conduit(
        "prices", "set", "main/m/1", "--input", given, "--output", "10", "--per", per, "-o", "json"
    )
    assert outcome.code == 0
    seen = gateway.requests("PUT")[0]
    assert seen.path == "/admin/prices/main/m%2F1"
    assert seen.body["input"] == sent
    assert json.loads(outcome.out)["input"] == sent


def test_a_price_is_removed(conduit: Conduit, gateway: FakeGateway) -> None:
    conduit("prices", "set", "main/m", "--input", "1", "--output", "2")
    assert conduit("prices", "remove", "main/m", "--yes").code == 0
    assert gateway.tables["prices"] == []


def test_logs_filters_are_one_expression(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.add("requests", id="req_1")
    conduit("logs", "list", "--filter", "cost:>1", "--key", "my key", "--status", ">=400")
    assert gateway.seen[-1].query["filter"] == ['cost:>1 key:"my key" status:>=400']


def test_logs_since_ends_where_older_ones_begin(
    conduit: Conduit, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.add("requests", id="req_new", at="2999-01-01T00:00:00.000Z")
    gateway.add("requests", id="req_old", at="2001-01-01T00:00:00.000Z")
    assert conduit("logs", "list", "--since", "10m", "-q").out == "req_new\n"
    tail = conduit("logs", "tail", "--since", "10m", "--no-follow", "-o", "jsonl")
    assert json.loads(tail.out)["id"] == "req_new"
    monkeypatch.setenv("CONDUIT_FORCE_TTY", "160")
    monkeypatch.setenv("NO_COLOR", "1")
    line = conduit("logs", "tail", "--since", "10m", "--no-follow").out
    assert "  200  gpt-4o -> openai/gpt-4o  812ms  1,204 tok  $0.0041  ci  req_new" in line


def test_a_refused_change_through_a_read_only_context_sends_nothing(
    shell: Shell, gateway: FakeGateway
) -> None:
    del shell.environment["CONDUIT_URL"], shell.environment["CONDUIT_MASTER_KEY"]
    shell(
        "context",
        "add",
        "prod",
        "--url",
        gateway.url,
        "--read-only",
        "--key-stdin",
        stdin=MASTER_KEY,
    )
    assert shell("keys", "list").code == 0
    assert shell("keys", "create", "x").code == 4
    assert gateway.requests("POST") == []


def test_login_checks_the_key_and_keeps_it_private(shell: Shell, gateway: FakeGateway) -> None:
    del shell.environment["CONDUIT_URL"], shell.environment["CONDUIT_MASTER_KEY"]
    wrong = shell("auth", "login", "prod", "--url", gateway.url, "--key-stdin", stdin="wrong-key")
    assert wrong.code == 4
    assert not (shell.home / "conduit/credentials.toml").exists()
    right = shell("auth", "login", "prod", "--url", gateway.url, "--key-stdin", stdin=MASTER_KEY)
    assert right.code == 0
    path = shell.home / "conduit/credentials.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert MASTER_KEY not in right.out + right.err
    assert shell("auth", "whoami").out == f"role\tmaster\nurl\t{gateway.url}\norigin\t{path}\n"


def test_a_stored_key_goes_to_no_other_gateway(shell: Shell, gateway: FakeGateway) -> None:
    del shell.environment["CONDUIT_MASTER_KEY"], shell.environment["CONDUIT_API_KEY"]
    elsewhere = gateway.url.replace("127.0.0.1", "localhost")
    shell("context", "add", "prod", "--url", elsewhere, "--key-stdin", stdin=MASTER_KEY)
    outcome = shell("-C", "prod", "keys", "list", "--url", gateway.url)
    assert outcome.code == 4
    assert gateway.seen == []


def test_contexts_are_listed_used_and_removed_without_secrets(shell: Shell) -> None:
    for name in ("one", "two"):
        shell(
            "context",
            "add",
            name,
            "--url",
            f"https://{name}.invalid",
            "--key-stdin",
            stdin=MASTER_KEY,
        )
    assert shell("context", "use", "two").code == 0
    listed = shell("context", "list", "--json")
    rows = {row["name"]: row for row in json.loads(listed.out)["data"]}
    assert rows["two"]["current"]
    assert rows["two"]["master_key"] is True
    assert MASTER_KEY not in listed.out
    assert shell("context", "remove", "two").code == 2
    assert shell("context", "remove", "two", "--yes").code == 0
    assert shell("context", "use", "two").code == 2


def test_a_master_key_is_made_offline(lonely_shell: Shell, tmp_path: Path) -> None:
    assert is_master_key(lonely_shell("auth", "init", "-q").out.strip())
    path = tmp_path / "master"
    assert lonely_shell("auth", "init", "--out", str(path)).code == 0
    assert is_master_key(path.read_text().strip())
    assert path.stat().st_mode & 0o777 == 0o600


def test_settings_are_those_of_the_gateway_or_of_this_machine(
    shell: Shell, lonely_shell: Shell
) -> None:
    assert "port\t5000\tdefault" in shell("config", "show", "--origin").out
    offline = lonely_shell("config", "show", "--origin", CONDUIT_PORT="7000")
    assert "port\t7000\tenv CONDUIT_PORT" in offline.out
    invalid = lonely_shell("config", "show", "--offline", CONDUIT_PORT="seven")
    assert invalid.code == 2
    assert len(invalid.err.splitlines()) == 1


def test_a_master_key_never_shows_in_the_settings(lonely_shell: Shell) -> None:
    outcome = lonely_shell("config", "show", "--offline", CONDUIT_MASTER_KEY=MASTER_KEY)
    assert "master_key\t***" in outcome.out
    assert MASTER_KEY not in outcome.out + outcome.err


def test_the_doctor_finds_a_credentials_file_that_others_may_read(
    shell: Shell, tmp_path: Path
) -> None:
    shell("context", "add", "x", "--url", "https://x.invalid", "--key-stdin", stdin=MASTER_KEY)
    path = tmp_path / "conduit/credentials.toml"
    os.chmod(path, 0o644)
    outcome = shell("doctor", "--json")
    assert outcome.code == 9
    found = {row["check"]: row for row in json.loads(outcome.out)["data"]}
    assert found["credentials"]["state"] == "fail"
    assert found["credentials"]["fix"] == f"chmod go= {path}"
    assert found["gateway"]["state"] == "ok"


def test_the_version_is_told_with_and_without_a_gateway(shell: Shell, lonely_shell: Shell) -> None:
    assert shell("--version").out.startswith("conduit ")
    assert json.loads(shell("version", "--json").out)["gateway"] is not None
    assert json.loads(lonely_shell("version", "--json").out)["gateway"] is None


def test_a_passing_failure_of_a_read_is_tried_again_and_a_change_is_not(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    from tests.cli.fake_gateway import Refusal  # noqa: PLC0415  # named where it is used

    gateway.failing = [Refusal(503, "not_ready", "starting")]
    assert conduit("keys", "list").code == 0
    gateway.failing = [Refusal(503, "not_ready", "starting")]
    assert conduit("keys", "create", "x").code == 1
    assert len(gateway.requests("POST")) == 1


def test_a_secret_in_a_dry_run_is_not_shown(shell: Shell) -> None:
    secret = "sk-provider-secret-000000000001"
    outcome = shell("providers", "add", "openai", "--key-stdin", "--dry-run", stdin=secret)
    assert outcome.code == 0
    assert '"secret": "***"' in outcome.out
    assert secret not in outcome.out + outcome.err


def test_a_request_that_a_crash_left_has_no_status(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add(
        "requests", id="req_1", at="2999-01-01T00:00:00.000Z", status=0, outcome="recovered"
    )
    shown = shell("logs", "list", CONDUIT_FORCE_TTY="160", NO_COLOR="1").out
    assert "\u25b2 - " in shown
    on_terminal = {"CONDUIT_FORCE_TTY": "160", "NO_COLOR": "1"}
    line = shell("logs", "tail", "--since", "10m", "--no-follow", **on_terminal).out
    assert "  -  gpt-4o -> openai/gpt-4o" in line
    assert json.loads(shell("logs", "list", "-o", "jsonl").out)["status"] == 0


def test_a_login_elsewhere_leaves_the_local_context_alone(
    shell: Shell, gateway: FakeGateway
) -> None:
    del shell.environment["CONDUIT_URL"], shell.environment["CONDUIT_MASTER_KEY"]
    shell("context", "add", "local", "--url", "http://127.0.0.1:9")
    login = ("auth", "login", "--key-stdin", "--url")
    outcome = shell(*login, gateway.url, stdin=MASTER_KEY)
    assert outcome.code == 0
    name = gateway.url.removeprefix("http://").replace(":", "-")
    assert f"conduit -C {name} status" in outcome.err
    rows = {row["name"]: row for row in json.loads(shell("context", "list", "--json").out)["data"]}
    assert rows["local"]["url"] == "http://127.0.0.1:9"
    assert rows["local"]["current"]
    assert rows[name]["url"] == gateway.url
    assert rows[name]["master_key"] is True
    assert shell(*login, gateway.url, stdin=MASTER_KEY).code == 0
    assert len(json.loads(shell("context", "list", "--json").out)["data"]) == 2


def test_a_login_to_a_path_takes_no_other_path_s_name(shell: Shell, gateway: FakeGateway) -> None:
    del shell.environment["CONDUIT_URL"], shell.environment["CONDUIT_MASTER_KEY"]
    name = gateway.url.removeprefix("http://").replace(":", "-")
    shell("context", "add", name, "--url", f"{gateway.url}/other")
    outcome = shell("auth", "login", "--key-stdin", "--url", gateway.url, stdin=MASTER_KEY)
    assert outcome.code == 2
    assert f"belongs to {gateway.url}/other" in outcome.err
    assert gateway.seen == []


def test_a_login_to_the_url_of_a_context_is_that_context_s(
    shell: Shell, gateway: FakeGateway
) -> None:
    del shell.environment["CONDUIT_URL"], shell.environment["CONDUIT_MASTER_KEY"]
    shell("context", "add", "local", "--url", "http://127.0.0.1:9")
    shell("context", "add", "prod", "--url", gateway.url, "--model", "fast")
    outcome = shell("auth", "login", "--key-stdin", "--url", gateway.url, stdin=MASTER_KEY)
    assert "for context prod" in outcome.err
    rows = {row["name"]: row for row in json.loads(shell("context", "list", "--json").out)["data"]}
    assert sorted(rows) == ["local", "prod"]
    assert rows["prod"]["default_model"] == "fast"


def test_the_doctor_tells_of_a_misspelt_variable(shell: Shell) -> None:
    outcome = shell("doctor", "--json", CONDUIT_PROT="7000")
    assert outcome.code == 0
    (row,) = [row for row in json.loads(outcome.out)["data"] if row["check"] == "variable"]
    assert (row["state"], row["detail"]) == ("warn", "CONDUIT_PROT is no setting of Conduit")
    assert "variable" not in shell("doctor").out


def test_the_counts_of_the_books_are_told_with_what_waits_in_the_journal(shell: Shell) -> None:
    outcome = shell("doctor", "ledger")
    assert outcome.err == "attempts 3, journal_bytes_unapplied 0\n"
    assert shell("doctor", "ledger", "-q").err == ""
    counts = json.loads(shell("doctor", "ledger", "--json").out)["counts"]
    assert counts == {"attempts": 3, "journal_bytes_unapplied": 0}
