"""Which rates are in force for a model of a provider."""

from collections.abc import Mapping

from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.book import PriceBook

EVERY_MODEL = "*"


def rates_for(
    overrides: Mapping[tuple[str, str], Rates],
    book: PriceBook,
    provider_name: str,
    vendor: str | None,
    model: str,
) -> Rates | None:
    """The operator's price of the model, else of the provider's every model, else the book's."""
    rates = overrides.get((provider_name, model)) or overrides.get((provider_name, EVERY_MODEL))
    if rates is not None or vendor is None:
        return rates
    return book.rates(vendor, model)
