"""What is wrong with a database: for the operator at the start, for a caller while it serves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from conduit.core.errors import UnavailableError

# SQLSTATE classes that tell of the server and the way to it, not of a statement: connection,
# authorisation, unknown database, rollback by the server, resources, not ready, operator, system.
_OUTAGE_CLASSES = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58"})
_COME_AGAIN_S = 1.0
_READ_ONLY = "25006"  # a standby, in the midst of a failover


class DatabaseError(Exception):
    """The database cannot be used as it is; the message tells the operator what to do."""


class DatabaseUnreachableError(DatabaseError):
    """No connection to the database can be made; it may be possible again in a moment."""


def is_outage(error: DBAPIError) -> bool:
    """Whether the database did not answer, rather than a statement being wrong."""
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return True
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return state[:2] in _OUTAGE_CLASSES or state == _READ_ONLY


def reason_of(error: BaseException) -> str:
    """One line without SQLAlchemy's background text, and without the driver's class names."""
    original: BaseException = getattr(error, "orig", None) or error
    if original is not error:  # SQLAlchemy's likeness of what the driver said
        original = original.__cause__ or original
    if isinstance(original, TimeoutError):
        return "it did not answer in time"
    if isinstance(original, OSError) and (original.errno or 0) > 0:
        return os.strerror(original.errno or 0)
    text = str(original).strip()
    return text.splitlines()[0] if text else type(original).__name__


@contextmanager
def outages_reported() -> Iterator[None]:
    """Turns a database that does not answer into an UnavailableError for the caller."""
    try:
        yield
    except DatabaseUnreachableError as error:
        raise _unavailable(str(error)) from error
    except PoolTimeoutError as error:
        raise _unavailable("the database is busy: try again") from error
    except TimeoutError as error:
        raise _unavailable("the database did not answer in time") from error
    except DBAPIError as error:
        if not is_outage(error):
            raise
        raise _unavailable(f"the database cannot be used: {reason_of(error)}") from error


def _unavailable(message: str) -> UnavailableError:
    return UnavailableError(message, retry_after_s=_COME_AGAIN_S)
