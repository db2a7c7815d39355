"""A price book: public prices of many vendors' models, as a file of our own form.

The release's is the `prices.json` beside this module, made by `scripts/make_price_book.py`. An
operator may give the gateway the file of a newer release, which counts instead (`installed.py`):
it comes with the request, or from the data folder at the start. Nothing is downloaded at run time.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cached_property
from importlib.resources import files
from typing import Annotated, Any

import msgspec

from conduit.core.units import check_unit
from conduit.gateway.pricing import TOKEN_RATES, Rates, Tier, with_grades

_CACHED_LOOKUPS = 4096

# Some vendors accept `name-20251211` for `name-2025-12-11`.
_COMPACT_DATE = re.compile(r"-(20\d{2})(\d{2})(\d{2})(?=-|:|$)")


# Nano-dollars per million: a million dollars at most, which no vendor asks.
_Amount = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
_Multiplier = Annotated[int, msgspec.Meta(ge=0, le=10**9)]  # in millionths
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}[0-9A-Za-z.-]{0,32}")


class _TierRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates of calls with a longer input; what is left out is as in the model's own row."""

    input: _Amount | None = None
    output: _Amount | None = None
    cache_read: _Amount | None = None
    cache_write_5m: _Amount | None = None
    cache_write_1h: _Amount | None = None
    reasoning: _Amount | None = None
    input_audio: _Amount | None = None
    output_audio: _Amount | None = None


class _Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names that a row answers to, in lower case; any one that fits is enough."""

    equals: tuple[str, ...] = ()
    starts_with: tuple[str, ...] = ()
    ends_with: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    input: _Amount
    output: _Amount
    cache_read: _Amount | None = None
    cache_write_5m: _Amount | None = None
    cache_write_1h: _Amount | None = None
    reasoning: _Amount | None = None
    input_audio: _Amount | None = None
    output_audio: _Amount | None = None
    per_request: _Amount = 0
    max_output_tokens: _Count | None = None
    context_tokens: _Count | None = None
    tiers: tuple[tuple[_Count, _TierRow], ...] = ()
    service_tiers: dict[str, _Multiplier] = {}
    units: dict[str, _Amount] = {}
    match: _Match = _Match()


class _Vendor(msgspec.Struct, forbid_unknown_fields=True, dict=True):
    """`fallback` names vendors whose models this one resells at their prices.

    `source` is "local" where nothing is paid; `label` is shown in the place of the book's version.
    """

    models: dict[str, _Row]
    fallback: tuple[str, ...] = ()
    source: str = "book"
    label: str | None = None

    @cached_property
    def exact(self) -> dict[str, str]:
        """The model of each full name; the first row that claims a name has it."""
        names: dict[str, str] = {}
        for model, row in self.models.items():
            for name in row.match.equals:
                names.setdefault(name, model)
        return names

    @cached_property
    def patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """One pattern for each row that answers to more than full names, in the book's order."""
        found = ((_pattern(row.match), model) for model, row in self.models.items())
        return tuple((re.compile(text), model) for text, model in found if text)


