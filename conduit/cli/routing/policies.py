"""How an alias is routed, as options name it: strategy, fallbacks and the fields of its policy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.failures import Failure
from conduit.client.api import Record
from conduit.core.policies import FALLBACK_CAUSES, LONG_CONTEXT, STICKY, STRATEGIES, UNKNOWN_PRICE

NONE = "none"
_SWITCH = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Routing:
    """What was given of how an alias is routed; None where nothing was."""

    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="NAME", help=f"{', '.join(STRATEGIES)}.")
    ] = None
    fallbacks: Annotated[
        list[str] | None,
        typer.Option(
            "--fallback",
            metavar="CAUSE=ALIAS",
            help=f"Where to go on for {', '.join(FALLBACK_CAUSES)}; none takes all away.",
        ),
    ] = None
    sticky: Annotated[
        str | None,
        typer.Option(
            "--sticky", metavar="off|session|user", help="Who stays with a target while it is well."
        ),
    ] = None
    breakers: Annotated[
        str | None,
        typer.Option(
            "--breakers", metavar="on|off", help="Leave targets that fail out for a while."
        ),
    ] = None
    long_context: Annotated[
        str | None,
        typer.Option(
            "--long-context",
            metavar="refuse|drop_oldest",
            help="What becomes of a prompt that no target has room for.",
        ),
    ] = None
    stream_idle: Annotated[
        str | None,
        typer.Option(
            "--stream-idle", metavar="TIME", help="Give a stream up after such a gap: 30s, or none."
        ),
    ] = None
    stream_min_rate: Annotated[
        str | None,
        typer.Option(
            "--stream-min-rate", metavar="N", help="Give a slower stream up: tokens/s, or none."
        ),
    ] = None
    unknown_price: Annotated[
        str | None,
        typer.Option(
            "--unknown-price",
            metavar="refuse|free|default|none",
            help="What becomes of calls to a target without a price; none: as the setting says.",
        ),
    ] = None

    def body(self) -> dict[str, Any]:
        """The fields of a mapping that it changes. Raises Failure."""
        body: dict[str, Any] = {}
        if self.strategy is not None:
            body["strategy"] = one_of(self.strategy, STRATEGIES, "--strategy")
        if self.fallbacks:
            body["fallbacks"] = fallbacks_of(self.fallbacks)
        if policy := self._policy():
            body["policy"] = policy
        return body

    def _policy(self) -> dict[str, Any]:
        policy: dict[str, Any] = {}
        if self.sticky is not None:
            policy["sticky"] = one_of(self.sticky, STICKY, "--sticky")
        if self.breakers is not None:
            policy["breakers"] = _SWITCH[one_of(self.breakers, tuple(_SWITCH), "--breakers")]
        if self.long_context is not None:
            policy["long_context"] = one_of(self.long_context, LONG_CONTEXT, "--long-context")
        if self.stream_idle is not None:
            policy["stream_idle_s"] = _unless_none(
                self.stream_idle, lambda text: inputs.duration_s(text, "--stream-idle")
            )
        if self.stream_min_rate is not None:
            policy["stream_min_tokens_per_s"] = _unless_none(self.stream_min_rate, _rate)
        if self.unknown_price is not None:
            word = one_of(self.unknown_price, (*UNKNOWN_PRICE, NONE), "--unknown-price")
            policy["unknown_price"] = None if word == NONE else word
        return policy


def one_of(text: str, words: Sequence[str], flag: str) -> str:
    """The text, which has to be one of these words. Raises Failure."""
    if text not in words:
        raise Failure(f"{flag}: {', '.join(words[:-1])} or {words[-1]} is expected, not {text!r}")
    return text


def fallbacks_of(texts: Sequence[str]) -> list[dict[str, str]]:
    """The fallbacks of `CAUSE=ALIAS`, in their order; `none` alone is no fallback at all.

    Raises Failure.
    """
    if [*texts] == [NONE]:
        return []
    found = []
    for text in texts:
        cause, separator, alias = text.partition("=")
        if not separator or not alias or cause not in FALLBACK_CAUSES:
            raise Failure(
                f"--fallback: CAUSE=ALIAS is expected, not {text!r}",
                hint=f"causes: {', '.join(FALLBACK_CAUSES)}; --fallback none takes all away",
            )
        found.append({"on": cause, "alias": alias})
    return found


def _unless_none(text: str, read: Callable[[str], float]) -> float | None:
    return None if text == NONE else read(text)


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Failure(f"--stream-min-rate: a number or none is expected, not {text!r}") from None


def fallbacks_text(mapping: Record) -> str:
    """Fallbacks as `--fallback` takes them."""
    return ", ".join(f"{each['on']}={each['alias']}" for each in mapping.get("fallbacks") or ())


def policy_text(mapping: Record) -> str:
    """What differs from a policy that nobody has touched, in the words of the options."""
    policy = mapping.get("policy") or {}
    return ", ".join(
        f"{_OPTIONS.get(name) or name.replace('_', '-')} {_said(value)}"
        for name, value in policy.items()
        if value != _USUAL.get(name)
    )


_USUAL: Mapping[str, Any] = {
    "sticky": "off",
    "breakers": True,
    "long_context": "refuse",
    "cache_scope": "key",
}
_OPTIONS: Mapping[str, str] = {
    "stream_idle_s": "stream-idle",
    "stream_min_tokens_per_s": "stream-min-rate",
    "cache_ttl_s": "cache-ttl",
}


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
