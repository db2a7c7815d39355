"""Targets by credential, with their health, as commands show them and as options name them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.client.api import Record
from conduit.core import people

CLOSED = "closed"
_LARGEST_PAGE = 1000


def target_of(row: Record) -> str:
    """`provider/model`, or the provider alone where all of its models are meant."""
    return f"{row['provider']}/{row['model']}" if row["model"] else str(row["provider"])


def state_tone(row: Record) -> Tone:
    """Of a target or of a candidate."""
    if row["state"] == "ready":
        return "good"
    return "dim" if row["state"] == "left_out" else "bad"


def breaker_tone(row: Record) -> Tone:
    return {"closed": "good", "half_open": "warn"}.get(row["breaker"], "bad")  # type: ignore[return-value]  # of the two


def load_text(in_flight: int, cap: int | None) -> str:
    """`3` calls, or `3/8` where there is a cap."""
    return str(in_flight) if cap is None else f"{in_flight}/{cap}"


def headroom_text(in_flight: int, cap: int | None) -> str:
    """How many more calls there is room for."""
    return "-" if cap is None else str(max(cap - in_flight, 0))


def speed_text(tokens_per_s: float | None) -> str:
    return "-" if tokens_per_s is None else f"{tokens_per_s:,.1f}"


def _moment(path: str) -> Any:
    return lambda row: people.moment(row[path])


VIEW = View(
    columns=(
        Column("target", "model", target_of, firm=True),
        Column("credential", "credential", spare=2),
        Column("state", "state", tone=state_tone, firm=True),
        Column("breaker", "breaker", tone=breaker_tone, spare=4),
        Column(
            "in flight",
            "in_flight",
            lambda row: load_text(row["in_flight"], row["cap"]),
            right=True,
        ),
        Column("cap", "cap", wide=True, right=True),
        Column("calls", "calls", lambda row: people.count(row["calls"]), right=True, spare=3),
        Column("failed", "failures", lambda row: people.count(row["failures"]), right=True),
        Column("ttft", "ttft_ms", lambda row: people.milliseconds(row["ttft_ms"]), right=True),
        Column("tok/s", "tokens_per_s", lambda r: speed_text(r["tokens_per_s"]), right=True),
        Column("last error", "last_error", spare=1),
        Column("why", "reason", wide=True),
        Column("until", "until", _moment("until"), wide=True),
        Column("provider", "provider", wide=True, told=True),
        Column("at", "last_error_at", _moment("last_error_at"), wide=True),
    ),
    id_path="provider",
    empty="no mapping names a target that could be called",
)
BREAKERS = View(
    columns=(
        Column("target", "model", target_of, firm=True),
        Column("credential", "credential"),
        Column("breaker", "breaker", tone=breaker_tone, firm=True),
        Column("state", "state", tone=state_tone, spare=4),
        Column("until", "until", _moment("until")),
        Column("in a row", "opened_in_a_row", right=True, spare=1),
        Column(
            "failed of late",
            "recent_failures",
            lambda row: f"{row['recent_failures']} of {row['recent_calls']}",
            right=True,
            spare=2,
        ),
        Column("last error", "last_error", spare=3),
        Column("why", "reason", wide=True),
        Column("provider", "provider", wide=True, told=True),
    ),
    id_path="provider",
    empty="every breaker is closed",
)
CHANGES = View(
    columns=(
        Column("time", "at", _moment("at"), firm=True),
        Column("target", "model", target_of, firm=True),
        Column("credential", "credential", spare=1),
        Column("before", "before"),
        Column("after", "after", tone=lambda row: _AFTER.get(row["after"], "bad")),
        Column("why", "reason"),
        Column("until", "until", _moment("until"), wide=True),
        Column("provider", "provider", wide=True, told=True),
    ),
    id_path="provider",
    empty="nothing has changed in this time",
)
_AFTER: dict[str, Tone] = {"closed": "good", "ready": "good", "half_open": "warn"}


def order_of(target: str, credential: str | None) -> dict[str, Any]:
    """Which targets are meant by PROVIDER, or by PROVIDER/MODEL. Raises Failure."""
    provider, separator, model = target.partition("/")
    if not provider or (separator and not model):
        raise Failure(f"TARGET: PROVIDER or PROVIDER/MODEL is expected, not {target!r}")
    order = {"provider": provider}
    if model:
        order["model"] = model
    if credential is not None:
        order["credential"] = credential
    return order


def deployments_of(call: Call, provider: str) -> list[Record]:
    """The targets of a provider, each with its health."""
    return every_row(call, "health.deployments", {"provider": provider})


def every_row(call: Call, name: str, query: Mapping[str, object]) -> list[Record]:
    """All rows of a list, page by page."""
    pages = call.gateway.pages(name, query={**query, "limit": _LARGEST_PAGE})
    return [row for page in pages for row in page["data"]]


def in_flight(rows: Iterable[Record]) -> int:
    return sum(row["in_flight"] for row in rows)


def total_cap(rows: Sequence[Record]) -> int | None:
    """The caps of several targets together; None where one has none."""
    caps = [row["cap"] for row in rows]
    return None if not caps or None in caps else sum(caps)


def show_provider(call: Call, name: str, since: str) -> None:
    """The targets of a provider, and what has changed since then: for people, two tables."""
    query = {"provider": name, "since": since}
    deployments = deployments_of(call, name)
    history = every_row(call, "health.history", query)
    if not call.printer.is_for_people or call.options.shape.is_chosen:
        found = {"provider": name, "deployments": deployments, "history": history}
        call.printer.record(found, View((Column("provider", "provider"),), "provider"))
        return
    call.printer.rows(deployments, VIEW, next_cursor=lambda: None)
    if history:
        call.console.data("")
    call.printer.rows(history, CHANGES, next_cursor=lambda: None)
