"""Integer nano-dollars: parse, price times tokens, round up once, format.

Money is an int of nano-USD (10**-9 USD); a price is an int of nano-USD per million units. No
float is accepted or made here.
"""

NANODOLLARS_PER_DOLLAR = 1_000_000_000
UNITS_PER_PRICE = 1_000_000
_LARGEST_NANODOLLARS = 2**63 - 1
_DECIMALS = 9
_MOST_DIGITS = 10  # of whole dollars in 64 bits


def parse_usd(text: str) -> int:
    """Nano-dollars of a decimal string such as "12.34" or "$0.000000001".

    Raises ValueError for anything else: signs, exponents, more than nine decimals, amounts that
    do not fit 64 bits.
    """
    digits = text.strip().removeprefix("$")
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit():
        raise ValueError(f"not an amount in USD: {text!r}")
    dollars, _, decimals = digits.partition(".")
    decimals = decimals.rstrip("0")
    if len(decimals) > _DECIMALS:
        raise ValueError(f"an amount has at most nine decimals: {text!r}")
    dollars = dollars.lstrip("0")
    if len(dollars) > _MOST_DIGITS:
        raise ValueError(f"the amount is too large: {text!r}")
    nanodollars = int(dollars + decimals.ljust(_DECIMALS, "0"))
    if nanodollars > _LARGEST_NANODOLLARS:
        raise ValueError(f"the amount is too large: {text!r}")
    return nanodollars


def format_usd(nanodollars: int, *, places: int = 2) -> str:
    """A decimal string with at least `places` decimals and no digit lost: 4_100_000 → "0.0041"."""
    sign = "-" if nanodollars < 0 else ""
    whole, fraction = divmod(abs(nanodollars), NANODOLLARS_PER_DOLLAR)
    decimals = f"{fraction:09d}".rstrip("0").ljust(places, "0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def cost_of_units(units: int, price_nanodollars_per_million: int) -> int:
    """Nano-dollars for `units` at a price per million, rounded up once."""
    return -(-units * price_nanodollars_per_million // UNITS_PER_PRICE)
