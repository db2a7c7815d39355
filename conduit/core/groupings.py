"""What usage can be summed by, as the gateway and its front-ends name it."""

from typing import Final

GROUPINGS: Final = ("model", "key", "group", "provider", "alias", "day", "hour")

BY_TAG: Final = "tag:"
"""Before the name of a tag, whose values keys are summed by: `tag:team`."""


def tag_in(by: str) -> str | None:
    """The tag whose values are meant; None for anything else."""
    return (by.removeprefix(BY_TAG) or None) if by.startswith(BY_TAG) else None
