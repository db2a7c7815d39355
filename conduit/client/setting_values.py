"""Values of the gateway's settings as people type them."""

import json
from typing import Any


def typed(text: str, present: Any) -> Any:
    """The value as a number or a truth where the setting holds one, or may: else the text."""
    if isinstance(present, str):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text
