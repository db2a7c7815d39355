"""`conduit requests`: what is running now, and how it is ended."""

from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("Requests that are running now; those that have ended are under conduit logs.")
_SHORTEST_PREFIX = 8


def _tone(request: Record) -> Tone:
    return {"answering": "good", "stopping": "bad"}.get(request["state"], "warn")  # type: ignore[return-value]  # of the two


def _route(request: Record) -> str:
    alias = request["alias"] or "-"
    if not request["provider"]:
        return alias
    return f"{alias} -> {request['provider']}/{request['model']}"


VIEW = View(
    columns=(
        Column("id", "id", firm=True),
        Column("state", "state", tone=_tone),
        Column("age", "age_ms", lambda request: people.milliseconds(request["age_ms"]), right=True),
        Column("key", "key"),
        Column("route", "alias", _route),
        Column("out", "output_tokens", lambda r: people.count(r["output_tokens"]), right=True),
        Column("held", "held", lambda request: people.money(request["held"]), right=True, spare=2),
        Column(
            "first",
            "ttft_ms",
            lambda request: people.milliseconds(request["ttft_ms"]),
            right=True,
            spare=1,
        ),
        Column("provider", "provider", wide=True),
        Column("model", "model", wide=True),
        Column("attempts", "attempts", wide=True, right=True),
        Column("ip", "client_ip", wide=True),
    ),
    empty="no request is running",
)


@verb(noun, "list", "listing")
def list_requests(call: Call) -> None:
    """List the requests in flight, the oldest first."""
    call.show_list("requests.in_flight", VIEW)


Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Ids, their beginnings; - reads stdin; else --filter."),
]


@verb(noun, "cancel", "danger", bulk=True)
def cancel(call: Call, ids: Ids = None) -> None:
    """End requests: the provider is hung up on, the caller gets an error.

    What has been answered by then is settled and recorded; what was sent may be charged.
    """
    call.each(
        ids,
        lambda given: _cancel(call, given),
        noun="requests",
        question="Cancel",
        lists="requests.in_flight",
    )


def _cancel(call: Call, given: str) -> None:
    request_id = _whole_id(call, given)
    request = call.change("requests.cancel", request_id)
    if request is not None:
        call.show_changed(
            request, VIEW, f"cancelled {request_id}", then=f"conduit logs show {request_id}"
        )


def _whole_id(call: Call, given: str) -> str:
    """The id of the running request that begins like this, or what was given."""
    if len(given) < _SHORTEST_PREFIX:
        return given
    running = [
        request["id"]
        for page in call.gateway.pages("requests.in_flight", query={"limit": 1000})
        for request in page["data"]
        if request["id"].startswith(given)
    ]
    if len(running) > 1 and given not in running:
        raise Failure(f"{given!r} fits several requests: {', '.join(running[:8])}")
    return running[0] if len(running) == 1 else given
