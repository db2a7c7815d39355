"""Which aliases a key may use."""

from collections.abc import Sequence

from conduit.core.aliases import fits
from conduit.gateway.config.snapshot import KeyGrant


def may_use(key: KeyGrant, alias: str) -> bool:
    """Whether a pattern of the key, and one of its group, fits the alias; `*` is any text."""
    if not allowed_by(key.allowed_models, alias):
        return False
    return key.group is None or allowed_by(key.group.allowed_models, alias)


def who_may_not(key: KeyGrant, alias: str) -> str:
    """The key, or its group, whose patterns do not fit the alias, for a refusal."""
    group = key.group
    if group is not None and allowed_by(key.allowed_models, alias):
        return f"the group {group.name!r} of the key {key.name!r}"
    return f"the key {key.name!r}"


def allowed_by(patterns: Sequence[str], alias: str) -> bool:
    """Whether one of the patterns fits the alias."""
    if "*" in patterns or alias in patterns:
        return True
    return any(fits(pattern, alias) for pattern in patterns)
