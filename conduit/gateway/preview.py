"""What a request in one dialect becomes in another, without a gateway and without sending it."""

from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

from conduit.gateway.config.snapshot import Upstream
from conduit.gateway.dialects.anthropic import dialect as anthropic_messages
from conduit.gateway.dialects.bedrock import dialect as bedrock_converse
from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import Sending
from conduit.gateway.dialects.chat_call import reader_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.cohere import dialect as cohere_v2
from conduit.gateway.dialects.gemini import dialect as gemini
from conduit.gateway.dialects.ollama import dialect as ollama_native
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.openai_responses import dialect as openai_responses
from conduit.gateway.exchange import Candidate
from conduit.gateway.pricing import UNPRICED
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.provider import Operation, Quirks
from conduit.gateway.providers.registry import provider_of
from conduit.gateway.routing.lacking import lack_of, needs_of, refusal_of

DIALECT_NAMES: Final[Mapping[str, str]] = {
    "chat": openai_chat.NAME,
    "responses": openai_responses.NAME,
    "messages": anthropic_messages.NAME,
    "gemini": gemini.NAME,
    "cohere": cohere_v2.NAME,
    "bedrock": bedrock_converse.NAME,
    "ollama": ollama_native.NAME,
}
"""The dialects by the names that people use."""

CLIENT_DIALECTS: Final = ("chat", "responses", "messages", "gemini")
"""Those that clients may speak, and so translate from."""

_VENDORS: Final[Mapping[str, str]] = {
    "chat": "openai",
    "messages": "anthropic",
    "gemini": "gemini",
    "cohere": "cohere",
    "bedrock": "bedrock",
}
"""Whose rules and models stand for a dialect; without one, what every provider of it takes."""


class Preview(NamedTuple):
    """A provider's body; `dropped` and `emulated` are in the words of the client's dialect."""

    body: bytes
    dropped: tuple[str, ...]
    emulated: tuple[str, ...]


class ModelNeededError(Exception):
    """The request names no model, and the target's dialect may want one."""


def preview(body: bytes, source: str, target: str, model: str | None) -> Preview:
    """The body that a provider of the dialect `target` would be sent; the names are short ones.

    `model` is the provider's, the request's own where it is None. Raises RequestError for a request
    that is none, or that cannot be said in the other dialect, and ModelNeededError.
    """
    call = _read(body, source, model)
    model = model or call.model
    candidate = _candidate(target, model)
    quirks, largest = Quirks(), None
    if candidate is not None:
        if (lack := lack_of(needs_of(call), candidate)) is not None:
            raise refusal_of(lack, candidate)
        quirks, largest = candidate.quirks, candidate.rates.max_output_tokens
    sending = Sending(
        model,
        {},
        quirks,
        ask_stream_usage=call.stream and quirks.asks_stream_usage,
        max_output_tokens=largest,
    )
    bridge = bridge_between(call.dialect, DIALECT_NAMES[target])
    encoded = bridge.encode(call, sending)
    return Preview(encoded.body, encoded.dropped, encoded.emulated)


def _read(body: bytes, source: str, model: str | None) -> ClientCall:
    match source:
        case "chat":
            return decode_call(Operation.CHAT, body)
        case "gemini":
            if model is None:
                raise ModelNeededError
            decode = partial(gemini.decode_request, model=model, stream=False)
            return reader_of(decode)(body)
        case "messages":
            return reader_of(anthropic_messages.decode_request)(body)
        case _:
            return reader_of(openai_responses.decode_request)(body)


def _candidate(target: str, model: str) -> Candidate | None:
    """The model at the vendor whose dialect it is, with what the price book knows of it."""
    vendor = _VENDORS.get(target)
    if vendor is None:
        return None
    provider = provider_of(vendor)
    upstream = Upstream(
        id=vendor,
        name=vendor,
        provider=provider,
        base_url="",
        allow_private=False,
        enabled=True,
        credentials=(),
    )
    prices = provider.type.prices
    rates = None if prices is None else PriceBook.load().rates(prices, model)
    return Candidate(upstream, model, {}, rates or UNPRICED)
