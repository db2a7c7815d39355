"""Bringing the configuration back to what it was: what to change, and what cannot be had again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conduit.core.errors import ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.resources.revisions import Unrestorable
from conduit.gateway.admin import credentials as credential_operations
from conduit.gateway.admin import mappings as mapping_operations
from conduit.gateway.admin import providers as provider_operations
from conduit.gateway.storage import credentials, mappings, prices, providers
from conduit.gateway.storage.credentials import StoredCredential
from conduit.gateway.storage.engine import Transaction
from conduit.gateway.storage.mappings import StoredMapping
from conduit.gateway.storage.prices import StoredPrice
from conduit.gateway.storage.providers import StoredProvider
from conduit.gateway.storage.revisions import RESTORED, Change, Kind, State, StoredRevision

Named = tuple[Kind, str]
Told = tuple[EventKind, Mapping[str, Any]]
"""What an event tells of a change."""

_GONE = "its secret is not kept with the history, and is gone"
_REPLACED = "its secret was entered anew since, and the former one is gone"


@dataclass(frozen=True, slots=True)
class Present:
    """The configuration as it is stored now, by name."""

    providers: Mapping[str, StoredProvider]
    credentials: Mapping[str, StoredCredential]
    mappings: Mapping[str, StoredMapping]
    prices: Mapping[str, StoredPrice]

    def state_of(self, kind: Kind, name: str) -> State | None:
        """The record as the history tells of it."""
        match kind:
            case "provider":
                provider = self.providers.get(name)
                return None if provider is None else providers.told(provider)
            case "credential":
                credential = self.credentials.get(name)
                return None if credential is None else credentials.told(credential)
            case "mapping":
                mapping = self.mappings.get(name)
                return None if mapping is None else mappings.told(mapping)
            case "price":
                price = self.prices.get(name)
                return None if price is None else prices.told(price)
            case _:
                raise KeyError(kind)


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes in an order that works, and what cannot be brought back."""

    changes: tuple[Change, ...]
    left: tuple[Unrestorable, ...]


async def read_present(connection: Transaction) -> Present:
    stored = {each.id: each for each in await providers.everything(connection)}
    return Present(
        providers={each.name: each for each in stored.values()},
        credentials={
            f"{stored[each.provider_id].name}/{each.name}": each
            for each in await credentials.everything(connection)
            if each.provider_id in stored
        },
        mappings={each.alias: each for each in await mappings.everything(connection)},
        prices={
            f"{provider}/{model}": each
            for (provider, model), each in prices.in_force(
                await prices.everything(connection), now_ms()
            ).items()
        },
    )


def plan(undone: Sequence[StoredRevision], present: Present, *, prune: bool) -> Plan:
    """What leads from the present to before these revisions, of which the newest is the first."""
    former: dict[Named, State | None] = {}
    entered: set[str] = set()
    for revision in undone:
        for change in reversed(revision.changes):
            if change.kind in RESTORED:
                former[change.kind, change.name] = change.before
                if change.note is not None:
                    entered.add(change.name)
    return _Planning(former, entered, present, prune=prune).plan()


class _Planning:
    """One plan in the making. `entered` are credentials whose secrets were entered anew since."""

    def __init__(
        self,
        former: Mapping[Named, State | None],
        entered: set[str],
        present: Present,
        *,
        prune: bool,
    ) -> None:
        self._former = former
        self._entered = entered
        self._present = present
        self._prune = prune
        self._left: list[Unrestorable] = []

    def plan(self) -> Plan:
        # What refers to others comes after them, and goes before them.
        made = [*self._providers(), *self._credentials()]
        known = self._present.providers.keys() | _names("provider", made)
        made += [*self._mappings(known), *self._prices(known)]
        removed = list(self._removed(made)) if self._prune else []
        return Plan((*made, *removed), tuple(self._left))

    def _wanted(self, kind: Kind) -> Iterator[Change]:
        """What was there and is not now, or is another."""
        for (each, name), state in self._former.items():
            present = self._present.state_of(each, name) if each == kind else None
            if each == kind and state not in (None, present):
                yield Change(kind, name, present, state)

    def _providers(self) -> Iterator[Change]:
        for change in self._wanted("provider"):
            try:
                provider_operations.refuse_unusable(change.after or {})
            except ValidationFailedError as error:
                self._leave(change, error.message, error.hint)
            else:
                yield change

    def _credentials(self) -> Iterator[Change]:
        lost = {each.name for each in self._left}
        for (kind, name), state in self._former.items():
            if kind != "credential" or state is None or name.partition("/")[0] in lost:
                continue
            present = self._present.state_of("credential", name)
            change = Change("credential", name, present, state)
            if state["kind"] == "sealed" and (why := self._secret_lost(name, state, present)):
                provider, _, own = name.partition("/")
                verb = "add" if present is None else "update"
                named = f"{provider} --name {own}" if present is None else f"{provider} {own}"
                self._leave(change, why, f"conduit providers credentials {verb} {named}")
                if present is None or present["kind"] != "sealed":
                    continue
                # The rest of it can be had: the secret that is there stays where it belongs.
                kept = {"id": present["id"], "host": present["host"]}
                change = replace(change, after={**state, **kept})
            if change.after != present:
                yield change

    def _secret_lost(self, name: str, state: State, present: State | None) -> str | None:
        """Why the secret of that time cannot be had any more."""
        if present is None or present["kind"] != "sealed":
            return _GONE
        if present["id"] != state["id"] or name in self._entered:
            return _REPLACED
        return None

    def _mappings(self, known: Iterable[str]) -> Iterator[Change]:
        names = set(known)
        for change in self._wanted("mapping"):
            try:
                mapping_operations.check_targets((change.after or {})["targets"], names)
            except ValidationFailedError as error:
                self._leave(change, error.message, error.hint)
            else:
                yield change

    def _prices(self, known: Iterable[str]) -> Iterator[Change]:
        names = set(known)
        for change in self._wanted("price"):
            if change.name.partition("/")[0] in names:
                yield change

    def _removed(self, made: Sequence[Change]) -> Iterator[Change]:
        kinds: tuple[Kind, ...] = ("price", "mapping", "credential", "provider")
        for kind in kinds:
            for (each, name), state in self._former.items():
                present = self._present.state_of(each, name) if each == kind else None
                if each != kind or state is not None or present is None:
                    continue
                change = Change(kind, name, present, None)
                if kind == "provider" and (using := self._still_using(name, made)):
                    self._leave(change, f"it serves {', '.join(using)}, which stays")
                else:
                    yield change

    def _still_using(self, provider: str, made: Sequence[Change]) -> list[str]:
        """The mappings that name a provider when all is done."""
        targets = {alias: each.targets for alias, each in self._present.mappings.items()}
        for (kind, name), state in self._former.items():
            if kind == "mapping" and state is None:
                targets.pop(name, None)
        targets |= {
            each.name: each.after["targets"]
            for each in made
            if each.kind == "mapping" and each.after is not None
        }
        return [
            alias
            for alias, each in targets.items()
            if any(target["provider"] == provider for target in each)
        ]

    def _leave(self, change: Change, reason: str, hint: str | None = None) -> None:
        self._left.append(
            Unrestorable(kind=change.kind, name=change.name, reason=reason, hint=hint)
        )


