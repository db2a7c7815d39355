"""Names that several modules of Anthropic's format need."""

from typing import Final

NAME: Final = "anthropic_messages"
OTHER_TOOLS: Final = f"{NAME}.other_tools"
"""The extras' name for tools that are no functions, as pairs of position and tool."""
