"""Tools of `conduit chat`: offered to the model from a file, and the calls that it wants."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from conduit.cli.console import Console, plain
from conduit.cli.failures import Failure
from conduit.cli.files import json_of
from conduit.client.tool_calls import ToolCall


def read_tools(file: str) -> list[dict[str, Any]]:
    """The tools in a file, in OpenAI's form or as functions alone. Raises Failure."""
    content = json_of(file, f"--tools {file}")
    if isinstance(content, dict) and "tools" in content:
        content = content["tools"]
    if not isinstance(content, list) or not content:
        raise Failure(f"--tools {file}: a list of tools is expected", code="bad_file")
    return list(_whole(file, content))


def _whole(file: str, tools: list[Any]) -> Iterator[dict[str, Any]]:
    for place, tool in enumerate(tools, 1):
        if not isinstance(tool, dict):
            raise Failure(f"--tools {file}: tool {place} is no object", code="bad_file")
        if "type" not in tool and isinstance(tool.get("name"), str):
            yield {"type": "function", "function": tool}
        elif isinstance(tool.get("type"), str):
            yield tool
        else:
            raise Failure(f"--tools {file}: tool {place} has no name", code="bad_file")


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
