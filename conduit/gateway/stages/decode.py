"""Reading a client's body: what the gateway needs of it, and how much it may cost to read."""

import msgspec

from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.prompt import most_tokens, upper_tokens
from conduit.gateway.exchange import Candidate, Exchange
from conduit.gateway.routing.costs import most_input_tokens


def decode(exchange: Exchange, body: bytes) -> None:
    """Put the decoded call on the exchange; raises a RequestError that tells the truth."""
    read = exchange.read_call
    exchange.call = decode_call(exchange.operation, body) if read is None else read(body)


def input_tokens_of(call: ClientCall, candidate: Candidate) -> int:
    """An upper estimate of the input's tokens; of a chat never more than the model takes in."""
    return most_input_tokens(upper_tokens(call.units, candidate.model), candidate, call.operation)


def most_input_tokens_of(call: ClientCall, candidate: Candidate) -> int:
    """The same for strict holds: no honest provider counts more.

    What a price list says of the model's context does not lower it, as it may be out of date.
    """
    params = candidate.params
    return most_tokens(call) + (len(msgspec.json.encode(params)) if params else 0)
