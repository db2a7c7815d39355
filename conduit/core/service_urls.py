"""The URLs of the database and of Redis, which may hold a password."""

import re
from urllib.parse import unquote, urlsplit

# RFC 3986, 3.2.1, less the apostrophe: what is taken for a password here is hidden as one.
_USER_INFO = re.compile(r"[A-Za-z0-9\-._~%!$&()*+,;=:]*")
_REDIS_URL = re.compile(
    rf"(rediss?://({_USER_INFO.pattern}@)?[^@/?#\s]+(/\d*)?|unix://[^@?\s]+)(\?(?!.*password=)\S*)?"
)


def refuse_raw_password(database_url: str) -> None:
    """Raise ValueError where a database's password is not percent-encoded, or not before the host.

    It would be taken for another part of the URL, and shown as such.
    """
    scheme, found, rest = database_url.partition("://")
    if not found or scheme.startswith("sqlite"):
        return
    if not _USER_INFO.fullmatch(rest.rpartition("@")[0]):
        raise ValueError(
            "the special characters of a password are written percent-encoded: "
            "@ is %40, / is %2F, ? is %3F, # is %23, ' is %27"
        )
    if "password=" in rest:
        raise ValueError("the password is written before the host: USER:PASSWORD@HOST")


def refuse_no_redis(redis_url: str) -> None:
    """Raise ValueError for what is not the URL of a Redis."""
    if not _REDIS_URL.fullmatch(redis_url):
        example = "redis://127.0.0.1:6379/0, with a password percent-encoded"
        raise ValueError(f"a URL is expected such as {example}")


def password_of(url: str | None) -> str | None:
    """The password in a URL, as it is meant."""
    try:
        password = urlsplit(url or "").password
    except ValueError:  # no URL at all, which the database's opening will say
        return None
    return unquote(password) if password else None
