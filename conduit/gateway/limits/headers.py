"""The `x-ratelimit-*` headers, in the names and the form of OpenAI's API.

Source: OpenAI, "Rate limits", section "Rate limits in headers": limits, what remains, and the time
until the limit is back in full, as Go writes durations (`1s`, `6m0s`, `120ms`).
"""

from collections.abc import Iterable, Mapping

from conduit.gateway.limits.meters import Standing


def rate_limit_headers(standings: Iterable[Standing]) -> Mapping[str, str]:
    """How the tightest limits of requests and of tokens stand; nothing for what is not limited."""
    headers: dict[str, str] = {}
    enforced = [each for each in standings if not each.limit.shadow]
    for name, kinds in (("requests", ("rpm", "rpd")), ("tokens", ("tpm", "tpd"))):
        own = [each for each in enforced if each.limit.kind in kinds]
        if own:
            tightest = min(own, key=lambda each: each.remaining)
            headers[f"x-ratelimit-limit-{name}"] = str(tightest.limit.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(tightest.remaining)
            headers[f"x-ratelimit-reset-{name}"] = go_duration(tightest.reset_s)
    return headers


def go_duration(seconds: float) -> str:
    """As `time.Duration.String` of Go writes it, rounded up to milliseconds: 90 → "1m30s"."""
    milliseconds = -int(-seconds * 1000 // 1)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    whole, rest = divmod(milliseconds, 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    fraction = f".{rest:03d}".rstrip("0") if rest else ""
    text = f"{second}{fraction}s"
    if hours:
        return f"{hours}h{minute}m{text}"
    return f"{minutes}m{text}" if minutes else text
