"""`conduit prices`: what a provider charges for a model."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.declared import applying
from conduit.cli.failures import Failure
from conduit.cli.options import File, Force, Out
from conduit.cli.prices.names import explained, named, price_of
from conduit.cli.prices.views import ESTIMATED, EXPLAINED, HISTORY, NOTHING, VIEW
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.declared_prices import PRICE_FIELDS, PriceError, tier_of
from conduit.client.errors import ApiError
from conduit.core import people

_OF_ITS_ROW = frozenset({"effective_from", "set_for"})
noun = Noun("Prices of models, in USD per million tokens.")


Model = Annotated[str, typer.Argument(metavar="PROVIDER/MODEL", help="Which price.")]
Models = Annotated[
    list[str], typer.Argument(metavar="PROVIDER/MODEL...", help="Which prices; - reads stdin.")
]
PricedModel = Annotated[
    str, typer.Argument(metavar="[PROVIDER/]MODEL", help="Which price; also of the price book.")
]
AnyModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="PROVIDER/MODEL, or a name that clients use.")
]


_PARTS = tuple(name for name in PRICE_FIELDS if name not in ("input", "output"))
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
InputAudio = Annotated[
    str | None,
    typer.Option("--input-audio", metavar="USD", help="Audio that is heard, per --per tokens."),
]
OutputAudio = Annotated[
    str | None,
    typer.Option("--output-audio", metavar="USD", help="Audio that is spoken, per --per tokens."),
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        "--unit",
        metavar="NAME=USD",
        help="What is sold by the piece: images, audio_minutes, characters (a million), "
        "video_seconds, searches (a thousand); images:1024x1024:high where it depends.",
    ),
]
Tiers = Annotated[
    list[str] | None,
    typer.Option(
        "--over",
        metavar="TOKENS:NAME=USD,...",
        help="Prices per 1M of calls with a longer input: 200000:input=6,output=22.50.",
    ),
]
Grades = Annotated[
    list[str] | None,
    typer.Option(
        "--service-tier",
        metavar="NAME=FACTOR",
        help="What a grade of service multiplies the prices of tokens by: flex=0.5.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--effective",
        metavar="WHEN",
        help="From when on it counts, if not at once: 2030-01-31 (in UTC), a time, or 7d.",
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
    planned: Annotated[
        bool, typer.Option("--planned", help="Only those that are to take effect.")
    ] = False,
) -> None:
    """List the prices in use."""
    query = {
        "provider": provider,
        "model": model,
        "all": True if book else None,
        "planned": True if planned else None,
    }
    call.show_list("prices.list", VIEW, query=query)


@verb(noun, "show", "output")
def show(call: Call, model: PricedModel) -> None:
    """Show the price of a model; the provider may be left out where there is only one."""
    call.printer.record(price_of(call, model), VIEW)


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
    input_audio: InputAudio = None,
    output_audio: OutputAudio = None,
    request: Annotated[
        str | None,
        typer.Option("--request", metavar="USD", help="Each call, or search unit of a ranking."),
    ] = None,
    units: Units = None,
    tiers: Tiers = None,
    service_tiers: Grades = None,
    max_output_tokens: Annotated[
        int | None, typer.Option("--max-output-tokens", metavar="N", help="Largest output.")
    ] = None,
    context_tokens: Annotated[
        int | None, typer.Option("--context-tokens", metavar="N", help="Size of the context.")
    ] = None,
    effective: Since = None,
) -> None:
    """Set the price of a model, in place of the price book's: at once, or from a day on."""
    names = inputs.provider_and_model(model, "PROVIDER/MODEL")
    components = {
        "input": input_price,
        "output": output_price,
        "cache_read": cache_read,
        "cache_write_5m": cache_write_5m,
        "cache_write_1h": cache_write_1h,
        "reasoning": reasoning,
        "input_audio": input_audio,
        "output_audio": output_audio,
    }
    body: dict[str, Any] = {
        name: inputs.price_per_million(text, per, f"--{name.replace('_', '-')}")
        for name, text in components.items()
        if text is not None
    }
    body |= _with_parts(units, tiers, service_tiers)
    others = {
        "request": None if request is None else inputs.amount(request, "--request"),
        "max_output_tokens": max_output_tokens,
        "context_tokens": context_tokens,
        "effective_from": None if effective is None else _moment(effective),
    }
    body |= {name: value for name, value in others.items() if value is not None}
    before = _present(call, names)
    _warn_of_dropped(call, body, before)
    price = call.change("prices.set", *names, body=body, before=before)
    if price is not None:
        _say_set(call, model, price, planned=effective is not None)


