"""What the application tells the operator, and what it offers to undo."""

from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.timer import Timer

from conduit.client.errors import ApiError, ClientError
from conduit.core.redaction import redacted
from conduit.tui import undoing
from conduit.tui.journal import write_trace
from conduit.tui.undoing import Undo

if TYPE_CHECKING:
    from conduit.tui.store import Store

_UNDOES = "u undoes it"


class SayingApp(App[None]):
    """Toasts, which `:messages` keeps; the newest one with an undoing has the key for it."""

    store: "Store"
    _undo: Undo | None = None
    _undo_timer: Timer | None = None
    _undo_toast = ""

    def tell(
        self,
        text: str,
        *,
        severity: Any = "information",
        hint: str | None = None,
        request_id: str | None = None,
        undo: Undo | None = None,
    ) -> None:
        """Say something in a toast, and keep it for `:messages`; it may be undone for a moment."""
        self.store.say(text, severity=severity, hint=hint, request_id=request_id)
        shown = text if hint is None else f"{text}\n{hint}"
        if undo is not None:
            shown = f"{shown}\n{_UNDOES}"
            self._offer(undo, shown)
        timeout = None if undo is None else undoing.UNDO_S
        self.notify(shown, severity=severity, timeout=timeout, markup=False)

    def report(self, error: ClientError, what: str = "") -> None:
        """Tell of an error of the gateway or the way to it."""
        request_id = error.request_id if isinstance(error, ApiError) else None
        hint = error.hint if isinstance(error, ApiError) else None
        text = redacted(f"{what}: {error.message}" if what else error.message)
        self.tell(text, severity="error", hint=hint, request_id=request_id)

    def crashed(self, what: str, error: BaseException) -> None:
        """Tell of a fault of ours; the trace is in the journal."""
        path = write_trace(what, error)
        summary = redacted(f"{type(error).__name__}: {error}".splitlines()[0])
        where = f"details: {path}" if path else None
        self.tell(f"{what}: {summary}", severity="error", hint=where)

    # Undoing

    def why_no_undo(self) -> str | None:
        """Why nothing can be undone now, or None."""
        return undoing.NOTHING if self._undo is None else self._undo.why_not()

    async def do_undo(self) -> None:
        """Undo what was done last."""
        undo = self._undo
        if undo is not None:
            self._take_back_offer()
            await undo.work()

    def _offer(self, undo: Undo, toast: str) -> None:
        self._take_back_offer()
        self._undo, self._undo_toast = undo, toast
        self._undo_timer = self.set_timer(undoing.UNDO_S, self._lapse)

    def _lapse(self) -> None:
        """The time is over, unless a dialog stands there, in which it is being looked for."""
        if len(self.screen_stack) > 1:
            self._undo_timer = self.set_timer(undoing.UNDO_S, self._lapse)
        else:
            self._take_back_offer()

    def _take_back_offer(self) -> None:
        """No toast says any more that `u` undoes what it cannot undo."""
        if self._undo_timer is not None:
            self._undo_timer.stop()
        for toast in [each for each in self._notifications if each.message == self._undo_toast]:
            self._unnotify(toast)
        self._undo, self._undo_timer, self._undo_toast = None, None, ""
