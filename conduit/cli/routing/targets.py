"""The targets of a mapping, as options name them: each with what stands at its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.failures import Failure
from conduit.client.api import Record
from conduit.core.capabilities import ABILITIES, SIZES

_NOT = "no-"
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GivenTargets:
    """What was given for targets, each list by their place."""

    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="PROVIDER/MODEL", help="Target; several are tried in order."),
    ] = None
    weights: Annotated[
        list[int] | None,
        typer.Option(
            "--weight",
            metavar="N",
            help="Weight of the target at that place, for strategies that heed it.",
        ),
    ] = None
    orders: Annotated[
        list[int] | None,
        typer.Option(
            "--order",
            metavar="N",
            help="Order of the target at that place, the lowest first; 0, 1, …",
        ),
    ] = None
    capabilities: Annotated[
        list[str] | None,
        typer.Option(
            "--caps",
            metavar="A,no-B",
            help="What the target at that place can do; also NAME=unknown, context_tokens=128k.",
        ),
    ] = None
    params: Annotated[
        list[str] | None,
        typer.Option(
            "--params",
            metavar="NAME=VALUE,…",
            help="Fields that the target at that place is sent; an object in JSON as well.",
        ),
    ] = None

    def is_empty(self) -> bool:
        return not (self.to or self.weights or self.orders or self.capabilities or self.params)

    def new(self) -> list[dict[str, Any]]:
        """The targets of `--to`, which are equals where `--order` does not part them.

        They are kept as they are listed: the strategy "simple" tries equals in that order.
        Raises Failure.
        """
        targets: list[dict[str, Any]] = []
        for text in self.to or ():
            provider, model = inputs.provider_and_model(text, "--to")
            targets.append({"provider": provider, "model": model})
        return self._said_of(targets)

    def changed(self, present: Sequence[Record]) -> list[dict[str, Any]]:
        """The targets that there are, in the order they are tried, with what is said of them anew.

        Raises Failure.
        """
        ordered = sorted(present, key=lambda target: target["order"])
        return self._said_of([dict(target) for target in ordered])

    def _said_of(self, targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        weights, orders = self.weights or (), self.orders or ()
        capabilities, params = self.capabilities or (), self.params or ()
        for flag, given in (
            ("--weight", weights),
            ("--order", orders),
            ("--caps", capabilities),
            ("--params", params),
        ):
            if len(given) > len(targets):
                raise Failure(f"{flag}: there are more of them than targets")
        for target, weight in zip(targets, weights, strict=False):
            target["weight"] = weight
        for target, order in zip(targets, orders, strict=False):
            target["order"] = order
        for target, text in zip(targets, capabilities, strict=False):
            target["capabilities"] = capabilities_of(text)
        for target, text in zip(targets, params, strict=False):
            target["params"] = params_of(text)
        return targets


def params_of(text: str) -> dict[str, Any]:
    """`temperature=0.2,service_tier=flex`, or an object in JSON, by name. Raises Failure."""
    if not text.lstrip().startswith("{"):
        return inputs.pairs(inputs.names(text), "--params")
    import json  # noqa: PLC0415  # deferred: few write it so

    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise Failure(f"--params: this is no JSON ({error})") from error
    return found


def capabilities_of(text: str) -> dict[str, Any]:
    """`vision,no-audio,schema=unknown,context_tokens=128k` by name. Raises Failure."""
    found: dict[str, Any] = {}
    for part in inputs.names(text):
        name, separator, value = part.partition("=")
        positive = name.removeprefix(_NOT)
        if not separator and positive in ABILITIES:
            found[positive] = name == positive
        elif separator and value == _UNKNOWN and name in (*ABILITIES, *SIZES):
            found[name] = None
        elif separator and name in SIZES:
            found[name] = _size(value)
        else:
            raise Failure(
                f"--caps: {part!r} is none",
                hint=f"{', '.join(ABILITIES)}; no-NAME; NAME=unknown; {'=N, '.join(SIZES)}=N",
            )
    return found


def _size(text: str) -> int:
    number = inputs.count(text, "--caps")
    if not number:
        raise Failure(f"--caps: at least 1 token is expected, not {text!r}")
    return number


def capabilities_text(said: Record) -> str:
    """Capabilities as `--caps` takes them."""
    return ",".join(_SAID[type(value)](name, value) for name, value in said.items())


_SAID: dict[type, Callable[[str, Any], str]] = {
    bool: lambda name, value: name if value else f"{_NOT}{name}",
    int: lambda name, value: f"{name}={value}",
    type(None): lambda name, _: f"{name}={_UNKNOWN}",
}
