"""The configuration in force: read from storage, its secrets resolved, swapped as one value."""

import asyncio
import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import urlsplit

from conduit.core.errors import GatewaySealedError, NotFoundError
from conduit.core.ids import now_ms
from conduit.core.redaction import LiveSecrets
from conduit.core.resources.providers import CredentialState
from conduit.gateway.config.sealing import (
    KeySource,
    MissingSealingKeyError,
    OtherKeyError,
    Place,
    SealedError,
    SealingKey,
)
from conduit.gateway.config.snapshot import (
    AliasMapping,
    Credential,
    Fallback,
    Policy,
    Snapshot,
    Target,
    Upstream,
)
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.limits.scopes import limits_of
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.stated import rates_of
from conduit.gateway.provider import Provider
from conduit.gateway.storage import credentials, installation, mappings, prices, providers
from conduit.gateway.storage.credentials import StoredCredential
from conduit.gateway.storage.engine import Database, reading
from conduit.gateway.storage.mappings import StoredMapping
from conduit.gateway.storage.prices import StoredPrice
from conduit.gateway.storage.providers import StoredProvider

SECRET_LIMIT_BYTES = 16 * 1024
_HINTED_CHARACTERS = 4
_SHORTEST_HINTED_SECRET = 16
_FINGERPRINT_CHARACTERS = 12
_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a credential can be used, and what may be shown of its secret.

    The primary one comes before the others of its provider.
    """

    state: CredentialState
    hint: str | None = None
    fingerprint: str | None = None
    primary: bool = False


class Configuration:
    """Owns the snapshot. `reload` after every change that has been committed."""

    def __init__(
        self,
        database: Database,
        provider_of: Callable[[str], Provider],
        sealing_key: SealingKey | None,
        environment: Mapping[str, str] = os.environ,
        secrets: LiveSecrets | None = None,
    ) -> None:
        self._database = database
        self._provider_of = provider_of
        self._sealing_key = sealing_key
        self._environment = environment
        self._secrets = secrets if secrets is not None else LiveSecrets()
        self._reloading = asyncio.Lock()
        self._prices: Sequence[StoredPrice] = ()
        self._snapshot = Snapshot(
            0, MappingProxyType({}), MappingProxyType({}), MappingProxyType({})
        )
        self.standings: Mapping[str, Standing] = MappingProxyType({})
        """How each credential stands, by its id."""
        self.warnings: tuple[str, ...] = ()
        """What the operator should look at; never a secret."""
        self.locked = 0
        """How many credentials in use need another sealing key. Until none does, nothing is sent:
        a request that went to whatever else is ready would hide the loss."""

    @property
    def snapshot(self) -> Snapshot:
        """What is in force now: a planned price takes effect here, at its moment."""
        due_ms = self._snapshot.prices_until_ms
        if due_ms is not None and now_ms() >= due_ms:
            self._snapshot = _with_prices(self._snapshot, self._prices, now_ms())
        return self._snapshot

    def planned_prices(self) -> Sequence[StoredPrice]:
        """The prices that are to take effect."""
        at_ms = now_ms()
        return [each for each in self._prices if each.is_planned(at_ms)]

    def planned_price(self, provider: str, model: str) -> StoredPrice | None:
        """The next price of exactly this model that is to take effect."""
        planned = [
            each
            for each in self.planned_prices()
            if (each.provider, each.model) == (provider, model)
        ]
        return min(planned, key=lambda each: each.effective_from_ms, default=None)

    def prices_in_force(self) -> Mapping[tuple[str, str], StoredPrice]:
        """The prices that were set and count now, by provider and model."""
        return prices.in_force(self._prices, now_ms())

    @property
    def sealing_key(self) -> SealingKey | None:
        return self._sealing_key

    def unsealed(self) -> Snapshot:
        """The snapshot, for requests. Raises GatewaySealedError while something is locked."""
        if self.locked:
            raise GatewaySealedError(
                "the gateway is sealed: it lacks the key that opens its providers' credentials",
                hint="its operator finds in conduit status what is missing",
            )
        # Without a planned price, which is usual, it is the one that was read.
        return self._snapshot if self._snapshot.prices_until_ms is None else self.snapshot

    async def reload(self) -> Snapshot:
        """Read everything in one transaction and swap; on an error nothing changes."""
        async with self._reloading:
            return await self._swap()

    async def pass_over(self) -> Snapshot:
        """Adopt the stored revision after a change to what no snapshot holds: keys.

        Reading everything again would make each new key wait for every mapping there is.
        """
        async with self._reloading:
            async with reading(self._database) as connection:
                stored = await installation.revision(connection)
            if stored != self.snapshot.revision + 1:
                return await self._swap()  # something else has changed meanwhile
            self._snapshot = replace(self.snapshot, revision=stored)
            return self._snapshot

    async def _swap(self) -> Snapshot:
        stored = await self._read()
        resolved = await asyncio.to_thread(self._resolve_all, stored)
        # Before the first of them can be sent, and so come back in an error.
        self._secrets.hold("credentials", _hidden(stored, resolved))
        self._prices = stored.prices
        self._snapshot, self.standings, warnings = self._build(stored, resolved)
        self.warnings = tuple(map(self._secrets.scrub, warnings))
        self.locked = _locked(stored, resolved)
        return self.snapshot

    async def _read(self) -> "_Stored":
        async with reading(self._database) as connection:
            return _Stored(
                revision=await installation.revision(connection),
                providers=await providers.everything(connection),
                credentials=await credentials.everything(connection),
                mappings=await mappings.everything(connection),
                prices=await prices.everything(connection),
            )

    def _resolve_all(self, stored: "_Stored") -> "dict[str, _Resolved]":
        by_id = {provider.id: provider for provider in stored.providers}
        return {
            credential.id: self._resolve(credential, by_id[credential.provider_id])
            for credential in stored.credentials
            if credential.provider_id in by_id
        }

    def _resolve(self, credential: StoredCredential, provider: StoredProvider) -> "_Resolved":
        """The order of the checks is from what needs no secret to what does."""
        if not credential.enabled:
            return _Resolved("disabled")
        if credential.host != host_of(provider.base_url):
            return _Resolved("wrong_host", is_sealed=self._is_out_of_reach(credential))
        try:
            return _Resolved("ready", self._secret_of(credential))
        except LookupError:
            return _Resolved("missing")
        except OtherKeyError:
            return _Resolved("sealed", is_locked=True)
        except SealedError:
            return _Resolved("sealed")

    def _is_out_of_reach(self, credential: StoredCredential) -> bool:
        """Whether the credential's envelope cannot be opened here."""
        if credential.kind != "sealed":
            return False
        try:
            self._secret_of(credential)
        except SealedError:
            return True
        return False

    def _secret_of(self, credential: StoredCredential) -> str:
        """Raises LookupError where there is none, SealedError where it cannot be opened."""
        reference = credential.reference or ""
        match credential.kind:
            case "env":
                return _usable(self._environment[reference])
            case "file":
                return _usable(_read_secret_file(reference))
            case "sealed":
                if self._sealing_key is None:
                    raise OtherKeyError("there is no sealing key")
                return self._sealing_key.open(credential.sealed or "", place_of(credential.id))

    def _build(
        self, stored: "_Stored", resolved: "Mapping[str, _Resolved]"
    ) -> tuple[Snapshot, Mapping[str, Standing], list[str]]:
        warnings: list[str] = []
        upstreams: dict[str, Upstream] = {}
        for provider in stored.providers:
            own = [each for each in stored.credentials if each.provider_id == provider.id]
            warnings.extend(_credential_warnings(provider, own, resolved))
            try:
                kind = self._provider_of(provider.type)
            except NotFoundError:
                warnings.append(
                    f"provider {provider.name} is of type {provider.type}, "
                    "which this release does not have: it is left out"
                )
                continue
            upstreams[provider.name] = _upstream(provider, kind, own, resolved)
        enabled = {each.alias: _alias_mapping(each) for each in stored.mappings if each.enabled}
        warnings.extend(_mapping_warnings(enabled, upstreams))
        unpriced = Snapshot(
            stored.revision,
            MappingProxyType(upstreams),
            MappingProxyType(enabled),
            MappingProxyType({}),
        )
        snapshot = _with_prices(unpriced, stored.prices, now_ms())
        primaries = {  # the first of each provider: they come in the order of their use
            credential.provider_id: credential.id for credential in reversed(stored.credentials)
        }
        standings = {
            credential.id: Standing(
                found.state,
                _hint(credential, found),
                fingerprint_of(found.secret),
                primary=primaries[credential.provider_id] == credential.id,
            )
            for credential in stored.credentials
            if (found := resolved.get(credential.id)) is not None
        }
        return snapshot, MappingProxyType(standings), warnings


