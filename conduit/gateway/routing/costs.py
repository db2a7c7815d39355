"""What a request would cost at a candidate, for comparing candidates by their price."""

from conduit.gateway.exchange import Candidate
from conduit.gateway.provider import Operation
from conduit.gateway.routing.strategies import NOMINAL_OUTPUT_TOKENS


def most_input_tokens(tokens: int, candidate: Candidate, operation: Operation) -> int:
    """Of an estimate of the input's tokens, no more than a chat with the model takes in."""
    context = candidate.rates.context_tokens
    if context is None or operation is not Operation.CHAT:
        return tokens  # what a model takes in is the size of one input, and others may bring many
    return min(tokens, context)


def cost_to_compare(candidate: Candidate, input_tokens: int, output_cap: int | None) -> int | None:
    """The most in nano-dollars that the request costs there; None where it has no price.

    Where no output limit is set, all answers are taken to be of one length.
    """
    if candidate.rates.source == "none":
        return None
    return candidate.bound(input_tokens, output_cap or NOMINAL_OUTPUT_TOKENS).whole
