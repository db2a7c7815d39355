"""A terminal driver that leaves out what the terminal knows already, and sleeps until a key comes.

Textual writes the whole style before every run of text and resets it after. Neighbours mostly share
their style, so most of what would be sent over a slow link says nothing. Where the terminal's own
background shows, a long run of blanks is erased rather than written.
"""

import os
import re
import selectors
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

_STYLE = re.compile(r"\x1b\[([0-9;]*)m")
# Moves the cursor and draws nothing: the style of the moment does not matter.
_MOVES = re.compile(r"(?:\r?\n|\x1b\[[0-9;]*H)+")
_BLANKS = re.compile(r" {12,}")
_INVISIBLE_ON_BLANKS = frozenset({"1", "2", "3"})
_RESET = "\x1b[0m"
_FOREGROUNDS = frozenset(map(str, (*range(30, 40), *range(90, 98))))
_BACKGROUNDS = frozenset(map(str, (*range(40, 50), *range(100, 108))))


@dataclass(frozen=True, slots=True)
class _Style:
    foreground: str = ""
    background: str = ""
    attributes: frozenset[str] = frozenset()


_READ_BYTES = 4096
_POLL_S = 0.1
_POLLS = 5


class ThriftyDriver(LinuxDriver):
    """Textual's driver for terminals, with less to say and less to do."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # those of Textual's driver
        super().__init__(*arguments, **options)
        self._wakes, self._wake = os.pipe()

    def capture_mouse(self, wanted: bool) -> None:
        """Hear of the mouse from now on, or leave it to the terminal."""
        if wanted:
            self._mouse = True
            self._enable_mouse_support()
        else:
            self._disable_mouse_support()
            self._mouse = False
        self.flush()

    def run_input_thread(self) -> None:
        """Read keys until `disable_input`.

        Textual's own looks ten times a second whether it shall end, a tenth of what an idle screen
        costs. Only after input a sequence may be open, and be ended by time: an escape alone.
        """
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")().decode
        polls = 0
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            selector.register(self._wakes, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                ready = {key.fd for key, _ in selector.select(_POLL_S if polls else None)}
                polls = _POLLS if self.fileno in ready else max(0, polls - 1)
                if self.fileno in ready:
                    read = os.read(self.fileno, _READ_BYTES)
                    if not read:  # the terminal has gone, and would be ready for ever
                        selector.unregister(self.fileno)
                    if text := decode(read):  # not of a part of a character
                        for message in parser.feed(text):
                            self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)

    def disable_input(self) -> None:
        """Stop reading keys."""
        # Not read before the thread has ended: it may not have begun to wait yet.
        os.write(self._wake, b".")
        super().disable_input()
        os.read(self._wakes, _READ_BYTES)

    def write(self, data: str) -> None:
        super().write(thrifty(data))


def thrifty(data: str) -> str:
    """Output that draws the same. It begins and ends with the terminal's own style."""
    texts = _STYLE.split(data)
    if len(texts) == 1:
        return data
    written: list[str] = []
    held = wanted = ""
    for place, text in enumerate(texts):
        if place % 2:
            wanted = "" if text in ("", "0") else f"{wanted};{text}" if wanted else text
        elif text:
            if wanted != held and not _MOVES.fullmatch(text):
                written.append(_change(held, wanted))
                held = wanted
            written.append(_erased(text) if _is_bare(held) else text)
    if held:
        written.append(_RESET)
    return "".join(written)


@lru_cache(maxsize=4096)
def _is_bare(style: str) -> bool:
    """Whether a blank of this style shows the terminal's own background and nothing else."""
    found = _parsed(style)
    return not found.background and found.attributes <= _INVISIBLE_ON_BLANKS


def _erased(text: str) -> str:
    # Not in what is no text: a link or a clipboard's contents may hold blanks.
    return text if "\x1b]" in text else _BLANKS.sub(_erase, text)


def _erase(blanks: re.Match[str]) -> str:
    count = len(blanks[0])
    return f"\x1b[{count}X\x1b[{count}C"


@lru_cache(maxsize=4096)
def _change(held: str, wanted: str) -> str:
    """What turns one style into another."""
    if not wanted:
        return _RESET
    before, after = _parsed(held), _parsed(wanted)
    if before.attributes - after.attributes:
        return f"\x1b[0;{wanted}m"
    codes = sorted(after.attributes - before.attributes)
    if after.foreground != before.foreground:
        codes.append(after.foreground or "39")
    if after.background != before.background:
        codes.append(after.background or "49")
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def _parsed(style: str) -> _Style:
    codes = iter(style.split(";") if style else ())
    foreground = background = ""
    attributes: set[str] = set()
    for code in codes:
        if code == "0":
            foreground = background = ""
            attributes.clear()
        elif code in _FOREGROUNDS:
            foreground = _colour(code, codes)
        elif code in _BACKGROUNDS:
            background = _colour(code, codes)
        else:
            attributes.add(code)
    return _Style(foreground, background, frozenset(attributes))


def _colour(code: str, codes: Iterator[str]) -> str:
    """A colour with the numbers that belong to it; "" is the terminal's own."""
    if code in ("39", "49"):
        return ""
    if code not in ("38", "48"):
        return code
    kind = next(codes, "")
    return ";".join([code, kind, *islice(codes, 1 if kind == "5" else 3)])
