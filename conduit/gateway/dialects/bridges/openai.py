"""OpenAI's dialect on both sides: what the client wrote is sent, what comes is relayed."""

from conduit.core.errors import UnsupportedParameterError
from conduit.gateway.dialects.bridges.protocol import AnswerStream, Bridge, Sending, WholeRead
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.openai.errors import Scrub
from conduit.gateway.dialects.openai.relayed_answer import decode_answer
from conduit.gateway.dialects.openai.relayed_stream import StreamReader
from conduit.gateway.dialects.openai.wire import encode_call
from conduit.gateway.dialects.signatures import made_here
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError
from conduit.gateway.provider import Operation


class OpenAIBridge:
    """Serves every operation, not chat alone."""

    def __init__(self, translation: Bridge) -> None:
        """`translation` is for what a client brings back from an answer of another dialect."""
        self._translation = translation

    def encode(self, call: ClientCall, sending: Sending) -> EncodedRequest:
        if not call.unmixed and call.operation is Operation.CHAT and made_here(call.body):
            return self._translation.encode(call, sending)
        try:
            return encode_call(
                call,
                model=sending.model,
                params=sending.params,
                ask_stream_usage=sending.ask_stream_usage,
                output_cap=sending.output_cap,
                quirks=sending.quirks,
            )
        except InexpressibleError as error:
            raise UnsupportedParameterError(error.reason, param=error.feature) from error

    def whole(
        self, call: ClientCall, encoded: EncodedRequest, body: bytes, hidden: Scrub
    ) -> WholeRead:
        answer = decode_answer(call.operation, body, secrets_scrub=hidden)
        return WholeRead(body, answer.usage, answer.output)

    def stream(
        self, call: ClientCall, encoded: EncodedRequest, sending: Sending, hidden: Scrub
    ) -> AnswerStream:
        return StreamReader(strip_usage=not call.wants_stream_usage, secrets_scrub=hidden)
