"""What is told of a key that a gateway refused: which one, where it came from, what helps."""

from conduit.cli.failures import BARRED
from conduit.client.contexts import Resolved
from conduit.client.errors import ApiError
from conduit.core.keys import is_master_key, is_virtual_key

# What the gateway says of a key that it knows, such as one that is disabled, says more than we can.
_UNKNOWN = ("invalid_api_key", BARRED)


def tell_master_key(error: ApiError, where: Resolved) -> None:
    """Say of an error what is wrong with the master key, for who administers the gateway."""
    name = f"{where.context.name} " if where.context is not None else ""
    gateway, origin = f"{name}{where.admin}", _origin(where, where.master_key_origin)
    if where.master_key is not None and is_virtual_key(where.master_key):
        said = f"{gateway} wants its master key, and that is a virtual key, from {origin}"
    else:
        said = f"{gateway} does not know the master key from {origin}"
    _say(error, said, _step(where))


def _step(where: Resolved) -> str:
    if where.master_key_origin.startswith("env "):
        variable = where.master_key_origin.removeprefix("env ")
        return f"correct {variable}, or unset it for the key that a context stores"
    name = f" {where.context.name}" if where.context is not None else ""
    return f"store the right one with: conduit auth login{name}"


def tell_client_key(error: ApiError, where: Resolved) -> None:
    """Say of an error what is wrong with the virtual key, for who calls models."""
    if where.virtual_key is None:
        said = f"{where.url} wants a virtual key, and none is known"
        _say(error, said, "set CONDUIT_API_KEY; make one with: conduit keys create")
        return
    origin = _origin(where, where.virtual_key_origin)
    if is_master_key(where.virtual_key):
        said = f"{where.url} wants a virtual key, and that is a master key, from {origin}"
        _say(error, said, "make a virtual key with: conduit keys create")
        return
    hint = (
        f"that was the virtual key from {origin}; "
        "see what it is: conduit keys check; make another one: conduit keys create"
    )
    _say(error, f"{where.url} does not know the virtual key from {origin}", hint)


def _say(error: ApiError, said: str, hint: str) -> None:
    if error.code == BARRED:
        hint = f"{hint}; no other wrong one is looked at for a while, a right one always is"
    if error.code in _UNKNOWN:
        error.message, error.args = said, (said,)
    if error.hint is None:
        error.hint = hint


def _origin(where: Resolved, origin: str) -> str:
    if origin.startswith("env "):
        return f"the variable {origin.removeprefix('env ')}"
    return f"context {where.context.name}, {origin}" if where.context is not None else origin
