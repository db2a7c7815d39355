"""The two streams of a command: stdout for data, stderr for everything said about it."""

import os
import shutil
import sys
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal, TextIO

ColorChoice = Literal["auto", "always", "never"]
Tone = Literal["good", "warn", "bad", "dim", "bold"]

_CODES: Mapping[Tone, str] = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "bold": "1"}
# No blue: unreadable on black. Glyph and word stand beside every colour.
_GLYPHS: Mapping[Tone, tuple[str, str]] = {
    "good": ("\u25cf", "ok"),
    "warn": ("\u25b2", "!!"),
    "bad": ("\u2716", "XX"),
    "dim": ("\u25cb", "--"),
    "bold": ("\u25cf", "ok"),
}
_SPINNER_DELAY_S = 0.3


@dataclass(frozen=True, slots=True)
class Stream:
    """One output stream and what it can show."""

    file: TextIO
    is_terminal: bool
    columns: int
    color: bool
    unicode: bool

    def toned(self, text: str, tone: Tone | None) -> str:
        if tone is None or not self.color:
            return text
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m"

    def glyph(self, tone: Tone) -> str:
        return _GLYPHS[tone][0 if self.unicode else 1]

    @property
    def ellipsis(self) -> str:
        return "\u2026" if self.unicode else "..."


def open_stream(file: TextIO, color: ColorChoice, environ: Mapping[str, str]) -> Stream:
    """Judge a stream. `CONDUIT_FORCE_TTY=<columns>` makes stdout a terminal, for tests."""
    forced = environ.get("CONDUIT_FORCE_TTY", "") if file is sys.stdout else ""
    is_terminal = bool(forced) or file.isatty()
    columns = int(forced) if forced.isdigit() and int(forced) > 1 else 0
    encoding = (file.encoding or "ascii").lower().replace("-", "")
    return Stream(
        file=file,
        is_terminal=is_terminal,
        columns=columns or shutil.get_terminal_size((80, 24)).columns,
        color=_colors(is_terminal, color, environ),
        unicode=encoding.startswith("utf"),
    )


def _colors(is_terminal: bool, choice: ColorChoice, environ: Mapping[str, str]) -> bool:
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return is_terminal or environ.get("CLICOLOR_FORCE", "0") not in ("", "0")


class Console:
    """Where a command writes."""

    def __init__(self, color: ColorChoice = "auto", environ: Mapping[str, str] = os.environ):
        self.out = open_stream(sys.stdout, color, environ)
        self.err = open_stream(sys.stderr, color, environ)

    def data(self, text: str) -> None:
        """Write data to stdout, ending in a newline."""
        self.out.file.write(text if text.endswith("\n") else text + "\n")

    def redirect(self, file: TextIO) -> None:
        """Write data elsewhere, laid out as for stdout."""
        self.out = replace(self.out, file=file)

    def say(self, text: str, tone: Tone | None = None) -> None:
        """Tell the reader something on stderr."""
        line = self.err.toned(plain(text), tone)
        # Narration that nobody can receive any more is no reason to fail.
        with suppress(BrokenPipeError):
            self.err.file.write(line + "\n")
            self.err.file.flush()

    def next_step(self, command: str) -> None:
        """The next useful command, on stderr."""
        self.say(f"  next: {command}", "dim")

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show on a terminal's stderr what is being waited for, once it takes 300 ms."""
        if not self.err.is_terminal:
            yield
            return
        shown = threading.Event()

        def show() -> None:
            shown.set()
            self.err.file.write(f"{text}{self.err.ellipsis}")
            self.err.file.flush()

        timer = threading.Timer(_SPINNER_DELAY_S, show)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if shown.is_set():
                self.err.file.write("\r\x1b[K")
                self.err.file.flush()


def plain(text: str) -> str:
    """Text from elsewhere without control characters, which could drive the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character in "\n\t" or not unicodedata.category(character).startswith("C")
        else f"\\x{ord(character):02x}"
        for character in text
    )


def width_of(text: str) -> int:
    """Columns that a terminal needs for the text."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def clipped(text: str, columns: int, ellipsis: str) -> str:
    """The text in at most so many columns, its end replaced by the ellipsis."""
    if width_of(text) <= columns:
        return text
    kept = text
    while kept and width_of(kept) + len(ellipsis) > columns:
        kept = kept[:-1]
    return kept + ellipsis