def _names(kind: Kind, changes: Iterable[Change]) -> set[str]:
    return {each.name for each in changes if each.kind == kind}


async def carry_out(connection: Transaction, changes: Iterable[Change]) -> list[Told]:
    """Make the changes of a plan; what events have to tell once they are in force."""
    return [await _carry_out(connection, change) for change in changes]


async def _carry_out(connection: Transaction, change: Change) -> Told:
    match change.kind:
        case "provider":
            return await _bring_provider(connection, change)
        case "credential":
            return await _bring_credential(connection, change)
        case "mapping":
            return await _bring_mapping(connection, change)
        case "price":
            return await _bring_price(connection, change)
        case _:
            raise ValueError(change.kind)


async def _bring_provider(connection: Transaction, change: Change) -> Told:
    at_ms = now_ms()
    if change.before is None:
        made = StoredProvider(
            id=new_id("prov", at_ms),
            name=change.name,
            **(change.after or {}),
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            version=1,
        )
        await providers.insert(connection, made)
        return EventKind.PROVIDER_CREATED, provider_operations.facts(made)
    provider = await providers.find(connection, change.name)
    if change.after is None:
        await providers.remove(connection, provider)
        return EventKind.PROVIDER_DELETED, provider_operations.facts(provider)
    values = {**change.after, "updated_at_ms": at_ms}
    provider = await providers.change(connection, provider, values, version=None)
    return EventKind.PROVIDER_UPDATED, provider_operations.facts(provider)


async def _bring_credential(connection: Transaction, change: Change) -> Told:
    at_ms = now_ms()
    of, _, name = change.name.partition("/")
    provider = await providers.find(connection, of)
    if change.before is None:
        # With its id, by which those of one provider are ordered.
        made = StoredCredential(
            **(change.after or {}),
            provider_id=provider.id,
            name=name,
            sealed=None,
            hint=None,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            version=1,
        )
        await credentials.insert(connection, made)
        return EventKind.CREDENTIAL_CREATED, credential_operations.facts(provider, made)
    credential = await credentials.find(connection, provider.id, name)
    if change.after is None:
        await credentials.remove(connection, credential)
        return EventKind.CREDENTIAL_DELETED, credential_operations.facts(provider, credential)
    values = {**change.after, "updated_at_ms": at_ms}
    if values["kind"] != "sealed":
        values |= {"sealed": None, "hint": None}
    credential = await credentials.change(connection, credential, values, version=None)
    return EventKind.CREDENTIAL_UPDATED, credential_operations.facts(provider, credential)


async def _bring_mapping(connection: Transaction, change: Change) -> Told:
    at_ms = now_ms()
    if change.before is None:
        made = StoredMapping(
            id=new_id("map", at_ms),
            alias=change.name,
            **(change.after or {}),
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            version=1,
        )
        await mappings.insert(connection, made)
        return EventKind.MAPPING_CREATED, mapping_operations.facts(made)
    mapping = await mappings.find(connection, change.name)
    if change.after is None:
        await mappings.remove(connection, mapping)
        return EventKind.MAPPING_DELETED, mapping_operations.facts(mapping)
    # A revision from before mappings had a policy and limits says nothing of them.
    values = {"policy": {}, "limits": [], **change.after, "updated_at_ms": at_ms}
    mapping = await mappings.change(connection, mapping, values, version=None)
    return EventKind.MAPPING_UPDATED, mapping_operations.facts(mapping)


async def _bring_price(connection: Transaction, change: Change) -> Told:
    provider, _, model = change.name.partition("/")
    told: dict[str, Any] = {"provider": provider, "model": model}
    if change.after is None:
        await prices.remove(connection, provider, model)
        return EventKind.PRICE_REMOVED, told
    at_ms = now_ms()
    price = StoredPrice(
        provider, model, set_at_ms=at_ms, effective_from_ms=at_ms, **dict(change.after)
    )
    await prices.put(connection, price)
    return EventKind.PRICE_SET, told
