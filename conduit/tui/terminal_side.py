"""What the application does with the terminal itself: clipboard, mouse, and how far away it is."""

import asyncio
import os
import time

from conduit.tui.saying import SayingApp
from conduit.tui.terminal.clipboard import Copied, copy

SLOW_S = 0.15
WHERE_IS_THE_CURSOR = "\x1b[6n"
"""The smallest question that a terminal answers."""


class TerminalApp(SayingApp):
    """Copies, switches the mouse, and offers `--lite` where the terminal is slow."""

    has_mouse = True
    _asked_s: float | None = None

    # Copying

    def copy_text(self, text: str) -> None:
        """Copy, and say which way it went."""
        self.attempt(self.copied(text), "Copy")

    async def copied(self, text: str) -> Copied:
        """Copy and tell; says how it was done."""
        outcome = await asyncio.to_thread(copy, text, self._send_osc52)
        severity = "warning" if outcome.way == "none" else "information"
        self.tell(outcome.note, severity=severity)
        return outcome

    def _send_osc52(self, text: str) -> None:
        self.call_from_thread(self.copy_to_clipboard, text)

    # The mouse

    def do_mouse(self) -> None:
        """Leave the mouse to the terminal, whose own selection it is then, or take it again."""
        capture = getattr(self._driver, "capture_mouse", None)
        if capture is None:
            self.tell("the mouse cannot be switched here", severity="warning")
            return
        self.has_mouse = not self.has_mouse
        capture(self.has_mouse)
        whose = "the interface's" if self.has_mouse else "the terminal's, which selects text"
        self.tell(f"the mouse is {whose}")

    # How far away it is

    def ask_terminal(self) -> None:
        """Ask a terminal over SSH how far away it is; others are near."""
        if self._driver is not None and os.environ.get("SSH_CONNECTION"):
            self._asked_s = time.perf_counter()
            self._driver.write(WHERE_IS_THE_CURSOR)
            self._driver.flush()

    def terminal_answered(self) -> None:
        """It has answered; where that took long, tell what helps."""
        if self._asked_s is None:
            return
        took_s, self._asked_s = time.perf_counter() - self._asked_s, None
        if took_s > SLOW_S:
            said = f"this terminal is {took_s * 1000:.0f} ms away"
            self.tell(said, hint="conduit-tui --lite draws less and less often")
