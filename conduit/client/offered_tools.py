"""The tools that a file offers to a model, in OpenAI's form or as functions alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_BYTES = 1024 * 1024


class ToolsError(Exception):
    """A file that holds no tools; the message is one line."""


def tools_of(content: Any) -> list[dict[str, Any]]:  # JSON
    """The tools in what a file holds: a list, or an object with one as `tools`.

    Raises ToolsError.
    """
    if isinstance(content, dict) and "tools" in content:
        content = content["tools"]
    if not isinstance(content, list) or not content:
        raise ToolsError("a list of tools is expected")
    return list(_whole(content))


def read_tools(path: Path) -> list[dict[str, Any]]:
    """The tools in a JSON file. Raises ToolsError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ToolsError(f"{path} is larger than {MOST_BYTES // 1024**2} MiB")
        return tools_of(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ToolsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ToolsError(f"{path} is not JSON") from error


def name_of(tool: dict[str, Any]) -> str:
    """What a tool is called; those of the provider have a type alone."""
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return str(name or tool.get("type", ""))


def _whole(tools: list[Any]) -> Iterator[dict[str, Any]]:
    for place, tool in enumerate(tools, 1):
        if not isinstance(tool, dict):
            raise ToolsError(f"tool {place} is no object")
        if "type" not in tool and isinstance(tool.get("name"), str):
            yield {"type": "function", "function": tool}
        elif isinstance(tool.get("type"), str):
            yield tool
        else:
            raise ToolsError(f"tool {place} has no name")