class _BookFile(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    generated_from: str
    license: str
    units: str
    vendors: dict[str, msgspec.Raw]


class _Vendors(Mapping[str, _Vendor]):
    """The vendors of a book, each read when it is first asked for: a gateway uses a few of them."""

    def __init__(self, encoded: dict[str, msgspec.Raw]) -> None:
        self._encoded = encoded
        self._read: dict[str, _Vendor] = {}

    def __getitem__(self, name: str) -> _Vendor:
        found = self._read.get(name)
        if found is None:
            found = self._read[name] = self._decoded(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)

    def __contains__(self, name: object) -> bool:
        return name in self._encoded

    def passing(self) -> Iterator[tuple[str, _Vendor]]:
        """Every vendor in turn, none of which is kept that was not asked for."""
        for name in self._encoded:
            yield name, self._read.get(name) or self._decoded(name)

    def _decoded(self, name: str) -> _Vendor:
        return msgspec.json.decode(self._encoded[name], type=_Vendor)


class PriceBook:
    """Rates by vendor and model name. Its cache of look-ups is bounded.

    A gateway has one for as long as it runs; `take_over` puts the content of another in its place.
    Rates are values: an attempt has those of the moment when its candidates were found, holds and
    settles by them, and keeps their version. Candidates that are remembered are found anew with the
    next snapshot, which follows each change of the book. Not for several threads at once.
    """

    def __init__(self, encoded: bytes) -> None:
        """`encoded` is the JSON of a book. Raises msgspec.DecodeError if it is not one.

        What it has of each vendor is read, and found to be right or wrong, when it is asked for.
        """
        book = msgspec.json.decode(encoded, type=_BookFile)
        self.version = book.version
        self.generated_from = book.generated_from
        self._vendors = _Vendors(book.vendors)
        self._found: dict[tuple[str, str], Rates | None] = {}

    @classmethod
    def load(cls) -> "PriceBook":
        """The book of this release."""
        return cls(files("conduit.gateway.pricing").joinpath("prices.json").read_bytes())

    def take_over(self, other: "PriceBook") -> None:
        """Answer as another book from now on; rates that were given out stay what they are."""
        self.version = other.version
        self.generated_from = other.generated_from
        self._vendors = other._vendors
        self._found = {}

    def check(self) -> None:
        """Read it all. A book of this release has nothing wrong in it.

        Raises msgspec.DecodeError, and ValueError for what only a look-up would meet.
        """
        if _VERSION.fullmatch(self.version) is None:
            raise ValueError(f"its version is a date, and not {self.version[:40]!r}")
        for name, vendor in self._vendors.passing():
            for other in vendor.fallback:
                if other not in self._vendors:
                    raise ValueError(f"{name} falls back to {other}, which it does not have")
            for model, row in vendor.models.items():
                for unit in row.units:
                    try:
                        check_unit(unit)
                    except ValueError as error:
                        raise ValueError(f"{name}/{model}: {error}") from error
            try:
                _ = vendor.patterns
            except re.error as error:
                raise ValueError(f"{name} has a pattern that is none: {error}") from error

    @property
    def row_count(self) -> int:
        return sum(len(vendor.models) for _, vendor in self._vendors.passing())

    @property
    def vendors(self) -> tuple[str, ...]:
        return tuple(self._vendors)

    def models(self, vendor: str) -> tuple[str, ...]:
        """The names under which the book lists a vendor's models; none of an unknown vendor."""
        found = self._vendors.get(vendor)
        return tuple(found.models) if found else ()

    def rows(self) -> Iterator[tuple[str, str, Rates]]:
        """Vendor, model and rates of every row."""
        for vendor_name, vendor in self._vendors.passing():
            for model, row in vendor.models.items():
                yield vendor_name, model, self._rates(vendor, row)

    def rates(self, vendor: str, model: str) -> Rates | None:
        """The rates of a model by any name its vendor knows it by; None where none are known."""
        asked = (vendor, model)
        try:
            return self._found[asked]
        except KeyError:
            pass
        if len(self._found) >= _CACHED_LOOKUPS:
            self._found.clear()
        found = self._found[asked] = self._look_up(vendor, model)
        return found

    def entry(self, vendor: str, model: str) -> tuple[str, str] | None:
        """The vendor and the name under which the book has the price of a model."""
        found = self._vendors.get(vendor)
        if found is None:
            return None
        name = model.lower()
        spellings = dict.fromkeys((name, _with_dashed_date(name)))
        for spelling in spellings:
            for candidate in (vendor, *found.fallback):
                listed = _name_in(self._vendors[candidate], spelling)
                if listed is not None:
                    return candidate, listed
        return (vendor, model) if model in found.models else None

    def _look_up(self, vendor: str, model: str) -> Rates | None:
        entry = self.entry(vendor, model)
        if entry is None:
            return None
        seller, name = entry
        return self._rates(self._vendors[vendor], self._vendors[seller].models[name])

    def _rates(self, vendor: _Vendor, row: _Row) -> Rates:
        shared: dict[str, Any] = {
            "per_request": row.per_request,
            "max_output_tokens": row.max_output_tokens,
            "context_tokens": row.context_tokens,
            "version": vendor.label or self.version,
            "source": vendor.source,
            "units": tuple(row.units.items()),
        }
        plain = {name: getattr(row, name) for name in TOKEN_RATES}
        tiers = tuple(
            Tier(over_tokens, Rates(**{**plain, **_stated(tier)}, **shared))
            for over_tokens, tier in row.tiers
        )
        return with_grades(Rates(**plain, **shared, tiers=tiers), tuple(row.service_tiers.items()))


def _stated(tier: _TierRow) -> dict[str, int]:
    """The rates that a tier names."""
    return {name: rate for name in TOKEN_RATES if (rate := getattr(tier, name)) is not None}


def _name_in(vendor: _Vendor, name: str) -> str | None:
    """The name of the row that answers to a name in lower case."""
    model = vendor.exact.get(name)
    if model is None:
        model = next((each for pattern, each in vendor.patterns if pattern.search(name)), None)
    return model


def _pattern(match: _Match) -> str:
    alternatives = [
        *(f"^{re.escape(text)}" for text in match.starts_with),
        *(f"{re.escape(text)}$" for text in match.ends_with),
        *(re.escape(text) for text in match.contains),
        *match.regex,
    ]
    return "|".join(f"(?:{each})" for each in alternatives)


def _with_dashed_date(name: str) -> str:
    def dashed(found: re.Match[str]) -> str:
        year, month, day = found.groups()
        try:
            return f"-{date(int(year), int(month), int(day)).isoformat()}"
        except ValueError:
            return found.group(0)

    return _COMPACT_DATE.sub(dashed, name)