def _say_set(call: Call, model: str, price: Record, *, planned: bool) -> None:
    said, then = f"set the price of {model}", f"conduit prices explain {model}"
    if planned:
        since = people.moment(price["effective_from"])
        said, then = f"{said}, from {since} on", f"conduit prices history {model}"
    call.show_changed(price, VIEW, said, then=then)


def _with_parts(
    units: list[str] | None, tiers: list[str] | None, service_tiers: list[str] | None
) -> dict[str, Any]:
    """The fields of a price that have names of their own inside. Raises Failure."""
    body: dict[str, Any] = {}
    if units:
        amounts = inputs.texts(units, "--unit")
        body["units"] = {name: inputs.amount(text, "--unit") for name, text in amounts.items()}
    if service_tiers:
        body["service_tiers"] = inputs.texts(service_tiers, "--service-tier")
    if tiers:
        try:
            body["tiers"] = [tier_of(each) for each in tiers]
        except PriceError as error:
            raise Failure(f"--over: {error}") from error
    return body


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _moment(text: str) -> str:
    """A day is its beginning in UTC, as prices are announced for everywhere alike."""
    if _DAY.fullmatch(text.strip()):
        text = f"{text.strip()}T00:00:00Z"
    return inputs.moment(text, "--effective", ahead=True)


def _warn_of_dropped(call: Call, body: Mapping[str, Any], before: Record | None) -> None:
    """Say which parts of the price in force the new one lacks: it replaces the whole of it."""
    dropped = [
        name.replace("_", "-")
        for name in _PARTS
        if name not in body and (before or {}).get(name) not in (None, *NOTHING)
    ]
    if dropped:
        call.console.say(
            f"the price in force has parts that this one lacks: {', '.join(dropped)}; "
            "name them too if they are to count",
            "warn",
        )


def _present(call: Call, names: tuple[str, str]) -> Record | None:
    """The price in force, as one would be set; None where there is none."""
    try:
        price = call.fetch("prices.show", *names)
        return {name: value for name, value in price.items() if name not in _OF_ITS_ROW}
    except ApiError as error:
        if error.status == 404:
            return None
        raise


@verb(noun, "history", "listing")
def history(call: Call, model: AnyModel) -> None:
    """List the prices that were set for a model, the last first, and those that are planned."""
    call.show_list("prices.history", HISTORY, *named(call, model))


@verb(noun, "remove", "danger")
def remove(
    call: Call,
    models: Models,
    effective: Annotated[
        str | None,
        typer.Option(
            "--effective", metavar="WHEN", help="Only the one that is planned for this moment."
        ),
    ] = None,
) -> None:
    """Forget prices that were set, and planned ones; the price book's count again."""
    since = None if effective is None else _moment(effective)
    call.each(
        models,
        lambda model: _remove(call, model, since),
        noun="prices",
        question="Remove the prices set for" if since is None else "Remove the prices planned for",
    )


def _remove(call: Call, model: str, since: str | None) -> None:
    names = inputs.provider_and_model(model, "PROVIDER/MODEL")
    before = {"id": model, "name": model}
    query = {"effective_from": since}
    if call.change("prices.delete", *names, before=before, query=query) is not None:
        call.show_deleted("price" if since is None else "planned price", before)


