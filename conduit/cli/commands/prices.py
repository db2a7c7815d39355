"""`conduit prices`: what a provider charges for a model."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from conduit.cli import declaring, inputs
from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import File, Force, Out
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.errors import ApiError
from conduit.core import people

noun = Noun("Prices of models, in USD per million tokens.")


def _price_column(title: str, path: str, *, wide: bool = False) -> Column:
    def text(price: Record) -> str:
        return people.money(price.get(path))

    return Column(title, path, text, wide=wide, right=True)


VIEW = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        _price_column("input", "input"),
        _price_column("output", "output"),
        _price_column("cache read", "cache_read"),
        _price_column("a call", "request"),
        Column("source", "source"),
        _price_column("cache write", "cache_write_5m", wide=True),
        _price_column("reasoning", "reasoning", wide=True),
        Column("largest output", "max_output_tokens", wide=True, right=True),
        Column("context", "context_tokens", wide=True, right=True),
        Column("version", "price_version", wide=True),
    ),
    id_path="model",
    empty="no prices to show; all that are known: conduit prices list --book",
)
Model = Annotated[str, typer.Argument(metavar="PROVIDER/MODEL", help="Which price.")]
Models = Annotated[
    list[str], typer.Argument(metavar="PROVIDER/MODEL...", help="Which prices; - reads stdin.")
]
AnyModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="PROVIDER/MODEL, or a name that clients use.")
]
EXPLAINED = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        Column("reason", "reason"),
        Column("price", "price", lambda row: _price_line(row["price"])),
        Column("tiers", "tiers", lambda row: "; ".join(map(_tier_line, row["tiers"]))),
        Column("units", "units"),
        Column("vendor", "vendor"),
        Column("book", "book_version"),
        Column("layers", "layers", lambda row: "; ".join(map(_layer_line, row["layers"]))),
    ),
    id_path="model",
)
ESTIMATED = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        Column("cost", "cost", lambda row: people.money(row["cost"]), right=True),
        Column("at most", "at_most", lambda row: people.money(row["at_most"]), right=True),
        Column("in", "input_tokens", right=True),
        Column("out", "output_tokens", right=True),
        Column("source", "source"),
        Column("version", "price_version", wide=True),
    ),
    id_path="cost",
)


_NOTHING = ("0", "0.00")


def _price_line(price: Record | None) -> str:
    """A price in a line; unknown where there is none."""
    if price is None:
        return "none"
    names = {"input": "in", "output": "out", "cache_read": "cache read", "reasoning": "reasoning"}
    parts = [
        f"{people.money(price[field])} {label}"
        for field, label in names.items()
        if price.get(field) is not None
    ]
    if price["request"] not in _NOTHING:
        parts.append(f"{people.money(price['request'])} a call or search unit")
    return f"{', '.join(parts)} ({price['source']} {price['price_version']})"


def _tier_line(tier: Record) -> str:
    amounts = f"{people.money(tier['input'])} in, {people.money(tier['output'])} out"
    return f"over {tier['over_tokens']:,} input tokens: {amounts}"


def _layer_line(layer: Record) -> str:
    entry = layer["entry"] or "no entry"
    if layer["price"] is None:
        return f"{layer['layer']}: none ({entry})"
    return f"{layer['layer']}: {people.money(layer['price']['input'])} in ({entry})"


def _named(call: Call, model: str) -> tuple[str, str]:
    """Provider and model; a name of clients stands for what would serve it. Raises Failure."""
    if "/" in model:
        try:
            provider, own = inputs.provider_and_model(model, "MODEL")
            call.fetch("providers.show", provider)
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            return provider, own
    served = call.fetch("models.show", model)
    if served["provider"] is None:
        reasons = "; ".join(served["reasons"])
        raise Failure(f"nothing serves {model} now ({reasons})", exit_code=Exit.NOT_FOUND)
    return served["provider"], served["model"]


_PARTS = (
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
    "request",
    "max_output_tokens",
    "context_tokens",
)
CacheRead = Annotated[
    str | None,
    typer.Option("--cache-read", metavar="USD", help="Input read from a cache, per --per."),
]
CacheWrite5m = Annotated[
    str | None,
    typer.Option("--cache-write-5m", metavar="USD", help="Input cached for 5 minutes, per --per."),
]
CacheWrite1h = Annotated[
    str | None,
    typer.Option("--cache-write-1h", metavar="USD", help="Input cached for an hour, per --per."),
]
Reasoning = Annotated[
    str | None,
    typer.Option(
        "--reasoning", metavar="USD", help="Reasoning, where it has its own price, per --per."
    ),
]


@verb(noun, "list", "listing")
def list_prices(
    call: Call,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="Only of this provider.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Only of this model.")
    ] = None,
    book: Annotated[
        bool, typer.Option("--book", help="All of the price book, not only what is in use.")
    ] = False,
) -> None:
    """List the prices in use."""
    query = {"provider": provider, "model": model, "all": True if book else None}
    call.show_list("prices.list", VIEW, query=query)


@verb(noun, "show", "output")
def show(call: Call, model: Model) -> None:
    """Show the price of a model."""
    names = inputs.provider_and_model(model, "PROVIDER/MODEL")
    call.printer.record(call.fetch("prices.show", *names), VIEW)


@verb(noun, "set", "change")
def set_price(
    call: Call,
    model: Model,
    input_price: Annotated[str, typer.Option("--input", metavar="USD", help="Input, per --per.")],
    output_price: Annotated[
        str, typer.Option("--output", metavar="USD", help="Output, per --per.")
    ],
    per: Annotated[str, typer.Option("--per", metavar="N", help="1M, 1K or 1 token.")] = "1M",
    cache_read: CacheRead = None,
    cache_write_5m: CacheWrite5m = None,
    cache_write_1h: CacheWrite1h = None,
    reasoning: Reasoning = None,
    request: Annotated[
        str | None,
        typer.Option("--request", metavar="USD", help="Each call, or search unit of a ranking."),
    ] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option("--max-output-tokens", metavar="N", help="Largest output.")
    ] = None,
    context_tokens: Annotated[
        int | None, typer.Option("--context-tokens", metavar="N", help="Size of the context.")
    ] = None,
) -> None:
    """Set the price of a model, in place of the price book's."""
    names = inputs.provider_and_model(model, "PROVIDER/MODEL")
    components = {
        "input": input_price,
        "output": output_price,
        "cache_read": cache_read,
        "cache_write_5m": cache_write_5m,
        "cache_write_1h": cache_write_1h,
        "reasoning": reasoning,
    }
    body: dict[str, Any] = {
        name: inputs.price_per_million(text, per, f"--{name.replace('_', '-')}")
        for name, text in components.items()
        if text is not None
    }
    if request is not None:
        body["request"] = inputs.amount(request, "--request")
    if max_output_tokens is not None:
        body["max_output_tokens"] = max_output_tokens
    if context_tokens is not None:
        body["context_tokens"] = context_tokens
    before = _present(call, names)
    _warn_of_dropped(call, body, before)
    price = call.change("prices.set", *names, body=body, before=before)
    if price is not None:
        call.show_changed(
            price, VIEW, f"set the price of {model}", then=f"conduit prices explain {model}"
        )


