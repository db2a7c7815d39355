"""Admin operations on the price book as a whole."""

import asyncio
import json
from collections.abc import Iterator, Mapping

from conduit.core.errors import ConflictError, UnavailableError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.resources.price_book import (
    PriceBookChange,
    PriceBookUpdate,
    PriceBookView,
    PriceChange,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.installed import BookChange, BookError, BookFileError, book_in
from conduit.gateway.pricing.lookup import rates_for
from conduit.gateway.pricing.stated import view
from conduit.gateway.storage.engine import writing
from conduit.gateway.storage.revisions import Author, Change, note

_PATH = "/admin/price-book"
_NEVER_CHANGED = ("provider", "model", "source", "price_version", "effective_from", "set_for")
_WITH_PARTS = ("service_tiers", "units")


async def _show(call: Call[None, None]) -> PriceBookView:
    shipped = (await asyncio.to_thread(PriceBook.load)).version
    book = call.admin.book
    return PriceBookView(
        version=book.version,
        installed=book.version != shipped,
        shipped_version=shipped,
        generated_from=book.generated_from,
        models=book.row_count,
    )


async def _update(call: Call[PriceBookUpdate, None]) -> PriceBookChange:
    admin, wanted = call.admin, call.body
    book, encoded = await asyncio.to_thread(_read, wanted)
    async with admin.book_changes:
        former = admin.book.version
        if wanted.expected not in (None, former):
            raise ConflictError(
                f"the price book is {former}, not {wanted.expected}: somebody changed it meanwhile",
                hint="look at the changes again and repeat the update",
            )
        changes = list(_changes(admin, book))
        differs = book.version != former
        removes_unused = encoded is None and not differs and admin.book_file.exists
        if not wanted.dry_run and (differs or removes_unused):
            await _put_in_force(admin, book, encoded, call.by)
    return PriceBookChange(
        version_before=former,
        version=book.version,
        installed=encoded is not None,
        dry_run=wanted.dry_run,
        removes_unused=removes_unused,
        models=book.row_count,
        changes=changes,
    )


def _read(wanted: PriceBookUpdate) -> tuple[PriceBook, bytes | None]:
    """The book that is wanted, ready for every look-up, and its file; None for the shipped one."""
    shipped = PriceBook.load()
    if wanted.book is None:
        shipped.check()  # which makes its patterns
        return shipped, None
    encoded = json.dumps(wanted.book).encode()
    return _checked(encoded, shipped), encoded


def _checked(encoded: bytes, shipped: PriceBook) -> PriceBook:
    try:
        book = book_in(encoded)
    except BookError as error:
        raise ValidationFailedError(f"book: {error}", param="book") from error
    if book.version <= shipped.version:
        raise ConflictError(
            f"the price book {book.version} is not newer than {shipped.version}, which this "
            "release has",
            hint="conduit prices update, without a file, goes back to that one",
        )
    return book


async def _put_in_force(
    admin: AdminContext, book: PriceBook, encoded: bytes | None, by: Author
) -> None:
    """On disk first: a book that counts must still count after a restart."""
    former = admin.book.version
    unused = "a file that did not count was removed" if book.version == former else None
    before, after = {"version": former}, {"version": book.version}
    change = BookChange(admin.book_file)
    try:
        await asyncio.to_thread(change.prepare, encoded)
        with change:
            await asyncio.to_thread(change.make_durable)
            async with writing(admin.database, by=by) as connection:
                note(connection, Change("price_book", "price book", before, after, unused))
    except BookFileError as error:
        raise UnavailableError(str(error)) from error
    admin.book.take_over(book)
    facts = {"version": book.version, "former_version": former}
    await admin.announce(EventKind.PRICE_BOOK_UPDATED, facts)


def _changes(admin: AdminContext, book: PriceBook) -> Iterator[PriceChange]:
    """What a book would change of the prices of mapped models that were not set."""
    snapshot = admin.configuration.snapshot
    named = {
        (target.provider, target.model)
        for mapping in snapshot.mappings.values()
        for target in mapping.targets
    }
    for provider, model in sorted(named):
        upstream = snapshot.upstreams.get(provider)
        if upstream is None:
            continue
        vendor = upstream.provider.type.prices
        before, after = (
            _told(provider, model, rates_for(snapshot.rates, each, provider, vendor, model))
            for each in (admin.book, book)
        )
        differing = {
            name: (before.get(name), after.get(name))
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        }
        if differing:
            yield PriceChange(provider=provider, model=model, changes=differing)


def _told(provider: str, model: str, rates: Rates | None) -> dict[str, object]:
    if rates is None:
        return {}
    shown = view(provider, model, rates).model_dump(exclude=set(_NEVER_CHANGED))
    # Of what has parts, only those that differ are worth a line.
    for name in _WITH_PARTS:
        shown |= {f"{name}.{part}": value for part, value in shown.pop(name).items()}
    tiers = "; ".join(map(_tier_told, shown.pop("tiers")))
    return {**shown, "tiers": tiers or None}


def _tier_told(tier: Mapping[str, object]) -> str:
    amounts = [
        f"{value} {name}"
        for name, value in tier.items()
        if name != "over_tokens" and value is not None
    ]
    return f"over {tier['over_tokens']}: {', '.join(amounts)}"


OPERATIONS = (
    AdminOperation(
        "price_book.show", "GET", _PATH, "Show which price book is in force", _show, PriceBookView
    ),
    AdminOperation(
        "price_book.update",
        "PUT",
        _PATH,
        "Put a newer price book in force, or this release's again",
        _update,
        PriceBookChange,
        body=PriceBookUpdate,
        errors=(ConflictError, UnavailableError),
    ),
)
