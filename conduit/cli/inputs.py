"""What people type, read: durations, moments, amounts, pairs and secrets."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conduit.cli.failures import Failure
from conduit.cli.files import text_of
from conduit.core.counts import parse_count
from conduit.core.filters import parse_filter
from conduit.core.moments import parse_duration, parse_moment
from conduit.core.money import format_usd, parse_usd

_PER = {"1": 1, "1k": 1_000, "1m": 1_000_000}


def duration_s(text: str, flag: str) -> float:
    """Seconds of `90s`, `15m`, `24h`, `30d`; a bare number is seconds. Raises Failure."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Failure(f"{flag}: {error}") from error


def moment(text: str, flag: str, *, ahead: bool) -> str:
    """RFC 3339 of an RFC 3339 text, epoch seconds, `yesterday`, or a duration from now.

    `ahead` says whether a duration reaches into the future (an expiry) or the past (since when).
    Raises Failure.
    """
    try:
        return parse_moment(text, ahead=ahead)
    except ValueError as error:
        raise Failure(f"{flag}: {error}") from error


def count(text: str, flag: str) -> int:
    """A whole number of `50`, `100k` or `1M`, in powers of 1000. Raises Failure."""
    try:
        return parse_count(text)
    except ValueError as error:
        raise Failure(f"{flag}: {error}") from error


def amount(text: str, flag: str) -> str:
    """A decimal string in USD. Raises Failure."""
    try:
        return format_usd(parse_usd(text))
    except ValueError as error:
        raise Failure(f"{flag}: {error}") from error


def price_per_million(text: str, per: str, flag: str) -> str:
    """USD per million units of a price per 1M, 1K or 1. Raises Failure."""
    units = _PER.get(per.strip().lower())
    if units is None:
        raise Failure(f"--per: 1M, 1K or 1 is expected, not {per!r}")
    try:
        return format_usd(parse_usd(text) * (1_000_000 // units))
    except ValueError as error:
        raise Failure(f"{flag}: {error}") from error


def request_filter(text: str | None) -> str | None:
    """A filter of requests, checked before it is sent anywhere. Raises Failure."""
    try:
        parse_filter(text or "")
    except ValueError as error:
        raise Failure(f"--filter: {error}") from error
    return text


def require_one_of(given: str | None, known: Sequence[str], flag: str) -> None:
    """Refuse what is given and none of the words that are known. Raises Failure."""
    if given is not None and given not in known:
        raise Failure(f"{flag}: {', '.join(known)} is expected, not {given!r}")


def names(text: str) -> list[str]:
    """The parts of `a,b,c`."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pairs(texts: list[str], flag: str) -> dict[str, Any]:
    """`name=value` pairs; a value that is JSON is taken as such. Raises Failure."""
    import json  # noqa: PLC0415  # deferred: few commands take pairs

    found: dict[str, Any] = {}
    for text in texts:
        name, value = _pair(text, flag)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def texts(given: list[str], flag: str) -> dict[str, str]:
    """`name=value` pairs, each value as it stands. Raises Failure."""
    return dict(_pair(text, flag) for text in given)


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise Failure(f"{flag}: NAME=VALUE is expected, not {text!r}")
    return name, value


def provider_and_model(text: str, flag: str) -> tuple[str, str]:
    """The two parts of `provider/model`; the model may hold slashes. Raises Failure."""
    provider, separator, model = text.partition("/")
    if not separator or not provider or not model:
        raise Failure(f"{flag}: PROVIDER/MODEL is expected, not {text!r}")
    return provider, model


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is to be read from; at most one of the three. Never its value."""

    file: str | None = None
    stdin: bool = False
    variable: str | None = None

    def is_given(self) -> bool:
        return self.file is not None or self.stdin or self.variable is not None


def read_secret(
    source: SecretSource, environ: Mapping[str, str] = os.environ, *, flag: str = "--key"
) -> str | None:
    """The secret that a source names, on one line unless it is a JSON object; None where none is
    named.

    Raises Failure when it cannot be had.
    """
    if (source.file is not None) + source.stdin + (source.variable is not None) > 1:
        raise Failure(f"give one of {flag}-file, {flag}-stdin and {flag}-env")
    if source.variable is not None:
        secret = environ.get(source.variable, "")
        where = f"the variable {source.variable}"
    elif source.stdin or source.file == "-":
        if sys.stdin.isatty():
            raise Failure(f"{flag}-stdin: standard input is a terminal; leave it out to be asked")
        secret, where = sys.stdin.read(), "standard input"
    elif source.file is not None:
        where = source.file
        secret = text_of(source.file, f"{flag}-file {source.file}", code="local_config")
    else:
        return None
    secret = secret.strip()
    if not secret or ("\n" in secret and not secret.startswith("{")):  # a key file has lines
        raise Failure(f"{where} holds no single key")
    return secret