def _warn_of_dropped(call: Call, body: Mapping[str, Any], before: Record | None) -> None:
    """Say which parts of the price in force the new one lacks: it replaces the whole of it."""
    dropped = [
        name.replace("_", "-")
        for name in _PARTS
        if name not in body and (before or {}).get(name) not in (None, *_NOTHING)
    ]
    if dropped:
        call.console.say(
            f"the price in force has parts that this one lacks: {', '.join(dropped)}; "
            "name them too if they are to count",
            "warn",
        )


def _present(call: Call, names: tuple[str, str]) -> Record | None:
    """The price in force; None where there is none."""
    try:
        return call.fetch("prices.show", *names)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


@verb(noun, "remove", "danger")
def remove(call: Call, models: Models) -> None:
    """Forget prices that were set; the price book's count again."""
    call.each(
        models,
        lambda model: _remove(call, model),
        noun="prices",
        question="Remove the prices set for",
    )


def _remove(call: Call, model: str) -> None:
    names = inputs.provider_and_model(model, "PROVIDER/MODEL")
    before = {"id": model, "name": model}
    if call.change("prices.delete", *names, before=before) is not None:
        call.show_deleted("price", before)


@verb(noun, "explain", "output")
def explain(call: Call, model: AnyModel) -> None:
    """Explain which price is in force for a model, and why."""
    call.printer.record(call.fetch("prices.explain", *_named(call, model)), EXPLAINED)


@verb(noun, "estimate", "output")
def estimate(
    call: Call,
    model: AnyModel,
    input_tokens: Annotated[str, typer.Option("--in", metavar="N", help="Input tokens: 12k.")],
    output_tokens: Annotated[str, typer.Option("--out", metavar="N", help="Output tokens.")],
    cached: Annotated[
        str, typer.Option("--cached", metavar="N", help="Input tokens read from a cache.")
    ] = "0",
    requests: Annotated[
        int, typer.Option("--requests", metavar="N", help="Search units of a ranking.")
    ] = 1,
) -> None:
    """Work out what a call would cost, and the most that a budget would hold for it."""
    provider, own = _named(call, model)
    body = {
        "provider": provider,
        "model": own,
        "input_tokens": inputs.count(input_tokens, "--in"),
        "output_tokens": inputs.count(output_tokens, "--out"),
        "cache_read_tokens": inputs.count(cached, "--cached"),
        "requests": requests,
    }
    with call.console.waiting(f"waiting for {call.where.admin}"):
        result = call.gateway.call("prices.estimate", body=body)
    call.printer.record(result, ESTIMATED)


@verb(noun, "update", "danger")
def update(
    call: Call,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="A newer release's prices.json; - is stdin."),
    ] = None,
) -> None:
    """Put a newer price book in force, or the one of the gateway's release again.

    What would change of the prices in use is shown first. Prices that were set stay in force.
    """
    from conduit.cli.price_update import update_prices  # noqa: PLC0415  # deferred: it is rare

    update_prices(call, file)


@verb(noun, "export", "output")
def export(call: Call, out: Out = None, force: Force = False) -> None:
    """Write the prices that were set as a TOML document, or as JSON with --json."""
    declaring.export(call, ["prices"], out, force=force)


@verb(noun, "import", "danger")
def import_file(call: Call, file: File) -> None:
    """Set prices as a file says; those it does not name stay as they are."""
    declaring.apply(call, file, ["prices"])


@verb(noun, "diff", "output")
def diff(call: Call, file: File) -> None:
    """Compare the prices that were set with a file; a difference is exit 9."""
    declaring.compare(call, file, ["prices"])
