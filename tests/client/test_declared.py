"""Declared configuration: which steps lead from what there is to what is wanted."""

from typing import Any

import pytest

from conduit.client.declared import DeclarationError, Step, checked, document_of, plan

TARGET: dict[str, Any] = {
    "provider": "main",
    "model": "m",
    "order": 0,
    "weight": 1,
    "params": {},
    "capabilities": {},
}
PROVIDER: dict[str, Any] = {
    "name": "main",
    "type": "openai",
    "base_url": "https://a.invalid/v1",
    "allow_private": False,
    "on_hang_up": "cancel",
    "enabled": True,
    "credentials": [{"name": "default", "from": "env:KEY", "enabled": True}],
}
MAPPING: dict[str, Any] = {
    "alias": "fast",
    "strategy": "simple",
    "targets": [TARGET],
    "fallbacks": [],
    "enabled": True,
}
PRICE: dict[str, Any] = {
    "provider": "main",
    "model": "m",
    "input": "1.00",
    "output": "2.00",
    "request": "0.00",
}
PRESENT: dict[str, list[dict[str, Any]]] = {
    "providers": [PROVIDER],
    "mappings": [MAPPING],
    "prices": [PRICE],
}


def steps(wanted: dict[str, Any], *, prune: bool = False) -> list[Step]:
    return plan(checked(wanted), PRESENT, prune=prune)


def told(found: list[Step]) -> list[tuple[str, str, str]]:
    return [(step.action, step.noun, step.name) for step in found]


def test_what_is_so_already_needs_no_step() -> None:
    assert steps(dict(PRESENT)) == []
    assert steps({"providers": [{"name": "main"}], "mappings": [{"alias": "fast"}]}) == []


@pytest.mark.parametrize("amount", ["1", "$1.0", 1, 1.0])
def test_an_amount_may_be_written_in_any_way(amount: object) -> None:
    assert steps({"prices": [{**PRICE, "input": amount}]}) == []


def test_a_target_may_leave_out_what_is_so_anyway() -> None:
    short = {"alias": "fast", "targets": [{"provider": "main", "model": "m"}]}
    assert steps({"mappings": [short]}) == []


def test_a_change_sends_only_what_differs() -> None:
    (step,) = steps({"providers": [{"name": "main", "enabled": False, "allow_private": False}]})
    assert (step.action, step.operation, step.names) == ("change", "providers.update", ("main",))
    assert step.body == {"enabled": False}
    assert step.changes == {"enabled": (True, False)}


def test_a_price_is_one_value() -> None:
    held = {**PRICE, "cache_read": "0.50"}
    wanted = checked({"prices": [PRICE]})
    (step,) = plan(wanted, {"prices": [held]})
    assert step.changes == {"cache_read": ("0.50", None)}
    assert step.body == {"input": "1.00", "output": "2.00", "request": "0.00"}


def test_a_section_that_is_left_out_is_left_alone() -> None:
    assert steps({"prices": []}) == []
    assert told(steps({"prices": []}, prune=True)) == [("remove", "price", "main/m")]


def test_removals_go_before_what_they_refer_to() -> None:
    empty: dict[str, Any] = {"providers": [], "mappings": [], "prices": []}
    assert told(steps(empty, prune=True)) == [
        ("remove", "price", "main/m"),
        ("remove", "mapping", "fast"),
        ("remove", "provider", "main"),
    ]


def test_a_new_provider_comes_before_its_credentials_and_mappings() -> None:
    lab = {"name": "lab", "type": "openai_compatible", "base_url": "https://lab.invalid"}
    key = {"name": "k", "from": "file:/run/k", "enabled": False}
    alias = {"alias": "lab", "targets": [{"provider": "lab", "model": "m"}]}
    found = steps({"mappings": [alias], "providers": [{**lab, "credentials": [key]}]})
    assert told(found) == [
        ("add", "provider", "lab"),
        ("add", "credential", "lab/k"),
        ("change", "credential", "lab/k"),
        ("add", "mapping", "lab"),
    ]
    assert found[1].body == {"name": "k", "file": "/run/k"}
    assert found[2].body == {"enabled": False}


def test_credentials_that_are_not_named_go_only_when_pruned() -> None:
    wanted = {"providers": [{"name": "main", "credentials": []}]}
    assert steps(wanted) == []
    (step,) = steps(wanted, prune=True)
    assert (step.operation, step.names) == ("credentials.delete", ("main", "default"))
    assert steps({"providers": [{"name": "main"}]}, prune=True) == []


