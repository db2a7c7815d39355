"""Hints for a key that a gateway refused: which key was sent, where it came from, what helps."""

from conduit.client.contexts import Resolved
from conduit.core.keys import is_virtual_key


def master_key_hint(where: Resolved) -> str:
    """For what administers a gateway."""
    if where.master_key is not None and is_virtual_key(where.master_key):
        what = "that is a virtual key, and the master key is needed"
    else:
        what = f"{where.admin} does not know this master key"
    return f"{what} (from {_origin(where, where.master_key_origin)}); {_step(where)}"


def _step(where: Resolved) -> str:
    if where.master_key_origin.startswith("env "):
        return f"correct {where.master_key_origin.removeprefix('env ')}, or unset it"
    name = f" {where.context.name}" if where.context is not None else ""
    return f"store the right one with: conduit auth login{name}"


def client_key_hint(where: Resolved) -> str:
    """For what calls models."""
    if where.virtual_key is None:
        return "a virtual key is needed: set CONDUIT_API_KEY; make one with: conduit keys create"
    return (
        f"that was the virtual key from {_origin(where, where.virtual_key_origin)}; "
        "see what it is: conduit keys check; make another one: conduit keys create"
    )


def _origin(where: Resolved, origin: str) -> str:
    if origin.startswith("env "):
        return f"the variable {origin.removeprefix('env ')}"
    return f"context {where.context.name}, {origin}" if where.context is not None else origin
