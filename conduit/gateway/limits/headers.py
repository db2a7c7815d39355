"""The `x-ratelimit-*` headers, in the names and the form of OpenAI's API.

Source: OpenAI, "Rate limits", section "Rate limits in headers": limits, what remains, and the time
until the limit is back in full, as Go writes durations (`1s`, `6m0s`, `120ms`).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from conduit.gateway.limits.meters import Meter, Now, Standing

_REMEMBERED: Final = 1000


def rate_limit_headers(meters: Iterable[Meter], now: Now) -> dict[str, str]:
    """How the tightest limits of requests and of tokens stand; nothing for what is not limited."""
    requests: Standing | None = None
    tokens: Standing | None = None
    for meter in meters:
        limit = meter.limit
        if not limit.is_told:
            continue
        each = meter.standing(now)
        if limit.of_tokens:
            if tokens is None or each.remaining < tokens.remaining:
                tokens = each
        elif requests is None or each.remaining < requests.remaining:
            requests = each
    return headers_of(requests, tokens)


def headers_of(requests: Standing | None, tokens: Standing | None) -> dict[str, str]:
    """How a limit of requests and one of tokens stand."""
    headers = {}
    if requests is not None:
        headers = {
            "x-ratelimit-limit-requests": str(requests.limit.limit),
            "x-ratelimit-remaining-requests": str(requests.remaining),
            "x-ratelimit-reset-requests": go_duration(requests.reset_s),
        }
    if tokens is not None:
        headers["x-ratelimit-limit-tokens"] = str(tokens.limit.limit)
        headers["x-ratelimit-remaining-tokens"] = str(tokens.remaining)
        headers["x-ratelimit-reset-tokens"] = go_duration(tokens.reset_s)
    return headers


def go_duration(seconds: float) -> str:
    """As `time.Duration.String` of Go writes it: 0.12 → "120ms", 90 → "1m30s".

    Rounded up: to milliseconds, and to seconds where it is a minute and more.
    """
    milliseconds = -int(-seconds * 1000 // 1)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    if milliseconds >= 60_000:
        return _minutes(-(-milliseconds // 1000))
    whole, rest = divmod(milliseconds, 1000)
    fraction = f".{rest:03d}".rstrip("0") if rest else ""
    return f"{whole}{fraction}s"


@lru_cache(_REMEMBERED)
def _minutes(seconds: int) -> str:
    """The same for a whole number of seconds, which are some minutes."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}h{minute}m{second}s" if hours else f"{minutes}m{second}s"
