"""What was used and spent, summed over the attempts of the ledger."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from conduit.core.groupings import BY_TAG, GROUPINGS
from conduit.core.resources.fields import Resource, Time, TimeZone, UsdSum
from conduit.core.resources.tags import TAG_NAME

_PATTERN: Final = rf"^({'|'.join(GROUPINGS)}|{BY_TAG}{TAG_NAME})$"


def _grouping(text: str) -> str:
    if re.fullmatch(_PATTERN, text) is None:
        raise ValueError(f"{', '.join(GROUPINGS)} or {BY_TAG}NAME is expected")
    return text


SpentBy = Annotated[
    str,
    AfterValidator(_grouping),
    Field(json_schema_extra={"pattern": _PATTERN, "examples": ["model", "tag:team"]}),
]
"""What attempts are summed by: `tag:team` is the value that their keys have now of that tag."""


class AttemptSums(Resource):
    """Sums over attempts that have ended. What is held for the `open_holds` is in none of them.

    `requests` are those that the attempts were made for. `estimated` and `recovered` count the
    attempts whose usage no provider reported, `ambiguous` those that may cost what nobody told.
    `cache_write_1h_tokens` are a part of `cache_write_tokens`, `output_audio_tokens` one of
    `audio_tokens`; these and `reasoning_tokens` are in neither `input_tokens` nor `output_tokens`.
    """

    requests: int
    attempts: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    cache_write_1h_tokens: int
    output_audio_tokens: int
    cost: UsdSum
    billed: UsdSum
    estimated: int
    recovered: int
    ambiguous: int
    open_holds: int
    held: UsdSum


SeriesStep = Literal["day", "hour"]


class CostStep(Resource):
    """What was spent in a day, or in the hour that begins then."""

    at: str
    cost: UsdSum


class AttemptGroup(AttemptSums):
    """The attempts that have `group` in common: a name, a day, or the time an hour begins.

    `key_id` is null where the groups are not keys, and `group_id` where they are not groups of
    keys; the names of both may have been given again. Attempts of keys without a group, or without
    the tag that is meant, have the empty name. `series` is what they cost over time, where that was
    asked for: the days or hours without cost are left out, and groups after the first 50 have none.
    """

    group: str
    key_id: str | None
    group_id: str | None
    series: list[CostStep] | None = None


class SpendingReport(Resource):
    """What was used and spent; an attempt is of the moment at which its money was held.

    At most `most` groups, 1000 by default, the dearest first; days and hours are the last ones,
    oldest first. `more` says that others were left out, which `total` counts.
    """

    since: Time | None
    until: Time | None
    by: SpentBy | None
    timezone: TimeZone
    key_id: str | None
    key: str | None
    group_id: str | None
    group: str | None
    total: AttemptSums
    groups: list[AttemptGroup]
    more: bool
