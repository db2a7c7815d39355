"""What keys are found by, and what their makers note of them."""

import json
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StringConstraints

from conduit.core.resources.fields import JsonObject

MOST_METADATA_BYTES = 8 * 1024

TAG_NAME: Final = "[A-Za-z0-9][A-Za-z0-9._/-]{0,62}"
TagName = Annotated[str, StringConstraints(pattern=f"^{TAG_NAME}$")]
TagValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/@:+-]{0,128}$")]
Tags = Annotated[
    dict[TagName, TagValue], Field(max_length=50, examples=[{"team": "a", "env": "ci"}])
]
"""Short texts by name."""


def _is_small(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > MOST_METADATA_BYTES:
        raise ValueError(f"is at most {MOST_METADATA_BYTES} bytes of JSON")
    return metadata


Metadata = Annotated[
    JsonObject, AfterValidator(_is_small), Field(examples=[{"owner": "Ada", "ticket": 12}])
]
"""A JSON object that the gateway keeps and does not read."""
