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


MULTIPLIER_SCALE = 1_000_000
_LARGEST_MULTIPLIER = 1_000 * MULTIPLIER_SCALE


def parse_multiplier(text: str) -> int:
    """Millionths of a decimal string such as "0.5". Raises ValueError for what is none, has more
    than six decimals, or is above 1000.
    """
    try:
        millionths, rest = divmod(parse_usd(text), NANODOLLARS_PER_DOLLAR // MULTIPLIER_SCALE)
    except ValueError:
        raise ValueError(f"not a multiplier such as 0.5: {text[:40]!r}") from None
    if rest or millionths > _LARGEST_MULTIPLIER or "$" in text:
        raise ValueError(f"a multiplier has at most six decimals and is 1000 at most: {text!r}")
    return millionths


def format_multiplier(millionths: int) -> str:
    """The decimal string of a multiplier: 500_000 → "0.5"."""
    return format_usd(millionths * (NANODOLLARS_PER_DOLLAR // MULTIPLIER_SCALE), places=0)
