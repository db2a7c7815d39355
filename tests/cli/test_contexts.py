"""`conduit context`: gateways that this machine knows."""

import json

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import MASTER_KEY, VIRTUAL_KEY, FakeGateway, running, stream_hello


@pytest.fixture
def bare(shell: Shell) -> Shell:
    """`conduit` that knows of no gateway from its environment."""
    for name in ("CONDUIT_URL", "CONDUIT_MASTER_KEY", "CONDUIT_API_KEY"):
        del shell.environment[name]
    return shell


def rows(shell: Shell) -> dict[str, dict[str, object]]:
    data = json.loads(shell("context", "list", "--json").out)["data"]
    return {row["name"]: row for row in data}


def test_a_context_keeps_all_that_it_was_given(bare: Shell, gateway: FakeGateway) -> None:
    outcome = bare(
        "context", "add", "prod", "--url", f"{gateway.url}/", "--read-only", "--confirm", "typed",
        "--color", "red", "--model", "fast", "--virtual-key-env", "VK", "--key-stdin",
        stdin=MASTER_KEY, VK=VIRTUAL_KEY,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert rows(bare)["prod"] == {
        "name": "prod",
        "current": True,
        "url": gateway.url,
        "admin_url": None,
        "master_key": True,
        "virtual_key": True,
        "read_only": True,
        "confirm": "typed",
        "default_model": "fast",
        "color": "red",
        "ca_file": None,
        "client_certificate_file": None,
        "client_key_file": None,
    }
    gateway.chat = stream_hello
    assert bare("chat", "hi").code == 0
    assert gateway.requests("POST")[-1].body["model"] == "fast"


@pytest.mark.parametrize(("flag", "value"), [("--color", "pink"), ("--confirm", "maybe")])
def test_a_context_takes_only_what_it_understands(bare: Shell, flag: str, value: str) -> None:
    assert bare("context", "add", "x", "--url", "https://x.invalid", flag, value).code == 2
    assert rows(bare) == {}


def test_a_renamed_context_takes_its_keys_along(bare: Shell, gateway: FakeGateway) -> None:
    bare("context", "add", "old", "--url", gateway.url, "--key-stdin", stdin=MASTER_KEY)
    bare("context", "add", "other", "--url", "https://other.invalid")
    assert bare("context", "rename", "old", "other").code == 2
    assert bare("context", "rename", "nobody", "new").code == 2
    assert bare("context", "rename", "old", "not a name").code == 2
    assert bare("context", "rename", "old", "new").code == 0
    assert (rows(bare)["new"]["current"], rows(bare)["new"]["master_key"]) == (True, True)
    assert bare("keys", "list").code == 0


def test_a_dry_run_changes_no_file(bare: Shell) -> None:
    add = ("context", "add", "prod", "--url", "https://gw.invalid")
    outcome = bare(*add, "--dry-run")
    assert '+ url: "https://gw.invalid"' in outcome.out
    assert rows(bare) == {}
    bare(*add)
    for verb in (("use", "prod"), ("rename", "prod", "new"), ("remove", "prod")):
        assert bare("context", *verb, "--dry-run").code == 0
    assert list(rows(bare)) == ["prod"]


def test_a_context_is_tested_with_all_its_keys(bare: Shell, gateway: FakeGateway) -> None:
    gateway.add("mappings", alias="m", targets=[])
    flags = ("--key-stdin", "--virtual-key-env", "VK")
    bare("context", "add", "prod", "--url", gateway.url, *flags, stdin=MASTER_KEY, VK=VIRTUAL_KEY)
    tested = json.loads(bare("context", "test", "prod", "--json").out)
    assert (tested["ready"], tested["master_key"], tested["models"]) == (True, "accepted", 1)
    bare()
    bare("context", "add", "gone", "--url", "http://127.0.0.1:9")
    assert bare("context", "test", "gone").code == 3
    assert bare("context", "test", "nobody").code == 2


def test_a_refused_key_of_a_tested_context_is_4(bare: Shell, gateway: FakeGateway) -> None:
    bare("context", "add", "p", "--url", gateway.url, "--key-env", "MK", MK="condt_mk_wrong")
    assert bare("context", "test").code == 4


def test_a_split_gateway_gets_each_key_at_its_own_address(
    bare: Shell, gateway: FakeGateway
) -> None:
    with running() as admin:
        flags = ("--admin-url", admin.url, "--key-stdin", "--virtual-key-env", "VK")
        bare("context", "add", "p", "--url", gateway.url, *flags, stdin=MASTER_KEY, VK=VIRTUAL_KEY)
        gateway.chat = stream_hello
        assert bare("chat", "-m", "m", "hi").code == 0
        assert bare("keys", "list").code == 0
        assert [seen.path for seen in admin.seen] == ["/admin/keys"]
        assert admin.seen[0].headers["authorization"] == f"Bearer {MASTER_KEY}"
    assert [seen.path for seen in gateway.seen] == ["/v1/chat/completions"]
    assert gateway.seen[0].headers["authorization"] == f"Bearer {VIRTUAL_KEY}"


def test_a_login_to_a_split_gateway_is_at_its_admin_address(
    bare: Shell, gateway: FakeGateway
) -> None:
    with running() as admin:
        bare("context", "add", "p", "--url", gateway.url, "--admin-url", admin.url)
        assert bare("auth", "login", "p", "--key-stdin", stdin=MASTER_KEY).code == 0
        assert bare("keys", "list").code == 0
        assert [seen.path for seen in admin.seen] == ["/admin/whoami", "/admin/keys"]
    assert gateway.seen == []


def test_a_stored_master_key_goes_to_no_other_admin_address(
    bare: Shell, gateway: FakeGateway
) -> None:
    bare("context", "add", "p", "--url", "https://p.invalid", "--key-stdin", stdin=MASTER_KEY)
    outcome = bare("keys", "list", CONDUIT_ADMIN_URL=gateway.url)
    assert outcome.code == 4
    assert gateway.seen == []


def test_a_current_context_that_is_gone_keeps_nobody_from_choosing_another(bare: Shell) -> None:
    bare("context", "add", "one", "--url", "https://one.invalid")
    bare("context", "add", "two", "--url", "https://two.invalid")
    assert bare("context", "remove", "one", "--yes").code == 0
    assert bare("context", "use", "two").code == 0
    assert bare("context", "remove", "two", "--yes", CONDUIT_CONTEXT="nowhere").code == 0


def test_the_interface_gets_the_gateway_and_its_own_arguments(
    shell: Shell, gateway: FakeGateway
) -> None:
    outcome = shell("tui", "--theme", "nonsense")
    assert outcome.code == 2
    assert "conduit-tui" in outcome.err
    assert "nonsense" in outcome.err
    unknown = shell("-C", "nowhere", "tui", "--lite")
    assert unknown.code == 2


def test_a_page_s_address_is_printed_where_there_is_no_desktop(
    shell: Shell, gateway: FakeGateway
) -> None:
    assert shell("open").out == f"{gateway.url}/openapi.json\n"
    assert shell("open", "metrics").out == f"{gateway.url}/metrics\n"
    assert shell("open", "sesame").code == 2
    assert gateway.seen == []


def test_a_known_context_is_not_replaced_by_another(bare: Shell, gateway: FakeGateway) -> None:
    bare("context", "add", "p", "--url", gateway.url, "--key-stdin", stdin=MASTER_KEY)
    again = bare("context", "add", "p", "--url", "https://other.invalid")
    assert again.code == 6
    assert "conduit context update p" in again.err
    assert json.loads(bare("context", "show", "p", "--json").out)["url"] == gateway.url


def test_an_update_changes_what_is_named_alone(bare: Shell, gateway: FakeGateway) -> None:
    add = ("context", "add", "p", "--url", gateway.url, "--color", "red", "--model", "fast")
    bare(*add, "--confirm", "typed", "--key-stdin", stdin=MASTER_KEY)
    assert bare("context", "update", "p", "--read-only", "--model", "").code == 0
    row = json.loads(bare("context", "show", "p", "--json").out)
    assert (row["read_only"], row["default_model"]) == (True, None)
    assert (row["color"], row["confirm"], row["master_key"]) == ("red", "typed", True)
    assert bare("context", "update", "p", "--no-read-only", "--confirm", "y").code == 0
    row = json.loads(bare("context", "show", "p", "--json").out)
    assert (row["read_only"], row["confirm"]) == (False, "y")
    assert bare("context", "update", "p").code == 2
    assert bare("context", "update", "nobody", "--model", "x").code == 2


def test_an_update_of_the_url_lets_go_of_keys_bound_to_the_old_one(
    bare: Shell, gateway: FakeGateway
) -> None:
    bare("context", "add", "p", "--url", gateway.url, "--key-stdin", stdin=MASTER_KEY)
    dry = bare("context", "update", "p", "--url", "https://new.invalid", "--dry-run", "--json")
    assert json.loads(dry.out)["changes"] == {"url": [gateway.url, "https://new.invalid"]}
    assert bare("context", "update", "p", "--url", "https://new.invalid").code == 0
    row = json.loads(bare("context", "show", "p", "--json").out)
    assert (row["url"], row["master_key"]) == ("https://new.invalid", False)
