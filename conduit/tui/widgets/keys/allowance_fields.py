"""The fields that the forms of keys and of groups have in common."""

from collections.abc import Sequence
from functools import partial

from conduit.core.limits import KINDS
from conduit.tui.state import allowances
from conduit.tui.state.allowances import BODIES, LIMIT_LABELS, MODES, NONE, PERIODS
from conduit.tui.state.store import Store, label_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.dialogs.forms import Field

_RATE_HINT = "no limit; or 600, or 600,burst=20"
_PLAIN_HINT = "no limit; or 5000"


def limit_fields(limits: Sequence[Record] = ()) -> list[Field]:
    """One for each kind of rate limit, by its name."""
    present = {
        limit["kind"]: allowances.limit_text(limit)
        for limit in limits
        if limit.get("model") is None
    }
    return [
        Field(
            kind,
            LIMIT_LABELS[kind],
            present.get(kind, ""),
            hint=_RATE_HINT if kind == "rpm" else _PLAIN_HINT,
            check=partial(allowances.limit_of, kind),
        )
        for kind in KINDS
    ]


def budget_fields(*, required: bool = False) -> list[Field]:
    """Those of a budget that is to be made."""
    hint = "" if required else "none: it may spend without limit"
    return [
        Field("limit", "Budget in USD", check=allowances.amount, hint=hint, required=required),
        Field("period", "Period", PERIODS[0], kind="choice", choices=PERIODS),
        Field("timezone", "Time zone", check=allowances.zone, hint="UTC; or Europe/Berlin"),
        Field("mode", "When it is spent", MODES[0], kind="choice", choices=MODES),
    ]


def models_field(store: Store, value: str = "") -> Field:
    """The aliases that there are complete what is typed."""
    aliases = [row["alias"] for row in store.table("mappings").rows.values()]
    hint = "every one; or gpt-4o, claude-*"
    return Field(
        "allowed_models", "Models", value, hint=hint, check=allowances.names, choices=aliases
    )


def group_field(store: Store, value: str = "") -> Field:
    """The groups that there are complete what is typed, and no other will do."""
    table = store.table("groups")
    known = [label_of(row) for row in table.rows.values()]

    def check(text: str) -> str | None:
        if text == NONE:
            return None
        if table.is_loaded and text not in known:
            raise ValueError(f"no group is called {text!r}")
        return text

    return Field("group", "Group", value, hint=NONE, check=check, choices=known)


def ips_field(row: Record | None = None) -> Field:
    """Where keys may be used from."""
    ips = ", ".join((row or {}).get("allowed_ips", ()))
    return Field("allowed_ips", "Addresses", ips, check=allowances.networks, hint=_IPS_HINT)


def right_fields(row: Record | None = None) -> list[Field]:
    """From where, until when and how a key is used, and what is kept with it."""
    known = row or {}
    ends = known.get("expires_at") or ""
    tags = allowances.tags_text(known.get("tags", {}))
    bodies = allowances.bodies_text(known.get("log_bodies"))
    metadata = allowances.metadata_text(known.get("metadata", {}))
    return [
        Field("expires_at", "Expires", ends, check=allowances.expiry, hint=_EXPIRY_HINT),
        ips_field(known),
        _flag("allow_direct", "Direct", known, "it may name provider/model too"),
        _flag("priority", "Priority", known, "reserved slots serve it under overload"),
        Field("log_bodies", "Keep bodies", bodies, kind="choice", choices=tuple(BODIES)),
        Field("tags", "Tags", tags, check=allowances.tags, hint="none; or team=a, env=ci"),
        Field("metadata", "Metadata", metadata, check=allowances.metadata, hint=_METADATA_HINT),
    ]


def _flag(name: str, label: str, row: Record, hint: str) -> Field:
    return Field(name, label, bool(row.get(name)), kind="bool", hint=hint)


_EXPIRY_HINT = "never; or 30d, or 2027-01-31"
_IPS_HINT = "from anywhere; or 10.0.0.0/8, 203.0.113.7"
_METADATA_HINT = 'none; or {"owner": "Ada"}'
