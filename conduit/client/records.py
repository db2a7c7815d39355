"""Request records as the admin API shows them, out of the events that tell of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from conduit.client.api import Record
from conduit.core.money import format_usd

FIELDS = (
    "id",
    "at",
    "operation",
    "stream",
    "status",
    "outcome",
    "error_code",
    "key_id",
    "key",
    "alias",
    "provider",
    "model",
    "attempts",
    "duration_ms",
    "ttft_ms",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "usage_source",
    "cost",
    "billed",
    "tokens_per_s",
    "client_ip",
    "user_agent",
    "cache",
    "avoided",
    "session",
    "end_user",
    "dropped",
    "group_id",
    "group",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "output_audio_tokens",
    "client_dialect",
    "provider_dialect",
    "credential_id",
    "credential",
)
"""The fields of a record, in the order in which the API gives them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record_of(finished: Mapping[str, Any]) -> Record:
    """The record in the data of a `request.finished` event: amounts as text in USD, a time."""
    rate = finished.get("tokens_per_s_milli")
    at = _EPOCH + timedelta(milliseconds=finished["at_ms"])
    told = {
        **finished,
        "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "key": finished.get("key_name"),
        "group": finished.get("group_name"),
        "credential": finished.get("credential_name"),
        "cost": format_usd(finished["cost_nanodollars"]),
        "billed": format_usd(finished["billed_nanodollars"]),
        "avoided": format_usd(finished.get("avoided_nanodollars") or 0),
        "dropped": dropped.split(",") if (dropped := finished.get("dropped")) else None,
        "tokens_per_s": None if rate is None else rate / 1000,
    }
    return {name: told.get(name) for name in FIELDS}
