"""`conduit route`: where a request would go, and why."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.console import Stream
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.cli.routing.deployments import (
    headroom_text,
    in_flight,
    load_text,
    speed_text,
    state_tone,
    target_of,
    total_cap,
)
from conduit.cli.routing.policies import fallbacks_text, one_of, policy_text
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.errors import ApiError
from conduit.core import people
from conduit.core.policies import STRATEGIES

noun = Noun("Routes: where a request would go, and why.")
_BAR_COLUMNS = 40

Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="What clients call the model.")]
Key = Annotated[
    str | None, typer.Option("--key", metavar="NAME", help="As if this virtual key sent it.")
]
Tokens = Annotated[
    str | None,
    typer.Option("--tokens", metavar="N", help="How long its prompt is.  [default: 1000]"),
]
MaxTokens = Annotated[
    str | None,
    typer.Option("--max-tokens", metavar="N", help="What limit it sets to its answer."),
]
Caps = Annotated[
    str | None, typer.Option("--caps", metavar="A,B", help="It needs: vision, tools, schema.")
]
IfDown = Annotated[
    list[str] | None,
    typer.Option("--if-down", metavar="PROVIDER", help="As if this provider took no call."),
]
Session = Annotated[
    str | None,
    typer.Option("--session", metavar="ID", help="What sticky routing would know it by."),
]
Operation = Annotated[
    str | None,
    typer.Option(
        "--operation",
        metavar="NAME",
        help="chat, completion, embedding, rerank or moderation.  [default: chat]",
    ),
]


def _targets(mapping: Record) -> str:
    """The targets, by `>` where they are tried only after those of a lower order."""
    tiers: dict[int, list[str]] = {}
    for target in mapping["targets"]:
        weight = f" x{target['weight']}" if target["weight"] != 1 else ""
        tiers.setdefault(target["order"], []).append(
            f"{target['provider']}/{target['model']}{weight}"
        )
    return " > ".join(", ".join(tiers[order]) for order in sorted(tiers))


ROUTES = View(
    columns=(
        Column("alias", "alias"),
        Column("strategy", "strategy"),
        Column("targets", "targets", _targets),
        Column("falls back", "fallbacks", fallbacks_text),
        Column("policy", "policy", policy_text, spare=1),
        Column(
            "state",
            "enabled",
            lambda mapping: "enabled" if mapping["enabled"] else "disabled",
            tone=lambda mapping: "good" if mapping["enabled"] else "dim",
            spare=2,
        ),
        Column("id", "id", wide=True),
    ),
    id_path="alias",
    empty="no mappings yet; make one with: conduit mappings add ALIAS --to PROVIDER/MODEL",
)


def _chosen(answer: Record) -> str:
    chosen = answer["chosen"]
    return "nothing" if chosen is None else f"{chosen['provider']}/{chosen['model']}"


EXPLAINED = View(
    columns=(
        Column("alias", "alias"),
        Column("goes to", "chosen", _chosen),
        Column("by chance", "by_chance"),
        Column("legs", "legs", lambda answer: ", ".join(leg["alias"] for leg in answer["legs"])),
    ),
    id_path="alias",
)


@verb(noun, "list", "listing")
def list_routes(call: Call) -> None:
    """List aliases with their strategy, targets and fallbacks; > stands before a higher order."""
    call.show_list("mappings.list", ROUTES)


@verb(noun, "show", "output")
def show(call: Call, alias: Alias) -> None:
    """Show how an alias is routed."""
    call.printer.record(call.find("mappings", alias), ROUTES)


@verb(noun, "set-strategy", "change", unasked=True)
def set_strategy(
    call: Call,
    alias: Alias,
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help=f"{', '.join(STRATEGIES)}.")],
) -> None:
    """Choose how the targets of an alias take their turns."""
    body = {"strategy": one_of(strategy, STRATEGIES, "STRATEGY")}
    before = call.find("mappings", alias)
    mapping = call.change("mappings.update", before["alias"], body=body, before=before)
    if mapping is not None:
        said = f"{mapping['alias']} is routed by {mapping['strategy']}"
        then = f"conduit route explain {mapping['alias']}"
        orders = [target["order"] for target in mapping["targets"]]
        if strategy != "simple" and len(orders) > 1 and len(set(orders)) == len(orders):
            said += ", among targets of one order, and each of its targets has an order of its own"
            same = " ".join(["--order 0"] * len(orders))
            then = f"conduit mappings update {mapping['alias']} {same}"
        call.show_changed(mapping, ROUTES, said, then=then)


@verb(noun, "explain", "output")
def explain(
    call: Call,
    alias: Alias,
    key: Key = None,
    tokens: Tokens = None,
    max_tokens: MaxTokens = None,
    caps: Caps = None,
    if_down: IfDown = None,
    session: Session = None,
    operation: Operation = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 9 where nothing would take it.")
    ] = False,
) -> None:
    """Tell where a request would go and why; nothing is sent.

    Each alias on the way has a table: those that take a call now in the order in which they are
    tried, then the others and why not. The one that would be called is marked with >.
    """
    question = _question(alias, key, tokens, max_tokens, caps, if_down, session, operation)
    answer = _asked(call, "routes.explain", question)
    if call.printer.is_for_people and not call.options.shape.is_chosen:
        _show_legs(call, answer)
    else:
        call.printer.record(answer, EXPLAINED)
    if answer["chosen"] is None:
        call.console.say("nothing would take it now", "bad")
        if check:
            raise typer.Exit(Exit.NEGATIVE)
        return
    chance = "; chance decides, each request anew" if answer["by_chance"] else ""
    call.narrate(
        f"it would go to {_chosen(answer)}{chance}",
        then=f"conduit route simulate {alias}" if answer["by_chance"] else None,
    )


def _question(
    alias: str,
    key: str | None,
    tokens: str | None,
    max_tokens: str | None,
    caps: str | None,
    if_down: list[str] | None,
    session: str | None,
    operation: str | None,
) -> dict[str, Any]:
    """The request that is not sent; what was not said is the gateway's to fill in."""
    given = {
        "alias": alias,
        "key": key,
        "tokens": None if tokens is None else inputs.count(tokens, "--tokens"),
        "max_tokens": None if max_tokens is None else inputs.count(max_tokens, "--max-tokens"),
        "caps": inputs.names(caps or "") or None,
        "if_down": if_down or None,
        "session": session,
        "operation": operation,
    }
    return {name: value for name, value in given.items() if value is not None}


