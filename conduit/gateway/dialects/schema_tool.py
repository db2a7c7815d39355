"""One tool whose arguments are the answer, for targets that take no schema for it."""

from collections.abc import Iterable
from typing import Final

from conduit.gateway.conversation import AnswerFormat, Tool

ANSWER_REASON: Final = "This model's provider takes no JSON answers beside tools"

_NAME = "answer"
_DESCRIPTION = "Give the final answer to the user, in the required form."


def answer_tool_for(wanted: AnswerFormat, tools: Iterable[Tool]) -> Tool:
    """The tool for an answer in a schema, under a name that no other tool has."""
    taken = {tool.name for tool in tools}
    name = _NAME
    while name in taken:
        name += "_"
    return Tool(name, description=_DESCRIPTION, parameters=wanted.schema, strict=wanted.strict)
