"""Credentials that calls leave out for a while, as lists of them tell it."""

from collections.abc import Sequence

from conduit.cli.console import Tone
from conduit.client.api import Record
from conduit.core import people


def state_of(credential: Record) -> str:
    """Its state; `invalid_key until …` where its provider refuses it, and the models that it is
    left out for.
    """
    found = _left_out(credential)
    if not found:
        return str(credential["state"])
    first = found[0]
    told = f"{first['state']} until {people.moment(first['until'])}"
    if first["model"] is None:
        return told
    if len(found) > 1:
        return f"{credential['state']}, but for {people.counted(len(found), 'model')}"
    return f"{credential['state']}, but for {first['model']}: {told}"


def tone_of(credential: Record) -> Tone:
    found = _left_out(credential)
    if found:
        return "warn" if found[0]["model"] is not None else "bad"
    return "good" if credential["state"] == "ready" else "warn"


def is_usable(credential: Record) -> bool:
    """Whether calls of some model go out with it."""
    return credential["state"] == "ready" and all(
        each["model"] is not None for each in _left_out(credential)
    )


def undoing(provider: str, credentials: Sequence[Record]) -> str | None:
    """The command that has the first one used again which is left out."""
    for credential in credentials:
        if _left_out(credential):
            return f"conduit breakers reset {provider} --credential {credential['name']}"
    return None


def _left_out(credential: Record) -> Sequence[Record]:
    """What a gateway holds against a credential that could be used, the gravest first; one of
    before says nothing of it.
    """
    found: Sequence[Record] = credential.get("left_out") or ()
    return found if credential["state"] == "ready" else ()