@verb(noun, "explain", "output")
def explain(
    call: Call,
    model: AnyModel,
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="The price that a charge was made by, as logs show names it.",
        ),
    ] = None,
) -> None:
    """Explain which price is in force for a model, and why; or one that charges were made by.

    Of a model that nothing here serves it tells what the price book has.
    """
    call.printer.record(explained(call, model, version), EXPLAINED)


@verb(noun, "estimate", "output")
def estimate(
    call: Call,
    model: AnyModel,
    input_tokens: Annotated[
        str, typer.Option("--in", metavar="N", help="Input tokens: 12k.")
    ] = "0",
    output_tokens: Annotated[str, typer.Option("--out", metavar="N", help="Output tokens.")] = "0",
    cached: Annotated[
        str, typer.Option("--cached", metavar="N", help="Input tokens read from a cache.")
    ] = "0",
    written: Annotated[
        str, typer.Option("--cache-write-5m", metavar="N", help="Input cached for 5 minutes.")
    ] = "0",
    written_1h: Annotated[
        str, typer.Option("--cache-write-1h", metavar="N", help="Input cached for an hour.")
    ] = "0",
    reasoning: Annotated[
        str, typer.Option("--reasoning", metavar="N", help="Output tokens of reasoning.")
    ] = "0",
    heard: Annotated[
        str, typer.Option("--input-audio", metavar="N", help="Input tokens of audio.")
    ] = "0",
    spoken: Annotated[
        str, typer.Option("--output-audio", metavar="N", help="Output tokens of audio.")
    ] = "0",
    units: Annotated[
        list[str] | None,
        typer.Option("--unit", metavar="NAME=N", help="So many images, audio_minutes, searches."),
    ] = None,
    service_tier: Annotated[
        str | None, typer.Option("--service-tier", metavar="NAME", help="A grade of service.")
    ] = None,
    requests: Annotated[
        int, typer.Option("--requests", metavar="N", help="Search units of a ranking.")
    ] = 1,
) -> None:
    """Work out what a call would cost, and the most that a budget would hold for it."""
    provider, own = named(call, model)
    counts = {
        "input_tokens": inputs.count(input_tokens, "--in"),
        "output_tokens": inputs.count(output_tokens, "--out"),
        "cache_read_tokens": inputs.count(cached, "--cached"),
        "cache_write_5m_tokens": inputs.count(written, "--cache-write-5m"),
        "cache_write_1h_tokens": inputs.count(written_1h, "--cache-write-1h"),
        "reasoning_tokens": inputs.count(reasoning, "--reasoning"),
        "input_audio_tokens": inputs.count(heard, "--input-audio"),
        "output_audio_tokens": inputs.count(spoken, "--output-audio"),
    }
    body = {"provider": provider, "model": own, **counts, "requests": requests}
    if units:
        body["units"] = inputs.texts(units, "--unit")
    if service_tier is not None:
        body["service_tier"] = service_tier
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
    genai_prices: Annotated[
        bool,
        typer.Option("--genai-prices", help="Of the package genai-prices, installed beside."),
    ] = False,
) -> None:
    """Put a newer price book in force, or the one of the gateway's release again.

    What would change of the prices in use is shown first. Prices that were set stay in force.
    """
    from conduit.cli.prices.update import update_prices  # noqa: PLC0415  # deferred: it is rare

    if genai_prices and file is not None:
        raise Failure("give either a FILE or --genai-prices")
    update_prices(call, file, of_package=genai_prices)


@verb(noun, "export", "output")
def export(call: Call, out: Out = None, force: Force = False) -> None:
    """Write the prices that were set, and planned ones, as TOML, JSON (-o json) or CSV (-o csv)."""
    applying.export(call, ["prices"], out, force=force)


@verb(noun, "import", "danger")
def import_file(call: Call, file: File) -> None:
    """Set prices as a TOML, JSON or CSV file says; those it does not name stay as they are."""
    applying.apply(call, file, ["prices"])


@verb(noun, "diff", "output")
def diff(call: Call, file: File) -> None:
    """Compare the prices that were set with a file; a difference is exit 9."""
    applying.compare(call, file, ["prices"])