@dataclass(frozen=True, slots=True)
class _Stored:
    """All that storage holds of the configuration at one moment."""

    revision: int
    providers: Sequence[StoredProvider]
    credentials: Sequence[StoredCredential]
    mappings: Sequence[StoredMapping]
    prices: Sequence[StoredPrice]


class _Resolved:
    """A credential's state and, where it is ready, its secret; not a dataclass, to have no repr.

    `is_sealed` says of one with another state that its envelope does not open either, `is_locked`
    of a sealed one that it is the key that is wrong or missing.
    """

    __slots__ = ("is_locked", "is_sealed", "secret", "state")

    def __init__(
        self,
        state: CredentialState,
        secret: str = "",
        *,
        is_sealed: bool = False,
        is_locked: bool = False,
    ) -> None:
        self.state: CredentialState = state
        self.secret = secret
        self.is_sealed = is_sealed
        self.is_locked = is_locked


def _hidden(stored: _Stored, resolved: Mapping[str, _Resolved]) -> list[str]:
    """The secrets to be kept out of sight.

    Servers that want any key at all are given their own name for one; to hide that would make
    every mention of them unreadable.
    """
    names = {each.name for each in stored.providers} | {each.type for each in stored.providers}
    return [each.secret for each in resolved.values() if each.secret not in names]


