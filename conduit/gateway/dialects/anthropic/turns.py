"""Messages of the internal form as Anthropic's turns, beside the instructions of the system."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from msgspec.structs import replace

from conduit.gateway.conversation import Message, Opaque, Text
from conduit.gateway.dialects.anthropic.write_blocks import content_of, encode_blocks
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError

_WIRE_ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "user",
    "assistant": "assistant",
}


def own_conversation_fields(messages: tuple[Message, ...], losses: Losses) -> dict[str, Any]:
    """`system` and `messages` of a request of this dialect, as they were.

    Instructions that come first are the top-level prompt: the API takes no such message there.
    """
    fields: dict[str, Any] = {}
    if messages and _instructs(messages[0]):
        fields["system"] = content_of(encode_blocks(messages[0], losses))
        messages = messages[1:]
    return {**fields, "messages": _turns(messages, losses)}


def conversation_fields(messages: tuple[Message, ...], losses: Losses) -> dict[str, Any]:
    """`system` and `messages`, with all instructions before the first turn.

    In the middle, few models take them, and not every cloud that serves these models.
    """
    for message in messages:
        losses.own(message.extras)
    messages = _with_a_turn_to_answer(messages, losses)
    instructions = [message for message in messages if _instructs(message)]
    if any(_instructs(message) for message in messages[len(instructions) :]):
        losses.emulate("system")
    turns = _turns((message for message in messages if not _instructs(message)), losses)
    if not turns:
        raise InexpressibleError("messages", "A message that says something is needed")
    system = [block for message in instructions for block in _instruction(message, losses)]
    return {"system": content_of(system), "messages": turns} if system else {"messages": turns}


def _with_a_turn_to_answer(messages: tuple[Message, ...], losses: Losses) -> tuple[Message, ...]:
    """Instructions at the end stay there where nothing else asks for the answer."""
    talk = [message for message in messages if not _instructs(message)]
    if not messages or not _instructs(messages[-1]) or (talk and talk[-1].role != "assistant"):
        return messages
    losses.emulate("system")
    return (*messages[:-1], replace(messages[-1], role="user"))


def _instructs(message: Message) -> bool:
    return _WIRE_ROLES[message.role] == "system"


def _instruction(message: Message, losses: Losses) -> list[dict[str, Any]]:
    if not all(isinstance(part, Text | Opaque) for part in message.parts):
        raise InexpressibleError("system", "Instructions to this model can be text alone")
    return encode_blocks(message, losses)


def _turns(messages: Iterable[Message], losses: Losses) -> list[dict[str, Any]]:
    """Consecutive messages of one role as one turn, which is how the API takes them."""
    said = [(message, encode_blocks(message, losses)) for message in messages]
    kept = [(message, blocks) for message, blocks in said if blocks or _is_empty(message, losses)]
    turns = []
    for (role, extras), group in groupby(kept, lambda item: _turn_of(item[0], losses)):
        blocks = [block for _, written in group for block in written]
        turns.append({"role": role, "content": content_of(blocks), **extras})
    return turns


def goes_on_unthought(turns: list[dict[str, Any]]) -> bool:
    """Whether results of tools follow a turn of the model that lacks its thinking.

    The API refuses to think by a budget then. Clients of other dialects can mostly not send the
    thinking back, and that of another provider is left out.
    """
    after_results = False
    for turn in reversed(turns):
        content = turn["content"]
        kinds = [block.get("type") for block in content] if isinstance(content, list) else []
        if turn["role"] == "assistant":
            return after_results and kinds[:1] not in (["thinking"], ["redacted_thinking"])
        after_results = after_results or "tool_result" in kinds
    return False


def _is_empty(message: Message, losses: Losses) -> bool:
    """Whether a client of this dialect has sent a message without content: let the API judge it."""
    return losses.is_own and not message.parts


def _turn_of(message: Message, losses: Losses) -> tuple[str, Mapping[str, Any]]:
    return _WIRE_ROLES[message.role], message.extras if losses.is_own else {}
