"""A model's answer on its way to the terminal: printed as it comes, kept, and accounted for."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from conduit.cli.call import Call
from conduit.cli.chat.models import may_chat
from conduit.cli.console import plain
from conduit.cli.failures import Failure
from conduit.client.api import Record
from conduit.client.blocking import Gateway, Timeouts
from conduit.client.chat import ChatRequest, Patience, ask, recorded_cost
from conduit.client.chat_answer import Usage
from conduit.client.conversations import Turn, now
from conduit.client.errors import ClientError, ProviderFailed
from conduit.client.tool_calls import ToolCall
from conduit.core import people

_COST_S = 1.0
_SIMULATED = "x-conduit-simulated"
_FENCE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n(.*?)(?:^\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)

Show = Callable[[Iterator[str]], None]


@dataclass(slots=True)
class Reply:
    """What has come of an answer so far; whole once `receive` has returned."""

    pieces: list[str] = field(default_factory=list)
    seconds: float = 0.0
    usage: Usage | None = None
    cost: str | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    whole: Record | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    reasoning: str = ""
    provider: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def turn(self, model: str, *, cut: bool = False) -> Turn:
        """The answer as a conversation keeps it."""
        return Turn(
            role="assistant",
            content=self.text,
            at=now(),
            model=model,
            request_id=self.request_id,
            input_tokens=self.usage.input_tokens if self.usage else None,
            output_tokens=self.usage.output_tokens if self.usage else None,
            cost=self.cost,
            cut=cut,
            provider=self.provider,
            duration_ms=round(self.seconds * 1000) if self.seconds else None,
            reasoning=self.reasoning or None,
            tool_calls=[each.wire() for each in self.tool_calls] or None,
        )


def receive(
    call: Call, request: ChatRequest, reply: Reply, show: Show, *, with_cost: bool = False
) -> None:
    """Ask, show the answer as it comes, and fill in the reply.

    What has come stays in the reply when this raises. Raises ApiError or Unreachable, and Failure
    for a model that does not chat.
    """
    patience = Patience(total_s=call.left_s(0) if call.options.timeout_s else None)
    began = time.monotonic()
    with call.console.waiting(f"waiting for {request.model}"):
        try:
            answer = ask(call.client_target(request.key), request, patience)
        except ProviderFailed as error:
            refuse_no_chat(call, request.model, error)
            raise
    with answer:
        reply.request_id = answer.request_id
        reply.whole = answer.whole
        show(_kept(answer.text(patience), reply.pieces))
        reply.seconds = time.monotonic() - began
        reply.usage, reply.finish_reason = answer.usage, answer.finish_reason
        reply.tool_calls, reply.reasoning = answer.tool_calls, answer.reasoning
        reply.provider = answer.headers.get("x-conduit-provider")
        reply.cost = answer.headers.get("x-conduit-cost")
    if reply.cost is None and with_cost:
        reply.cost = looked_up_cost(call, reply.request_id)
    if answer.headers.get(_SIMULATED) == "true":
        call.console.say("simulated: no model was asked", "warn")
    if reply.finish_reason == "length":
        call.console.say("the answer was cut off at its token limit", "warn")


def refuse_no_chat(call: Call, model: str, error: ProviderFailed) -> None:
    """Raise Failure where a provider has refused a model that, as far as known, does not chat."""
    if error.status >= 500 or error.status in (401, 403, 408, 429):
        return
    known = looked_up_model(call, model)
    chats = known.get("capabilities", {}).get("chat") if known is not None else None
    if chats is False or (chats is None and not may_chat(model)):
        raise Failure(
            f"{model} is no chat model: {error.message}",
            code="not_a_chat_model",
            hint="what there is: conduit models list",
        ) from error


def _kept(pieces: Iterator[str], into: list[str]) -> Iterator[str]:
    for piece in pieces:
        into.append(piece)
        yield piece


def printed(call: Call, *, raw: bool) -> Show:
    """Print each piece as it comes, as rendered Markdown on a colour terminal unless `raw`."""
    out = call.console.out

    def show(pieces: Iterator[str]) -> None:
        if out.is_terminal and out.color and not raw:
            from conduit.cli.chat.markdown import (  # noqa: PLC0415  # deferred: 90 ms of rich
                print_markdown,
            )

            print_markdown(pieces, out)
        else:
            _print_plain(call, pieces)

    return show


def _print_plain(call: Call, pieces: Iterator[str]) -> None:
    """What has been written stays when the answer breaks off."""
    out = call.console.out
    last = ""
    try:
        for piece in pieces:
            last = piece  # before it is written: Ctrl-C may come right after
            # A terminal is driven by what it shows; a file gets every byte.
            out.file.write(plain(piece) if out.is_terminal else piece)
            out.file.flush()
    finally:
        if last and not last.endswith("\n"):
            out.file.write("\n")
            out.file.flush()


def unprinted(pieces: Iterator[str]) -> None:
    """Take the answer in without printing any of it."""
    for _ in pieces:
        pass


def first_fence(text: str) -> str:
    """The content of the first code fence, or all of the text where there is none."""
    found = _FENCE.search(text)
    return found[2] if found else text


def usage_line(reply: Reply) -> str:
    """`1,204 in / 310 out  $0.0041  1.9 s  162 tok/s`."""
    return "  ".join(_usage_parts(reply))


def _usage_parts(reply: Reply) -> Iterator[str]:
    tokens, seconds = reply.usage, reply.seconds
    if tokens is not None:
        yield f"{tokens.input_tokens:,} in / {tokens.output_tokens:,} out"
    if reply.cost is not None:
        yield people.money(reply.cost)
    yield f"{seconds:.1f} s"
    if tokens is not None and tokens.output_tokens and seconds > 0:
        yield f"{tokens.output_tokens / seconds:.0f} tok/s"


def looked_up_model(call: Call, model: str) -> Record | None:
    """What the gateway tells of a model, where that can be known soon."""
    if call.where.master_key is None:
        return None
    timeouts = Timeouts(connect_s=_COST_S, total_s=_COST_S, retries=0)
    try:
        return Gateway(call.target, timeouts).call("models.show", model)
    except ClientError:
        return None


def looked_up_cost(call: Call, request_id: str | None) -> str | None:
    """What the gateway has on record for a request, where that can be known soon."""
    if call.where.master_key is None or request_id is None:
        return None
    timeouts = Timeouts(connect_s=_COST_S, total_s=_COST_S, retries=0)
    try:
        return recorded_cost(Gateway(call.target, timeouts), request_id)
    except ClientError:
        return None