def _asked(call: Call, operation: str, question: Record) -> Record:
    try:
        return call.consult(operation, body=question)
    except ApiError as error:
        if error.param != "if_down":
            raise
        raise Failure(f"--if-down: {error.message}", hint=error.hint) from error


def _show_legs(call: Call, answer: Record) -> None:
    for number, leg in enumerate(answer["legs"]):
        if number:
            call.console.data("")
        heading = _heading(leg, answer["alias"])
        call.console.data(call.console.out.toned(heading, "bold"))
        rows = [{**each, "chosen": _is(leg["chosen"], each)} for each in leg["candidates"]]
        call.printer.rows(rows, CANDIDATES, next_cursor=lambda: None)


def _heading(leg: Record, asked: str) -> str:
    sticky = "" if leg["sticky"] == "off" else f", sticky by {leg['sticky']}"
    cut = ", without the oldest turns of the prompt" if leg["cuts"] else ""
    how = f"{leg['strategy']}{sticky}{cut}"
    if not leg["because"]:
        return f"{leg['alias']}: {how}"
    return f"falls back {_ways(leg, asked)} to {leg['alias']}: {how}"


def _ways(leg: Record, asked: str) -> str:
    """On which causes, and from which alias where it is not the one that was asked for."""
    causes: dict[str, list[str]] = {}
    for way in leg["because"]:
        causes.setdefault(way["alias"], []).append(way["on"])
    return " and ".join(
        f"{'' if alias == asked else f'from {alias} '}on {' or '.join(of_one)}"
        for alias, of_one in causes.items()
    )


def _is(chosen: Record | None, candidate: Record) -> bool:
    names = ("provider", "model")
    return chosen is not None and all(chosen[name] == candidate[name] for name in names)


