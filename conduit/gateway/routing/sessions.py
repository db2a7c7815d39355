"""By what sticky routing tells one conversation, or one user, from others."""

from typing import Final

from conduit.gateway.exchange import Exchange

SESSION_HEADER: Final = "x-conduit-session"
_LONGEST: Final = 512
_OF_A_USER: Final = frozenset({"safety_identifier", "user", "metadata"})


def session_of(exchange: Exchange, sticky: str) -> str | None:
    """By what requests are kept together; None where nothing names it. Keys never share one."""
    if sticky == "off":
        return None
    named = named_session(exchange) if sticky == "session" else None
    named = named or named_user(exchange)
    return None if named is None else f"{exchange.granted_key.id}/{named}"


def named_session(exchange: Exchange) -> str | None:
    """The session, as the client names it: `x-conduit-session` or OpenAI's `prompt_cache_key`."""
    header = None if exchange.incoming is None else exchange.incoming.headers.get(SESSION_HEADER)
    return _text(header) or _field(exchange, "prompt_cache_key")


def named_user(exchange: Exchange) -> str | None:
    """The end user: `safety_identifier`, `user`, or Anthropic's `metadata.user_id`."""
    if _OF_A_USER.isdisjoint(exchange.call.fields):
        return None  # as of most requests
    named = _field(exchange, "safety_identifier") or _field(exchange, "user")
    if named is None and isinstance(metadata := exchange.call.read("metadata"), dict):
        named = _text(metadata.get("user_id"))
    return named


def _field(exchange: Exchange, name: str) -> str | None:
    return _text(exchange.call.read(name))


def _text(value: object) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None
