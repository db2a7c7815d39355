"""By what sticky routing tells one conversation, or one user, from others."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.exchange import Exchange

SESSION_HEADER: Final = "x-conduit-session"
_LONGEST: Final = 512
_OF_A_SESSION: Final = frozenset({"prompt_cache_key", "metadata"})
_OF_A_USER: Final = frozenset({"safety_identifier", "user", "metadata"})
NAMING_FIELDS: Final = _OF_A_SESSION | _OF_A_USER
"""All fields of a call that may name either."""


def session_of(exchange: Exchange, sticky: str) -> str | None:
    """By what requests are kept together; None where nothing names it. Keys never share one."""
    if sticky == "off":
        return None
    named = named_session(exchange) if sticky == "session" else None
    named = named or named_user(exchange)
    return None if named is None else f"{exchange.granted_key.id}/{named}"


def named_session(exchange: Exchange) -> str | None:
    """The session, as the client names it: `x-conduit-session`, OpenAI's `prompt_cache_key`, or
    what its metadata has as `session_id`, in Claude Code's `user_id` too.
    """
    header = None if exchange.incoming is None else exchange.incoming.headers.get(SESSION_HEADER)
    if header is None and _OF_A_SESSION.isdisjoint(exchange.call.fields):
        return None  # as of most requests
    named = _text(header) or _field(exchange, "prompt_cache_key")
    if named is None and "metadata" in exchange.call.fields:
        metadata = _metadata(exchange)
        named = _text(metadata.get("session_id")) or _parts_of(metadata.get("user_id"))[1]
    return named


def named_user(exchange: Exchange) -> str | None:
    """The end user: `safety_identifier`, `user`, or Anthropic's `metadata.user_id`."""
    if _OF_A_USER.isdisjoint(exchange.call.fields):
        return None  # as of most requests
    named = _field(exchange, "safety_identifier") or _field(exchange, "user")
    return named or _parts_of(_metadata(exchange).get("user_id"))[0]


def _metadata(exchange: Exchange) -> Mapping[str, Any]:
    found = exchange.call.read("metadata")
    return found if isinstance(found, dict) else {}


def _parts_of(user_id: object) -> tuple[str | None, str | None]:
    """The user and the session of a `user_id`, which holds both where Claude Code wrote it.

    Up to its version 2.1.77 that is `user_HASH_account_ID_session_ID`, and from then on a JSON
    object of `device_id`, `account_uuid` and `session_id`.
    """
    if not isinstance(user_id, str):
        return None, None
    if user_id.startswith("{"):
        found = read_json(user_id.encode("utf-8", "replace"))
        if isinstance(found, dict) and "session_id" in found:
            user = _text(found.get("account_uuid")) or _text(found.get("device_id"))
            return user, _text(found["session_id"])
    if user_id.startswith("user_") and "_session_" in user_id:
        user, _, session = user_id.rpartition("_session_")
        return _text(user), _text(session)
    return _text(user_id), None


def _field(exchange: Exchange, name: str) -> str | None:
    return _text(exchange.call.read(name))


def _text(value: object) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None
