"""Ids and times that a client's format demands, and a provider of another format may not have."""

import secrets
import time


def id_with(prefix: str, given: str | None) -> str:
    """The provider's own id, with the beginning that this format's clients know; or a new one."""
    if not given:
        return prefix + secrets.token_hex(12)
    return given if given.startswith(prefix) else prefix + given


def id_or_new(prefix: str, given: str | None) -> str:
    """The provider's own id as it stands, or a new one."""
    return given or prefix + secrets.token_hex(12)


def time_or_now(created_s: int) -> int:
    return created_s or int(time.time())
