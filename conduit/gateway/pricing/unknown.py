"""What becomes of calls to a model whose price is not known."""

from dataclasses import dataclass
from typing import Final, Literal

from conduit.gateway.pricing import Rates

UnknownPolicy = Literal["refuse", "free", "default"]

SOURCE: Final = "default"


@dataclass(frozen=True, slots=True)
class UnknownPrice:
    """`refuse` the call, let it be `free`, or charge `default`, the price of whatever has none.

    What is free is refused all the same where a hard budget has to hold. A mapping may have a word
    of its own.
    """

    policy: UnknownPolicy = "free"
    default: Rates | None = None

    def policy_for(self, own: str | None) -> str:
        """The policy of a mapping. Without a default price, none can be charged: refused."""
        policy = self.policy if own is None else own
        return "refuse" if policy == "default" and self.default is None else policy


FREE: Final = UnknownPrice()


def default_rates(input_nanodollars: int, output_nanodollars: int) -> Rates:
    """The price of every model that has none, per million tokens."""
    version = f"{SOURCE}-{input_nanodollars}-{output_nanodollars}"
    return Rates(input=input_nanodollars, output=output_nanodollars, version=version, source=SOURCE)