def test_references_are_entered_again_for_another_host() -> None:
    moved = {**PROVIDER, "base_url": "https://b.invalid/v1"}
    assert told(steps({"providers": [moved]})) == [
        ("change", "provider", "main"),
        ("change", "credential", "main/default"),
    ]
    same_host = {**PROVIDER, "base_url": "https://a.invalid/v2"}
    assert told(steps({"providers": [same_host]})) == [("change", "provider", "main")]


def test_a_secret_is_noted_and_never_made_up() -> None:
    sealed = {"name": "other", "from": "sealed"}
    (step,) = steps({"providers": [{"name": "main", "credentials": [sealed]}]})
    assert (step.action, step.operation) == ("note", "")
    assert "conduit providers credentials add main --name other" in (step.note or "")


SEALED_THERE = {"name": "default", "from": "sealed", "enabled": True, "fingerprint": "ab12"}


@pytest.mark.parametrize(
    ("held", "fingerprint", "changes"),
    [
        (SEALED_THERE, "ab12", None),
        (SEALED_THERE, None, None),  # which one it is cannot be told
        (SEALED_THERE, "cd34", {"from": ("sealed", "sealed cd34")}),
        (PROVIDER["credentials"][0], "ab12", {"from": ("env:KEY", "sealed ab12")}),
    ],
)
def test_a_sealed_secret_is_entered_where_it_is_another_one(
    held: dict[str, Any], fingerprint: str | None, changes: dict[str, Any] | None
) -> None:
    entry = {"name": "default", "from": "sealed:c1.x.y", "enabled": True}
    entry |= {"fingerprint": fingerprint} if fingerprint else {}
    present = {"providers": [{**PROVIDER, "credentials": [held]}]}
    wanted = checked({"providers": [{"name": "main", "credentials": [entry]}]})
    found = plan(wanted, present)
    if changes is None:
        assert found == []
    else:
        [step] = found
        assert (step.body, step.changes) == ({"sealed": "c1.x.y"}, changes)


def test_a_key_is_changed_and_never_made() -> None:
    held = {"name": "ci", "enabled": True, "allowed_models": ["*"]}
    expiry = "2027-01-01T01:00:00+01:00"
    wanted = checked({"keys": [{**held, "expires_at": expiry}, {"name": "new"}]})
    change, note = plan(wanted, {"keys": [held]})
    assert change.body == {"expires_at": "2027-01-01T00:00:00.000Z"}
    assert (change.operation, change.names) == ("keys.update", ("ci",))
    assert (note.action, note.note) == (
        "note",
        "whoever makes it is shown its secret: conduit keys create new",
    )


def test_a_group_is_made_before_its_keys_and_goes_after_them() -> None:
    group = {"name": "team", "description": "", "enabled": True, "allowed_models": ["*"]}
    held: dict[str, Any] = {
        "groups": [{**group, "name": "old", "limits": []}],
        "keys": [{"name": "ci", "group": "old"}, {"name": "gone"}],
    }
    limits = [{"kind": "rpm", "limit": 5, "burst": None}]
    wanted = {
        "groups": [{"name": "team", "enabled": False, "limits": limits}],
        "keys": [{"name": "ci", "group": "team"}],
    }
    found = plan(checked(wanted), held, prune=True)
    assert told(found) == [
        ("add", "group", "team"),
        ("change", "key", "ci"),
        ("remove", "key", "gone"),
        ("remove", "group", "old"),
    ]
    limit = {"kind": "rpm", "limit": 5}
    assert found[0].body == {"name": "team", "enabled": False, "limits": [limit]}
    assert found[1].body == {"group": "team"}
    assert found[3].operation == "groups.delete"


def test_a_group_is_changed_in_what_differs_and_written_as_it_is_read() -> None:
    told = {"burst": None, "shadow": False, "timezone": "UTC", "on_store_down": "degrade"}
    rate = {"kind": "rpm", "limit": 5, **told}
    row = {
        "id": "grp_1",
        "name": "team",
        "description": "ours",
        "enabled": True,
        "allowed_models": ["gpt-*"],
        "limits": [{**rate, "remaining": 5, "exceeded": 0}],
        "budgets": [],
        "prepaid": None,
    }
    document = document_of({"groups": [row]})
    assert document["groups"][0]["limits"] == [{"kind": "rpm", "limit": 5}]
    assert plan(checked(document), document) == []
    (step,) = plan(checked({"groups": [{"name": "team", "description": "x"}]}), document)
    assert (step.operation, step.body) == ("groups.update", {"description": "x"})
    bound = {"allowed_ips": ["10.0.0.0/8"]}
    (step,) = plan(checked({"groups": [{"name": "team", **bound}]}), document)
    assert step.body == bound
    free = {"name": "team", "allowed_ips": []}
    assert plan(checked({"groups": [free]}), document) == []  # of a gateway that has none yet
    assert document_of({"groups": [{**row, **bound}]})["groups"][0]["allowed_ips"] == ["10.0.0.0/8"]


