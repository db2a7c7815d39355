"""By what sticky routing tells one conversation, or one user, from others."""

from typing import Final

from conduit.gateway.exchange import Exchange

SESSION_HEADER: Final = "x-conduit-session"
_LONGEST: Final = 512


def session_of(exchange: Exchange, sticky: str) -> str | None:
    """What names the session or the user of a request; None where nothing does.

    A session is named by the header `x-conduit-session`, by OpenAI's `prompt_cache_key`, or else
    by whatever names the user: `safety_identifier`, `user`, or Anthropic's `metadata.user_id`.
    Keys never share one.
    """
    if sticky == "off":
        return None
    named = None
    if sticky == "session":
        named = _header(exchange) or _field(exchange, "prompt_cache_key")
    named = named or _user(exchange)
    return None if named is None else f"{exchange.granted_key.id}/{named[:_LONGEST]}"


def _header(exchange: Exchange) -> str | None:
    return None if exchange.incoming is None else exchange.incoming.headers.get(SESSION_HEADER)


def _user(exchange: Exchange) -> str | None:
    named = _field(exchange, "safety_identifier") or _field(exchange, "user")
    if named is None and isinstance(metadata := exchange.call.read("metadata"), dict):
        named = _text(metadata.get("user_id"))
    return named


def _field(exchange: Exchange, name: str) -> str | None:
    return _text(exchange.call.read(name))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
