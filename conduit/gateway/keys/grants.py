"""What virtual keys may do, made of what storage holds of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conduit.gateway.config.snapshot import GroupGrant, KeyGrant
from conduit.gateway.limits.scopes import limits_of
from conduit.gateway.storage import budgets, groups, keys
from conduit.gateway.storage.budgets import StoredBudget
from conduit.gateway.storage.engine import Transaction
from conduit.gateway.storage.groups import StoredGroup
from conduit.gateway.storage.keys import StoredKey


async def read_grant(connection: Transaction, digest: bytes) -> KeyGrant | None:
    """What the secret of a digest may do; None where no key has it."""
    key = await keys.find_by_digest(connection, digest)
    if key is None:
        return None
    return (await _Makings.read(connection, [key])).grant(key, digest)


async def grants_of(
    connection: Transaction, found: Sequence[StoredKey]
) -> list[tuple[bytes, KeyGrant]]:
    """Every secret of some keys by its digest, the former ones too, and what it may do."""
    makings = await _Makings.read(connection, found)
    return [(digest, makings.grant(key, digest)) for key in found for digest in _digests(key)]


@dataclass(frozen=True, slots=True)
class _Makings:
    """What the grants of some keys are made of beside the keys: their groups by id, and the ids of
    those keys and groups that have a hard budget.
    """

    groups: Mapping[str, GroupGrant]
    with_hard_budget: frozenset[str]

    @classmethod
    async def read(cls, connection: Transaction, found: Sequence[StoredKey]) -> "_Makings":
        own = await budgets.of_keys(connection, [key.id for key in found])
        group_ids = {key.group_id for key in found if key.group_id is not None}
        if not group_ids:
            return cls({}, _hard(own))
        of_groups = await budgets.of_groups(connection, sorted(group_ids))
        stored = await groups.of_ids(connection, group_ids)
        made = {group.id: _group_grant(group) for group in stored.values()}
        return cls(made, _hard((*own, *of_groups)))

    def grant(self, key: StoredKey, digest: bytes) -> KeyGrant:
        """What a secret of the key may do."""
        # A group that there is not would be a fault of ours; it lets nothing pass.
        group = None if key.group_id is None else self.groups[key.group_id]
        return _grant(
            key,
            _expiry(key, digest),
            group,
            has_hard_budget=not self.with_hard_budget.isdisjoint((key.id, key.group_id)),
        )


def _hard(found: Iterable[StoredBudget]) -> frozenset[str]:
    return frozenset(budget.scope_id for budget in found if budget.mode == "hard")


def _group_grant(group: StoredGroup) -> GroupGrant:
    return GroupGrant(
        id=group.id,
        name=group.name,
        enabled=group.enabled,
        allowed_models=tuple(group.allowed_models),
        limits=limits_of(group.limits),
        allowed_ips=tuple(group.allowed_ips),
    )


def _digests(key: StoredKey) -> Iterator[bytes]:
    yield key.digest
    if key.former_digest is not None:
        yield key.former_digest


def _expiry(key: StoredKey, digest: bytes) -> int | None:
    """When the secret of a digest ends: the former one at its own time, if that is sooner."""
    if digest == key.digest:
        return key.expires_at_ms
    ends = (key.former_expires_at_ms, key.expires_at_ms)
    return min((end for end in ends if end is not None), default=0)


def _grant(
    key: StoredKey,
    expires_at_ms: int | None,
    group: GroupGrant | None,
    *,
    has_hard_budget: bool,
) -> KeyGrant:
    return KeyGrant(
        id=key.id,
        name=key.name,
        enabled=key.enabled,
        allowed_models=tuple(key.allowed_models),
        expires_at_ms=expires_at_ms,
        has_hard_budget=has_hard_budget,
        log_bodies=key.log_bodies,
        allow_direct=key.allow_direct,
        limits=limits_of(key.limits),
        allowed_ips=tuple(key.allowed_ips),
        priority=key.priority,
        group=group,
    )