def _locked(stored: _Stored, resolved: Mapping[str, _Resolved]) -> int:
    """How many credentials of enabled providers wait for another sealing key."""
    in_use = {provider.id for provider in stored.providers if provider.enabled}
    return sum(
        resolved[each.id].is_locked
        for each in stored.credentials
        if each.provider_id in in_use and each.id in resolved
    )


async def sealing_key_of(
    database: Database, source: KeySource
) -> tuple[SealingKey | None, tuple[str, ...]]:
    """The key, and what the operator should know where there is none. Raises SealingKeyError.

    It is made where there is no file, unless a credential is sealed already: a new key would open
    nothing, and would hide that the old one has to be put back.
    """
    async with reading(database) as connection:
        stored = await credentials.everything(connection)
    sealed = sum(credential.kind == "sealed" for credential in stored)
    try:
        return await asyncio.to_thread(source.load, make=not sealed), ()
    except MissingSealingKeyError as error:
        if not sealed:
            return None, (f"{error}: until it is there, no credential can be entered",)
        needed_by = "a stored credential needs" if sealed == 1 else f"{sealed} credentials need"
        return None, (
            f"{error}, and {needed_by} it: restore it from a backup and start again. If it is "
            "lost, remove what is sealed (conduit providers credentials remove), start again with "
            "a new key, and enter the credentials again",
        )


def place_of(credential_id: str) -> Place:
    """Where the sealed secret of a credential is kept."""
    return Place("credentials", credential_id, "sealed")


