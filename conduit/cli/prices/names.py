"""Which price a name means: of a provider's model, of what clients call it, or of the book."""

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.client.api import Record
from conduit.client.errors import ApiError
from conduit.core.aliases import is_one_model

_MOST_NAMED = 8


def named(call: Call, model: str) -> tuple[str, str]:
    """Provider and model; a name of clients stands for what would serve it.

    Raises Failure, and ApiError for what no mapping serves.
    """
    if "/" in model and (own := _at_provider(call, model)) is not None:
        return own
    served = call.fetch("models.show", model)
    if served["provider"] is None:
        reasons = "; ".join(served["reasons"])
        raise Failure(f"nothing serves {model} now ({reasons})", exit_code=Exit.NOT_FOUND)
    return served["provider"], served["model"]


def price_of(call: Call, model: str) -> Record:
    """The price of PROVIDER/MODEL, or of the only one with a model of this name. Raises Failure."""
    if "/" in model and (own := _at_provider(call, model)) is not None:
        return call.fetch("prices.show", *own)
    if (price := _only(call, model, used=True)) is not None:
        return price
    served = _served(call, model)
    if served is not None:
        return call.fetch("prices.show", *served)
    return _in_book(call, model)


def explained(call: Call, model: str, version: str | None) -> Record:
    """Which price is in force, and why; of what nothing serves, the book's. Raises Failure."""
    own = _at_provider(call, model) if "/" in model else None
    alias = None
    if own is None and (own := _target_of(call, model) or _served(call, model)) is not None:
        alias = model  # whose mapping may say what becomes of a model without a price
    if own is None and (price := _only(call, model, used=True)) is not None:
        own = price["provider"], price["model"]
    if own is not None:
        return call.fetch("prices.explain", *own, query={"version": version, "alias": alias})
    row = _in_book(call, model)
    entry = f"{row['provider']}/{row['model']}"
    if version not in (None, row["price_version"]):
        raise Failure(
            f"no price {version} of {entry} is known: the price book in force is "
            f"{row['price_version']}",
            code="not_found",
            exit_code=Exit.NOT_FOUND,
        )
    reason = f"no provider here serves it; the price book {row['price_version']} has it as {entry}"
    return {
        "provider": row["provider"],
        "model": row["model"],
        "reason": reason,
        "price": row,
        "tiers": row["tiers"],
        "units": "USD per million tokens",
        "sold_by": {},
        "vendor": row["provider"],
        "book_version": row["price_version"],
        "layers": [{"layer": "book", "entry": entry, "price": row, "wins": True, "reason": reason}],
        "next": None,
        "unknown_price": "",
    }


def _at_provider(call: Call, model: str) -> tuple[str, str] | None:
    """The two parts where the first is a provider of the gateway's."""
    try:
        provider, own = inputs.provider_and_model(model, "MODEL")
        call.fetch("providers.show", provider)
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return provider, own


def _target_of(call: Call, alias: str) -> tuple[str, str] | None:
    """The first target of a mapping that has one model, whether it can serve now or not."""
    try:
        target = call.fetch("mappings.show", alias)["targets"][0]
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return (target["provider"], target["model"]) if is_one_model(target["model"]) else None


def _served(call: Call, model: str) -> tuple[str, str] | None:
    """What would serve a name of clients; None for a name that is none."""
    try:
        return named(call, model)
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def _in_book(call: Call, model: str) -> Record:
    """The row of the price book. Raises Failure where there is none."""
    price = _only(call, model, used=False)
    if price is None:
        raise Failure(
            f"no price is known for {model}: nothing here serves it, and the price book has no "
            "model of this name",
            code="not_found",
            exit_code=Exit.NOT_FOUND,
            hint="names that are known: conduit prices list --book --filter 'model:*PART*'",
        )
    return price


def _only(call: Call, model: str, *, used: bool) -> Record | None:
    """The only price of a model, of those in use or of the whole book. Raises Failure for several.

    In the book the part before a slash may be the vendor's name.
    """
    found: list[Record] = []
    if not used and "/" in model:
        vendor, _, own = model.partition("/")
        found = _prices(call, vendor, own, used=used)
    found = found or _prices(call, None, model, used=used)
    if len(found) < 2:
        return found[0] if found else None
    names = [f"{row['provider']}/{row['model']}" for row in found[:_MOST_NAMED]]
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    raise Failure(
        f"{model} fits {len(found)} prices: {', '.join(names)}{more}",
        code="ambiguous",
        hint=f"name one of them: conduit prices show {names[0]}",
    )


def _prices(call: Call, provider: str | None, model: str, *, used: bool) -> list[Record]:
    query = {"provider": provider, "model": model, "limit": 1000, "all": None if used else True}
    rows: list[Record] = call.fetch("prices.list", query=query)["data"]
    return rows
