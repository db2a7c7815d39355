"""What the gateway notes of a stream of events on its way: usage, output, how far it came."""

from dataclasses import dataclass, field

from conduit.core.errors import ConduitError, UpstreamFailure
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Failed,
    PartStarted,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Usage,
    Used,
    WholePart,
)
from conduit.gateway.dialects.openai.errors import Scrub
from conduit.gateway.dialects.openai.relayed_answer import Output

_OF_AN_ANSWER = (PartStarted, WholePart, Used)

_SENTENCE = "The provider "
"""How a decoder's own words begin, which need no more about them."""


@dataclass(slots=True)
class EventsSeen:
    """Counts events; `failure` is what the provider reported in the midst of them."""

    hidden: Scrub
    output: Output = field(default_factory=Output)
    usage: Usage | None = None
    started: bool = False
    failure: ConduitError | None = None
    _held: bytes = b""

    def released(self, data: bytes) -> bytes:
        """What may leave now: nothing before the answer has begun, as another may still come."""
        if not self.started:
            self._held += data
            return b""
        if self._held:
            data, self._held = self._held + data, b""
        return data

    def note(self, event: StreamEvent) -> None:
        match event:
            case TextDelta() | ThinkingDelta() | ArgumentsDelta():
                self.output.add(event.text)
                self.started = True
                return
            case Used():
                self.usage = event.usage
            case Failed():
                self.failure = self.failure or _failure(event, self.hidden)
                return
            case _:
                pass
        # A provider's head alone is no answer: another candidate may still give one.
        self.started = self.started or isinstance(event, _OF_AN_ANSWER)


def _failure(event: Failed, hidden: Scrub) -> ConduitError:
    message = hidden(event.message).strip() or "no reason was given"
    if message.startswith(_SENTENCE):
        return UpstreamFailure(message)
    return UpstreamFailure(f"The provider reported an error in its answer: {message}")