def host_of(base_url: str) -> str:
    """What a credential is bound to: the host, with its port unless that is the one of https.

    Another port is another server, and http is not as good as https: both need a new entry.
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    port = parts.port or (80 if parts.scheme == "http" else None)
    if port is None or (parts.scheme == "https" and port == _HTTPS_PORT):
        return host
    return f"{host}:{port}"


def hint_of(secret: str) -> str | None:
    """The last four characters, unless the secret is so short that they would tell much of it."""
    return secret[-_HINTED_CHARACTERS:] if len(secret) >= _SHORTEST_HINTED_SECRET else None


def fingerprint_of(secret: str) -> str | None:
    """What tells two secrets apart; None for one so short that it could be found by trying."""
    if len(secret) < _SHORTEST_HINTED_SECRET:
        return None
    return hashlib.sha256(secret.encode()).hexdigest()[:_FINGERPRINT_CHARACTERS]


def secret_in(text: str) -> str | None:
    """The secret in a text, on one line; None where it is none that can be used.

    It is visible ASCII without spaces, as it stands in a header, or a JSON object of which a token
    or a signature is made. 16 KiB at most.
    """
    secret = text.strip()
    if not 0 < len(secret) <= SECRET_LIMIT_BYTES or not secret.isascii():
        return None
    if secret.startswith("{"):
        value = read_json(secret.encode())
        return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else None
    return secret if secret.isprintable() and " " not in secret else None


def _with_prices(snapshot: Snapshot, stored: Sequence[StoredPrice], at_ms: int) -> Snapshot:
    """The snapshot with the prices that count at a moment, and until when they do."""
    rates: dict[tuple[str, str], Rates] = {
        named: rates_of(price) for named, price in prices.in_force(stored, at_ms).items()
    }
    until_ms = min(
        (each.effective_from_ms for each in stored if each.is_planned(at_ms)), default=None
    )
    return replace(snapshot, rates=MappingProxyType(rates), prices_until_ms=until_ms)


def _usable(text: str) -> str:
    secret = secret_in(text)
    if secret is None:
        raise LookupError("no usable secret")
    return secret


def _read_secret_file(path: str) -> str:
    """Raises LookupError for anything but a readable file of sensible size."""
    try:
        # Not blocking, as opening a pipe would otherwise wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise LookupError("not a file")
            return file.read(SECRET_LIMIT_BYTES + 1).decode("utf-8")
    except (OSError, ValueError) as error:
        raise LookupError("the file cannot be read") from error


def _hint(credential: StoredCredential, found: _Resolved) -> str | None:
    return credential.hint or (hint_of(found.secret) if found.state == "ready" else None)


def _upstream(
    provider: StoredProvider,
    kind: Provider,
    own: Sequence[StoredCredential],
    resolved: Mapping[str, _Resolved],
) -> Upstream:
    ready = (each for each in own if resolved[each.id].state == "ready")
    return Upstream(
        id=provider.id,
        name=provider.name,
        provider=kind,
        base_url=provider.base_url,
        allow_private=provider.allow_private,
        enabled=provider.enabled,
        credentials=tuple(
            Credential(
                each.id,
                each.name,
                resolved[each.id].secret,
                each.weight,
                each.max_in_flight,
                each.requests_per_minute,
                each.position,
            )
            for each in ready
        ),
        drains=provider.on_hang_up == "drain",
        expects_credential=bool(own),
    )


def _alias_mapping(mapping: StoredMapping) -> AliasMapping:
    return AliasMapping(
        id=mapping.id,
        alias=mapping.alias,
        strategy=mapping.strategy,
        targets=tuple(Target(**target) for target in mapping.targets),
        fallbacks=tuple(Fallback(**fallback) for fallback in mapping.fallbacks),
        created_at_ms=mapping.created_at_ms,
        policy=Policy(**mapping.policy),
        version=mapping.version,
        limits=limits_of(mapping.limits),
    )


def _credential_warnings(
    provider: StoredProvider,
    own: Sequence[StoredCredential],
    resolved: Mapping[str, _Resolved],
) -> list[str]:
    return [
        f"credential {each.name} of provider {provider.name} {reason}"
        for each in own
        if (reason := _unusable_because(each, resolved[each.id])) is not None
    ]


def _unusable_because(credential: StoredCredential, found: _Resolved) -> str | None:
    sealed = "is sealed with a key that this gateway does not have"
    match found.state:
        case "missing":
            return f"cannot be found at {source_of(credential)}"
        case "sealed":
            return f"{sealed}: restore the sealing key, or remove it and enter it again"
        case "wrong_host":
            also = f" and {sealed}" if found.is_sealed else ""
            return f"was entered for {credential.host}{also}: enter it again for the new base URL"
        case _:
            return None


def source_of(credential: StoredCredential) -> str:
    """Where a secret comes from, as every front-end shows it."""
    if credential.kind == "sealed":
        return "sealed"
    return f"{credential.kind}:{credential.reference}"


def _mapping_warnings(
    enabled: Mapping[str, AliasMapping], upstreams: Mapping[str, Upstream]
) -> list[str]:
    gone = [
        f"mapping {mapping.alias} names provider {target.provider}, which there is not"
        for mapping in enabled.values()
        for target in mapping.targets
        if target.provider not in upstreams
    ]
    lost = [
        f"mapping {mapping.alias} falls back to {fallback.alias}, which is not mapped"
        for mapping in enabled.values()
        for fallback in mapping.fallbacks
        if fallback.alias not in enabled
    ]
    return gone + lost