def _rank(candidate: Record) -> str:
    return f"{'>' if candidate['chosen'] else ' '} {candidate['rank'] or '-'}"


def _breaker(candidate: Record) -> str:
    """The breaker's state, or each of them once where credentials differ."""
    return ", ".join(dict.fromkeys(each["breaker"] for each in candidate["deployments"]))


def _load(candidate: Record) -> str:
    rows = candidate["deployments"]
    return load_text(in_flight(rows), total_cap(rows)) if rows else "-"


def _headroom(candidate: Record) -> str:
    rows = candidate["deployments"]
    return headroom_text(in_flight(rows), total_cap(rows))


def _known(candidate: Record, field: str) -> Iterator[Any]:
    return (each[field] for each in candidate["deployments"] if each[field] is not None)


def _score(candidate: Record) -> str:
    return "-" if candidate["score"] is None else f"{candidate['score']:.4g}"


CANDIDATES = View(
    columns=(
        Column("rank", "rank", _rank, firm=True),
        Column("target", "model", target_of, firm=True),
        Column("state", "state", tone=state_tone, firm=True),
        Column("breaker", "deployments.breaker", _breaker, spare=4),
        Column("in flight", "deployments.in_flight", _load, right=True),
        Column("free", "deployments.cap", _headroom, right=True, spare=0),
        Column(
            "ttft",
            "deployments.ttft_ms",
            lambda each: people.milliseconds(min(_known(each, "ttft_ms"), default=None)),
            right=True,
            spare=5,
        ),
        Column(
            "tok/s",
            "deployments.tokens_per_s",
            lambda each: speed_text(max(_known(each, "tokens_per_s"), default=None)),
            right=True,
            spare=3,
        ),
        Column("cost", "cost", lambda each: people.money(each["cost"]), right=True),
        Column("score", "score", _score, right=True, spare=6),
        Column("order", "order", right=True, spare=2),
        Column("weight", "weight", right=True, spare=1),
        Column("why", "reason", firm=True),
        Column(
            "credentials",
            "deployments.credential",
            lambda each: ", ".join(_known(each, "credential")),
            wide=True,
        ),
        Column("provider", "provider", wide=True, told=True),
    ),
    id_path="model",
    empty="it has no target",
)


@verb(noun, "simulate", "output")
def simulate(
    call: Call,
    alias: Alias,
    n: Annotated[
        str | None,
        typer.Option("--n", metavar="N", help="How many requests.  [default: 10000]"),
    ] = None,
    key: Key = None,
    tokens: Tokens = None,
    max_tokens: MaxTokens = None,
    caps: Caps = None,
    if_down: IfDown = None,
    session: Session = None,
    operation: Operation = None,
) -> None:
    """Tell how many of many requests would go to each target first; nothing is sent."""
    question = _question(alias, key, tokens, max_tokens, caps, if_down, session, operation)
    if n is not None:
        question["n"] = inputs.count(n, "--n")
    answer = _asked(call, "routes.simulate", question)
    view = _with_bars(call.console.out) if call.printer.is_for_people else SHARES
    if call.printer.format == "json" or call.options.shape.query is not None:
        call.printer.record(answer, view)
    else:
        call.printer.rows(answer["shares"], view, next_cursor=lambda: None)
    if answer["unserved"]:
        call.console.say(
            f"nothing would take {people.counted(answer['unserved'], 'request')}", "bad"
        )
    call.narrate(f"{people.counted(answer['n'], 'request')} by {answer['strategy']}")


SHARES = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        Column("count", "count", lambda share: people.count(share["count"]), right=True),
        Column("share", "share", lambda share: f"{share['share']:.1%}", right=True),
    ),
    id_path="model",
    empty="no target could serve it",
)


def _with_bars(out: Stream) -> View:
    filled, empty = ("\u2588", "\u00b7") if out.unicode else ("#", ".")

    def bar(share: Record) -> str:
        length = round(float(share["share"]) * _BAR_COLUMNS)
        return (filled * length).ljust(_BAR_COLUMNS, empty)

    return replace(SHARES, columns=(*SHARES.columns, Column("", "share", bar, spare=1)))
