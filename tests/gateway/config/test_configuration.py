"""The configuration in force."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conduit.core.errors import GatewaySealedError
from conduit.core.redaction import LiveSecrets
from conduit.gateway.config.configuration import (
    SECRET_LIMIT_BYTES,
    Configuration,
    host_of,
    place_of,
    sealing_key_of,
)
from conduit.gateway.config.sealing import SealingKey, SealingKeyError, key_source
from conduit.gateway.config.snapshot import Upstream
from conduit.gateway.exchange import Candidate
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.providers import registry
from conduit.gateway.request_path import priced_now
from conduit.gateway.storage import budgets, credentials, keys, mappings, prices, providers
from conduit.gateway.storage.engine import Database, writing
from tests.gateway import records
from tests.gateway.exchanges import snapshot, upstream

SECRET = "sk-canary-0123456789abcd"
KEY = SealingKey.of(b"k" * 32)


async def configured(
    database: Database,
    *stored: Any,
    sealing_key: SealingKey | None = KEY,
    environment: dict[str, str] | None = None,
) -> Configuration:
    """The configuration after a provider and the given credentials have been stored."""
    async with writing(database) as connection:
        await providers.insert(connection, records.provider())
        for credential in stored:
            await credentials.insert(connection, credential)
    configuration = Configuration(database, registry.provider_of, sealing_key, environment or {})
    await configuration.reload()
    return configuration


def upstream_of(configuration: Configuration) -> Upstream:
    return configuration.snapshot.upstreams["openai"]


def states_of(configuration: Configuration) -> dict[str, str]:
    return {name: standing.state for name, standing in configuration.standings.items()}


async def test_the_snapshot_is_what_is_stored(database: Database) -> None:
    async with writing(database) as connection:
        await mappings.insert(connection, records.mapping())
        await mappings.insert(connection, records.mapping("off", enabled=False))
        await prices.put(connection, records.price(per_request=7))
    configuration = await configured(database)
    snapshot = configuration.snapshot
    assert snapshot.revision == 2
    assert upstream_of(configuration).provider.type.name == "openai_compatible"
    assert list(snapshot.mappings) == ["fast"]
    assert snapshot.mappings["fast"].targets[0].model == "m-1"
    rates = snapshot.rates["openai", "m-1"]
    assert (rates.input, rates.per_request, rates.source) == (1_000_000_000, 7, "override")
    assert rates.version == f"override-{records.AT_MS}"
    assert configuration.warnings == ()


async def test_a_planned_price_is_in_the_snapshot_from_its_moment_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_ms = 4_000_000_000_000
    async with writing(database) as connection:
        await prices.put(connection, records.price(input=1))
        await prices.put(connection, records.price(input=2, effective_from_ms=due_ms))
        await prices.put(connection, records.price(input=3, effective_from_ms=due_ms + 9))
    configuration = await configured(database)
    before = configuration.snapshot
    assert (before.rates["openai", "m-1"].input, before.prices_until_ms) == (1, due_ms)

    def read(_: object) -> None:
        raise AssertionError("it asks no database")

    monkeypatch.setattr(configuration, "_read", read)
    for now_ms, price, until_ms in (
        (due_ms - 1, 1, due_ms),
        (due_ms, 2, due_ms + 9),
        (due_ms + 9, 3, None),
    ):
        monkeypatch.setattr("conduit.gateway.config.configuration.now_ms", lambda at=now_ms: at)
        snapshot = configuration.unsealed()
        rates = snapshot.rates["openai", "m-1"]
        assert (rates.input, snapshot.prices_until_ms) == (price, until_ms)
        assert snapshot.upstreams is before.upstreams
    assert before.rates["openai", "m-1"].input == 1, "a request keeps the one it began with"


async def test_a_request_that_began_before_is_held_at_the_price_of_the_hold() -> None:
    old, new = Rates(input=1_000_000, output=0), Rates(input=2_000_000, output=0)
    candidate = Candidate(upstream(), "m", {}, old)
    now = snapshot([], rates={("one", "m"): new})
    gateway: Any = SimpleNamespace(
        configuration=SimpleNamespace(snapshot=now), book=PriceBook.load()
    )
    find = priced_now(gateway)
    found = find(candidate)
    assert (found.rates, found.upstream, found.places) == (
        new,
        candidate.upstream,
        candidate.places,
    )
    assert found.bound(1, 0).whole == 2
    assert find(found) is found


async def test_a_reload_swaps_the_snapshot_and_leaves_the_old_one_as_it_was(
    database: Database,
) -> None:
    configuration = await configured(database)
    before = configuration.snapshot
    async with writing(database) as connection:
        provider = await providers.find(connection, "openai")
        await providers.change(connection, provider, {"enabled": False}, version=None)
    await configuration.reload()
    assert before.upstreams["openai"].enabled
    assert not upstream_of(configuration).enabled
    assert configuration.snapshot.revision == before.revision + 1


async def test_changes_of_keys_are_passed_over_without_reading_everything(
    database: Database,
) -> None:
    configuration = await configured(database)
    before = configuration.snapshot
    async with writing(database) as connection:
        await keys.insert(connection, records.key())
        await budgets.insert(connection, records.budget())
    after = await configuration.pass_over()
    assert after.revision == before.revision + 1
    assert after.upstreams is before.upstreams


async def test_a_change_of_something_else_is_not_passed_over(database: Database) -> None:
    configuration = await configured(database)
    async with writing(database) as connection:
        await mappings.insert(connection, records.mapping())
    async with writing(database) as connection:
        await keys.insert(connection, records.key())
    after = await configuration.pass_over()
    assert after.revision == 3
    assert list(after.mappings) == ["fast"]


async def test_a_reload_that_fails_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = await configured(database)
    before = configuration.snapshot

    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(mappings, "everything", fail)
    with pytest.raises(RuntimeError):
        await configuration.reload()
    assert configuration.snapshot is before


async def test_a_secret_comes_from_the_environment(database: Database) -> None:
    configuration = await configured(
        database, records.credential(), environment={"A_VARIABLE": f"  {SECRET}\n"}
    )
    (credential,) = upstream_of(configuration).credentials
    assert credential.secret == SECRET
    assert configuration.standings["cred_default"].state == "ready"
    assert configuration.standings["cred_default"].hint == "abcd"
    assert SECRET not in repr(configuration.snapshot)


async def test_a_secret_comes_from_a_file(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    configuration = await configured(database, records.credential(kind="file", reference=str(path)))
    assert upstream_of(configuration).credentials[0].secret == SECRET


async def test_a_secret_comes_out_of_its_envelope(database: Database) -> None:
    sealed = KEY.seal(SECRET, place_of("cred_default"), 1)
    configuration = await configured(
        database,
        records.credential(kind="sealed", reference=None, sealed=sealed, hint="abcd"),
    )
    assert upstream_of(configuration).credentials[0].secret == SECRET


@pytest.mark.parametrize("key", [None, SealingKey.of(b"x" * 32)])
async def test_without_the_right_key_a_credential_stays_sealed(
    database: Database, key: SealingKey | None
) -> None:
    sealed = KEY.seal(SECRET, place_of("cred_default"), 1)
    configuration = await configured(
        database,
        records.credential(kind="sealed", reference=None, sealed=sealed),
        sealing_key=key,
    )
    assert states_of(configuration) == {"cred_default": "sealed"}
    assert upstream_of(configuration).credentials == ()
    assert "enter it again" in configuration.warnings[0]


async def test_an_envelope_of_another_credential_stays_sealed(database: Database) -> None:
    sealed = KEY.seal(SECRET, place_of("cred_other"), 1)
    configuration = await configured(
        database, records.credential(kind="sealed", reference=None, sealed=sealed)
    )
    assert states_of(configuration) == {"cred_default": "sealed"}


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "   ",
        "two words",
        "line\nbreak",
        "schlüssel",
        "x" * (SECRET_LIMIT_BYTES + 1),
        '{"key": ',
        '{"key": "schlüssel"}',
    ],
)
async def test_a_variable_without_a_usable_secret_is_missing(
    database: Database, value: str | None
) -> None:
    environment = {} if value is None else {"A_VARIABLE": value}
    configuration = await configured(database, records.credential(), environment=environment)
    assert states_of(configuration) == {"cred_default": "missing"}
    assert upstream_of(configuration).credentials == ()
    assert configuration.warnings == (
        "credential default of provider openai cannot be found at env:A_VARIABLE",
    )


async def test_a_key_file_of_several_lines_becomes_a_secret_of_one(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text('{\n  "private_key": "-----BEGIN\\nX",\n  "who": "\\u00fc"\n}\n')
    configuration = await configured(database, records.credential(kind="file", reference=str(path)))
    (credential,) = upstream_of(configuration).credentials
    assert credential.secret == '{"private_key":"-----BEGIN\\nX","who":"\\u00fc"}'


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe", "binary", "huge"])
async def test_a_file_without_a_usable_secret_is_missing(
    database: Database, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "secret"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "binary":
            path.write_bytes(b"\xff\xfe")
        case "huge":
            path.write_text("x" * (SECRET_LIMIT_BYTES + 1))
        case _:
            assert not path.exists()
    configuration = await configured(database, records.credential(kind="file", reference=str(path)))
    assert states_of(configuration) == {"cred_default": "missing"}


async def test_a_credential_is_not_sent_to_another_host(database: Database) -> None:
    configuration = await configured(
        database,
        records.credential(host="elsewhere.invalid"),
        environment={"A_VARIABLE": SECRET},
    )
    assert states_of(configuration) == {"cred_default": "wrong_host"}
    assert upstream_of(configuration).credentials == ()
    assert "was entered for elsewhere.invalid" in configuration.warnings[0]
    assert "sealed" not in configuration.warnings[0]


async def test_a_credential_of_another_host_and_key_is_told_of_both(database: Database) -> None:
    sealed = KEY.seal(SECRET, place_of("cred_default"), 1)
    configuration = await configured(
        database,
        records.credential(kind="sealed", reference=None, sealed=sealed, host="elsewhere.invalid"),
        sealing_key=SealingKey.of(b"x" * 32),
    )
    assert states_of(configuration) == {"cred_default": "wrong_host"}
    (warning,) = configuration.warnings
    assert "was entered for elsewhere.invalid and is sealed with a key" in warning


async def test_a_sealing_key_is_made_where_nothing_is_sealed(
    database: Database, tmp_path: Path
) -> None:
    await configured(database, records.credential())
    source = key_source(tmp_path, None, None, {})
    key, warnings = await sealing_key_of(database, source)
    assert key is not None
    assert warnings == ()
    assert await sealing_key_of(database, source) == (key, ())


async def test_a_lost_sealing_key_is_not_replaced_while_something_is_sealed(
    database: Database, tmp_path: Path
) -> None:
    path, source = tmp_path / "sealing.key", key_source(tmp_path, None, None, {})
    sealed = KEY.seal(SECRET, place_of("cred_default"), 1)
    await configured(database, records.credential(kind="sealed", reference=None, sealed=sealed))
    key, (warning,) = await sealing_key_of(database, source)
    assert key is None
    assert not path.exists()
    assert f"{path} is missing, and a stored credential needs it: restore it" in warning
    async with writing(database) as connection:
        await credentials.remove(connection, records.credential())
    key, warnings = await sealing_key_of(database, source)
    assert key is not None
    assert warnings == ()


async def test_a_sealing_key_that_others_may_read_is_refused(
    database: Database, tmp_path: Path
) -> None:
    source = key_source(tmp_path, None, None, {})
    await sealing_key_of(database, source)
    (tmp_path / "sealing.key").chmod(0o644)
    with pytest.raises(SealingKeyError, match="chmod 600"):
        await sealing_key_of(database, source)


async def test_a_named_file_of_the_sealing_key_is_never_made(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "mounted" / "key"
    path.parent.mkdir()
    key, (warning,) = await sealing_key_of(database, key_source(tmp_path, None, path, {}))
    assert key is None
    assert not path.exists()
    assert warning == f"{path} is missing: until it is there, no credential can be entered"


async def test_while_a_credential_is_locked_no_request_gets_a_snapshot(database: Database) -> None:
    sealed = KEY.seal(SECRET, place_of("cred_default"), 1)
    configuration = await configured(
        database,
        records.credential(kind="sealed", reference=None, sealed=sealed),
        sealing_key=SealingKey.of(b"x" * 32),
    )
    assert configuration.locked == 1
    with pytest.raises(GatewaySealedError):
        configuration.unsealed()
    async with writing(database) as connection:
        await credentials.remove(connection, records.credential())
    await configuration.reload()
    assert configuration.unsealed() is configuration.snapshot


async def test_what_is_not_in_use_locks_nothing(database: Database) -> None:
    sealed = KEY.seal(SECRET, place_of("cred_default"), 1)
    configuration = await configured(
        database,
        records.credential(kind="sealed", reference=None, sealed=sealed, enabled=False),
        sealing_key=None,
    )
    assert configuration.locked == 0


async def test_a_damaged_envelope_locks_nothing_but_itself(database: Database) -> None:
    sealed = KEY.seal(SECRET, place_of("cred_other"), 1)
    configuration = await configured(
        database, records.credential(kind="sealed", reference=None, sealed=sealed)
    )
    assert states_of(configuration) == {"cred_default": "sealed"}
    assert configuration.locked == 0


async def test_the_secrets_in_use_are_known_by_their_value(database: Database) -> None:
    secrets = LiveSecrets()
    environment = {"A_VARIABLE": "Odd~looking.value/0123456789"}
    async with writing(database) as connection:
        await providers.insert(connection, records.provider())
        await credentials.insert(connection, records.credential())
    configuration = Configuration(database, registry.provider_of, KEY, environment, secrets=secrets)
    await configuration.reload()
    assert secrets.scrub("sent Odd~looking.value/0123456789!") == "sent [redacted]!"
    before = configuration.standings["cred_default"].fingerprint
    environment["A_VARIABLE"] = "Another~value/0123456789"
    await configuration.reload()
    assert upstream_of(configuration).credentials[0].secret == "Another~value/0123456789"
    assert secrets.scrub("Another~value/0123456789") == "[redacted]"
    # Calls that run still hold the old one.
    assert secrets.scrub("sent Odd~looking.value/0123456789!") == "sent [redacted]!"
    after = configuration.standings["cred_default"].fingerprint
    assert before is not None
    assert after is not None
    assert before != after
    assert "Odd~" not in before


async def test_a_disabled_credential_is_not_read(database: Database) -> None:
    configuration = await configured(
        database, records.credential(enabled=False), environment={"A_VARIABLE": SECRET}
    )
    assert states_of(configuration) == {"cred_default": "disabled"}
    assert configuration.standings["cred_default"].hint is None
    assert configuration.warnings == ()


async def test_the_end_of_a_short_secret_is_not_shown(database: Database) -> None:
    configuration = await configured(
        database, records.credential(), environment={"A_VARIABLE": "short-secret"}
    )
    assert configuration.standings["cred_default"].hint is None


async def test_a_provider_of_an_unknown_type_is_left_out_with_a_warning(
    database: Database,
) -> None:
    async with writing(database) as connection:
        await mappings.insert(connection, records.mapping("lost", "future"))
        await providers.insert(connection, records.provider("future", type="from_the_future"))
    configuration = await configured(database)
    assert list(configuration.snapshot.upstreams) == ["openai"]
    assert any("from_the_future" in warning for warning in configuration.warnings)
    assert any("names provider future" in warning for warning in configuration.warnings)


async def test_a_fallback_that_is_not_mapped_is_warned_of(database: Database) -> None:
    async with writing(database) as connection:
        fallbacks = [{"on": "error", "alias": "slow"}]
        await mappings.insert(connection, records.mapping(fallbacks=fallbacks))
    configuration = await configured(database)
    assert configuration.warnings == ("mapping fast falls back to slow, which is not mapped",)


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://api.openai.com/v1", "api.openai.com"),
        ("https://API.openai.com:443/other", "api.openai.com"),
        ("https://api.openai.com:8443/v1", "api.openai.com:8443"),
        ("http://api.openai.com/v1", "api.openai.com:80"),
        ("http://127.0.0.1:11434/v1", "127.0.0.1:11434"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("simulator:", ""),
    ],
)
def test_the_host_that_a_credential_is_bound_to(base_url: str, host: str) -> None:
    assert host_of(base_url) == host
