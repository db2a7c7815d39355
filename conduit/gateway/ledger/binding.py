"""Which database a data folder's journal belongs to, and which of that database's journals it is.

A database has a position for each journal that was ever written for it, so that a folder that comes
back after another one was in use is applied from where it had been applied to, and no further.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from conduit.gateway.ledger.journal import journal_numbers, journal_path
from conduit.gateway.storage.ledger.statements import FIRST_JOURNAL, LedgerReader

log = logging.getLogger(__name__)

FILE_NAME = "ledger.json"


class ForeignJournalError(Exception):
    """The journal in the data folder belongs to another database than the one to be used."""


@dataclass(frozen=True, slots=True)
class Binding:
    """`database_ms` tells the database from others, and from what it was before a restore."""

    database_ms: int
    journal: int


def bound_journal(folder: Path) -> int:
    """The number of the folder's journal, as far as the folder knows."""
    binding = read_binding(folder)
    return FIRST_JOURNAL if binding is None else binding.journal


def read_binding(folder: Path) -> Binding | None:
    """What the folder is bound to; None for a new one. Raises ForeignJournalError."""
    path = folder / FILE_NAME
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Binding(int(fields["database_ms"]), int(fields["journal"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ForeignJournalError(
            f"{path} cannot be read, and says which database the journal belongs to: restore it "
            "from a copy, or remove it if there is only one database"
        ) from error


def write_binding(folder: Path, binding: Binding) -> None:
    path = folder / FILE_NAME
    made = path.with_suffix(".new")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(binding), file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)


def bind(reader: LedgerReader, folder: Path, journals: Path, *, is_worker: bool = False) -> Binding:
    """Bind a folder to the database, as it is bound already or anew.

    Only with the ledger's lock held. Raises ForeignJournalError.
    """
    database_ms, known = reader.created_at_ms(), reader.positions()
    binding = read_binding(folder)
    if binding is not None and binding.database_ms == database_ms:
        return binding
    written = _holds_records(journals)
    if binding is not None and written:
        raise ForeignJournalError(
            f"the journal in {journals} belongs to another database, or to what this one was "
            "before a restore: use that one (setting database_url), take its data along with "
            f"conduit db convert, or move the folder {journals} away to begin anew"
        )
    # A folder from before there were bindings has the first journal.
    first = written and set(known) <= {FIRST_JOURNAL} and not is_worker
    if known and not first and not is_worker:
        log.warning(
            "this data folder is new to the database: what the journal in another folder holds "
            "and the database does not have is applied when a gateway starts with that folder"
        )
    binding = Binding(database_ms, FIRST_JOURNAL if first else max(known, default=0) + 1)
    write_binding(folder, binding)
    return binding


def _holds_records(journals: Path) -> bool:
    return any(journal_path(journals, n).stat().st_size for n in journal_numbers(journals))