def test_the_type_of_a_provider_cannot_be_changed() -> None:
    (step,) = steps({"providers": [{"name": "main", "type": "groq"}]})
    assert step.action == "note"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"tasks": []}, "there is no such section"),
        ({"keys": [{"name": "ci", "secret": "s"}]}, "there is no field secret"),
        ({"keys": [{"name": "ci", "expires_at": "soon"}]}, "expires_at"),
        ({"keys": [{"name": "ci", "expires_at": "2027-01-01T00:00:00"}]}, "needs an offset"),
        ({"providers": {}}, "a list of tables"),
        ({"providers": [1]}, "a list of tables"),
        ({"providers": [{"name": ""}]}, "needs its name"),
        ({"providers": [{"name": "x", "secret": "s"}]}, "there is no field secret"),
        ({"providers": [{"name": "new"}]}, "needs its type"),
        ({"mappings": [{"alias": "new"}]}, "needs its targets"),
        ({"mappings": [MAPPING, MAPPING]}, "more than once"),
        ({"prices": [{**PRICE, "input": True}]}, "input"),
        ({"prices": [{**PRICE, "input": "1e3"}]}, "input"),
        ({"prices": [{"provider": "p", "model": "m", "input": "1"}]}, "input and output"),
    ],
)
def test_what_cannot_be_meant_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        steps(document)


def test_a_secret_in_the_place_of_a_reference_is_refused_and_not_repeated() -> None:
    entry = {"name": "k", "from": "sk-secret-000000000"}
    with pytest.raises(DeclarationError) as refused:
        steps({"providers": [{"name": "main", "credentials": [entry]}]})
    assert "sk-secret" not in str(refused.value)


def test_the_document_of_a_gateway_has_the_primary_credential_first_and_no_book_prices() -> None:
    row = {
        **PROVIDER,
        "credentials": [
            {"name": "a", "source": "sealed", "enabled": True, "primary": False, "hint": "wxyz"},
            {"name": "b", "source": "env:B", "enabled": True, "primary": True, "hint": None},
        ],
    }
    prices = [{**PRICE, "source": "override"}, {**PRICE, "model": "x", "source": "book"}]
    document = document_of({"providers": [row], "prices": prices})
    assert [each["name"] for each in document["providers"][0]["credentials"]] == ["b", "a"]
    assert document["prices"] == [PRICE]
    assert "wxyz" not in str(document)


def test_the_limits_of_a_mapping_are_written_as_they_are_read() -> None:
    told = {"burst": None, "shadow": False, "timezone": "UTC", "on_store_down": "closed"}
    row = {
        "alias": "fast",
        "strategy": "simple",
        "targets": [],
        "fallbacks": [],
        "enabled": True,
        "policy": {
            "sticky": "off",
            "breakers": True,
            "long_context": "refuse",
            "cache_scope": "key",
        },
        "limits": [{"kind": "rpm", "limit": 5, **told, "remaining": 5, "exceeded": 0}],
    }
    document = document_of({"mappings": [row]})
    limit = {"kind": "rpm", "limit": 5, "on_store_down": "closed"}
    assert document["mappings"][0]["limits"] == [limit]
    assert plan(checked(document), document) == []
    (step,) = plan(checked({"mappings": [{"alias": "fast", "limits": []}]}), document)
    assert (step.operation, step.body) == ("mappings.update", {"limits": []})
    assert "limits" not in document_of({"mappings": [{**row, "limits": []}]})["mappings"][0]


def test_a_mapping_comes_after_those_that_it_falls_back_to() -> None:
    def entry(alias: str, *fallbacks: str) -> dict[str, Any]:
        to = [{"on": "error", "alias": each} for each in fallbacks]
        return {"alias": alias, "targets": [], "fallbacks": to}

    mappings = [
        entry("a", "b", "vendor/big"),
        entry("b", "c", "elsewhere"),
        entry("vendor/*", "c"),
        entry("c"),
        entry("round", "again"),
        entry("again", "round"),
    ]
    steps = plan({"mappings": mappings}, {})
    assert [step.name for step in steps] == ["c", "b", "vendor/*", "a", "again", "round"]
