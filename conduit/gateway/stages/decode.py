"""Reading a client's body: what the gateway needs of it, and how much it may cost to read."""

from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.prompt import upper_tokens
from conduit.gateway.exchange import Candidate, Exchange
from conduit.gateway.provider import Operation


def decode(exchange: Exchange, body: bytes) -> None:
    """Put the decoded call on the exchange; raises a RequestError that tells the truth."""
    read = exchange.read_call
    exchange.call = decode_call(exchange.operation, body) if read is None else read(body)


def input_tokens_of(call: ClientCall, candidate: Candidate) -> int:
    """An upper estimate of the input's tokens; of a chat never more than the model takes in."""
    tokens = upper_tokens(call.units, candidate.model)
    context = candidate.rates.context_tokens
    if context is None or call.operation is not Operation.CHAT:
        return tokens  # what a model takes in is the size of one input, and others may bring many
    return min(tokens, context)
