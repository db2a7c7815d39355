"""Reading a client's body: what the gateway needs of it, and how much it may cost to read."""

from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.exchange import Candidate, Exchange
from conduit.gateway.provider import Operation
from conduit.gateway.tokens import upper_estimate

# What a chat template puts around a message; 3 to 5 with the known ones.
_FRAMING_TOKENS = 6


def decode(exchange: Exchange, body: bytes) -> None:
    """Put the decoded call on the exchange; raises a RequestError that tells the truth."""
    read = exchange.read_call
    exchange.decoded = decode_call(exchange.operation, body) if read is None else read(body)


def input_tokens_of(call: ClientCall, candidate: Candidate) -> int:
    """An upper estimate of the input's tokens; of a chat never more than the model takes in."""
    units = call.units
    tokens = units.tokens + _FRAMING_TOKENS * (units.messages + 1)
    tokens += upper_estimate(
        units.text_bytes,
        images=units.images,
        audios=units.audio_clips,
        files=units.files,
        model=candidate.model,
    )
    context = candidate.rates.context_tokens
    if context is None or call.operation is not Operation.CHAT:
        return tokens  # what a model takes in is the size of one input, and others may bring many
    return min(tokens, context)
