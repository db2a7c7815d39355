"""Log lines on standard error, as text or JSON, with secrets taken out.

A line has a time, a level, the logger's name, a message, where there are several processes the
number of the worker and, for an error, its trace: these fields and no others, whatever a caller
attaches to a record. Requests are not logged; they are records.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, TextIO

from conduit.core.redaction import scrubbed

Scrub = Callable[[str], str]

logger = logging.getLogger(__name__)

_TIME = "%Y-%m-%dT%H:%M:%SZ"
# Below this, aiosqlite and SQLAlchemy write statements with their values, which hold digests and
# names of customers; the others say nothing that helps with a gateway.
_NO_LESS_THAN_WARNING = ("aiosqlite", "alembic", "asyncio", "asyncpg", "sqlalchemy")
# A line break in a name that somebody chose must not begin a line of its own.
_UNPRINTABLE = {
    code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)
}
_BREAKS_OF_TRACES = {code: text for code, text in _UNPRINTABLE.items() if chr(code) not in "\n\t"}


class _Formatter(logging.Formatter):
    def __init__(self, scrub: Scrub, worker: int | None) -> None:
        super().__init__(datefmt=_TIME)
        self.converter = time.gmtime
        self._scrub = scrub
        self._worker = worker

    def message_of(self, record: logging.LogRecord) -> str:
        return self._scrub(record.getMessage()).translate(_UNPRINTABLE)

    def trace_of(self, record: logging.LogRecord) -> str | None:
        """Made anew for every line: one that another handler has kept may hold secrets."""
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._scrub("\n".join(parts)).translate(_BREAKS_OF_TRACES) if parts else None


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = self.formatTime(record, _TIME)
        by = "" if self._worker is None else f"worker {self._worker} "
        line = f"{at} {record.levelname:<7} {by}{record.name}: {self.message_of(record)}"
        trace = self.trace_of(record)
        return line if trace is None else f"{line}\n{trace}"


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str | int] = {
            "at": self.formatTime(record, _TIME),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message_of(record),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        trace = self.trace_of(record)
        if trace is not None:
            line["trace"] = trace
        return json.dumps(line, ensure_ascii=False)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        """The library would print the record's arguments, which nothing has scrubbed."""
        kind = getattr(sys.exc_info()[0], "__name__", "error")
        with suppress(OSError, ValueError):  # standard error itself may be what is gone
            print(f"a log line of {record.name} could not be written: {kind}", file=sys.stderr)


def set_up(
    form: Literal["text", "json"],
    level: str,
    scrub: Scrub = scrubbed,
    *,
    worker: int | None = None,
) -> None:
    """Send all log records to standard error in the given form, without what `scrub` removes.

    `worker` is the number of this process where there are several.
    """
    handler = _Handler(sys.stderr)
    formatter = _JsonFormatter if form == "json" else _TextFormatter
    handler.setFormatter(formatter(scrub, worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NO_LESS_THAN_WARNING:
        logging.getLogger(name).setLevel("WARNING")
    # aiohttp would log each request, which costs more than all of the gateway's own work.
    logging.getLogger("aiohttp.access").disabled = True


def log_crashes() -> None:
    """Let what nobody catches end in the log, scrubbed, rather than as it is on standard error."""
    logging.captureWarnings(True)
    sys.excepthook = _log_crash
    threading.excepthook = _log_crash_of_thread
    sys.unraisablehook = _log_unraisable


def _log_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical("nobody caught this", exc_info=(kind, error, trace))


def _log_crash_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        _log_crash(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)


def _log_unraisable(found: "sys.UnraisableHookArgs") -> None:
    logger.error("an error could not be raised", exc_info=found.exc_value)
