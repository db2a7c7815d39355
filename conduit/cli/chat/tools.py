"""Tools of `conduit chat`: offered to the model from a file, and the calls that it wants."""

import json
from collections.abc import Iterable
from typing import Any

from conduit.cli.console import Console, plain
from conduit.cli.failures import Failure
from conduit.cli.files import json_of
from conduit.client.offered_tools import ToolsError, tools_of
from conduit.client.tool_calls import ToolCall


def read_tools(file: str) -> list[dict[str, Any]]:
    """The tools in a file, in OpenAI's form or as functions alone. Raises Failure."""
    try:
        return tools_of(json_of(file, f"--tools {file}"))
    except ToolsError as error:
        raise Failure(f"--tools {file}: {error}", code="bad_file") from error


def print_calls(console: Console, calls: Iterable[ToolCall]) -> None:
    """A line of JSON for each call."""
    for call in calls:
        line = json.dumps(_told(call), ensure_ascii=not console.out.unicode)
        console.data(plain(line) if console.out.is_terminal else line)


def _told(call: ToolCall) -> dict[str, Any]:
    """A call with its arguments as JSON; those that are none stay the text they are."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = call.arguments
    return {"id": call.id, "name": call.name, "arguments": arguments}
