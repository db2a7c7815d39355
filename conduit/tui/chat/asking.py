"""An answer on its way from the gateway."""

from collections.abc import Callable
from dataclasses import dataclass

from conduit.client.chat import ChatRequest
from conduit.client.conversations import Turn
from conduit.client.errors import ClientError
from conduit.tui.chat.dialogue import Answering
from conduit.tui.state.session import Target


@dataclass(slots=True)
class Outcome:
    """What became of an answer: nothing yet, all or some of it, an error, or both of these."""

    turn: Turn | None = None
    failure: ClientError | None = None

    def kept(self, answering: Answering, at_s: float) -> Turn | None:
        """What is kept of the answer: all of it, else what has come of it."""
        if self.turn is None and answering.text:
            self.turn = answering.turn(at_s, cut=True)
        return self.turn


async def receive(
    target: Target, request: ChatRequest, answering: Answering, now_s: Callable[[], float]
) -> Turn:
    """The whole answer; what comes meanwhile waits in `answering` to be drawn.

    Raises ClientError; what has come until then stays in `answering`.
    """
    from conduit.client.chat import Patience  # noqa: PLC0415  # deferred: network
    from conduit.client.chatting import asked  # noqa: PLC0415  # deferred: network

    async with asked(target.core_url, request, patience=Patience(), tls=target.tls) as stream:
        answering.request_id = stream.request_id
        answering.provider = stream.headers.get("x-conduit-provider")
        answering.thoughts = stream.reader.reasoning
        async for piece in stream.text():
            answering.add(piece, now_s())
    usage = stream.reader.usage
    return answering.turn(
        now_s(),
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        tool_calls=[call.wire() for call in stream.reader.tool_calls.all] or None,
    )
