"""Which aliases a key may use."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from conduit.gateway.snapshot import KeyGrant


def may_use(key: KeyGrant, alias: str) -> bool:
    """Whether one of the key's patterns, with `*` for any run of characters, fits the alias."""
    return allowed_by(key.allowed_models, alias)


def allowed_by(patterns: Sequence[str], alias: str) -> bool:
    """Whether one of the patterns fits the alias."""
    if "*" in patterns or alias in patterns:
        return True
    return any(fnmatchcase(alias, _literal(pattern)) for pattern in patterns)


def _literal(pattern: str) -> str:
    # Only * is special in a pattern of ours; ? and [ are ordinary characters of model names.
    return pattern.replace("[", "[[]").replace("?", "[?]")
