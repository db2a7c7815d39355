"""What costs by the piece: images, minutes, characters, seconds, searches."""

from collections.abc import Iterable

from conduit.core.units import UNITS, base_of

Quantities = tuple[tuple[str, int], ...]
"""Names of units and how many were counted of each, as `core/units.py` counts them."""

Prices = tuple[tuple[str, int], ...]
"""Names of units, and nano-dollars for the number that each is sold by."""


def cost_of_quantities(quantities: Quantities, prices: Prices) -> int:
    """Nano-dollars, each name rounded up once; what has no price costs nothing.

    What depends on something and has no price of its own costs as the nearest that has one: the
    same with less said of it, else the dearest of the unit, as it is not known which it was.
    """
    if not prices:
        return 0
    known = dict(prices)
    return sum(
        [
            -(-count * _price_of(name, known) // UNITS[base_of(name)].sold_by)
            for name, count in quantities
        ]
    )


def quantities_bound(quantities: Quantities, prices: Prices) -> int:
    """The most that at most these can cost: a count of a unit is of all that it may depend on."""
    if not prices:
        return 0
    return sum([_bound_of(base_of(name), count, prices) for name, count in quantities])


def total_of(quantities: Iterable[tuple[str, int]], unit: str) -> int:
    """How many of a unit there are, whatever they depend on."""
    return sum([count for name, count in quantities if base_of(name) == unit])


def _price_of(name: str, known: dict[str, int]) -> int:
    nearest = name
    while nearest:
        if nearest in known:
            return known[nearest]
        nearest = nearest.rpartition(":")[0]
    base = base_of(name)
    return max([price for each, price in known.items() if base_of(each) == base], default=0)


def _bound_of(base: str, count: int, prices: Prices) -> int:
    of_unit = [price for name, price in prices if base_of(name) == base]
    if not of_unit or not count:
        return 0
    sold_by = UNITS[base].sold_by
    cost = -(-count * max(of_unit) // sold_by)
    if all(price % sold_by == 0 for price in of_unit):
        return cost
    return cost + count - 1  # spread over many names, each is rounded up by less than one
