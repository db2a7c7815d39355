"""What the application tells the operator, and what it offers to undo."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.timer import Timer

from conduit.client.errors import ApiError, ClientError
from conduit.core.redaction import redacted
from conduit.tui.journal import write_trace
from conduit.tui.state import undoing
from conduit.tui.state.connectivity import duration
from conduit.tui.state.undoing import Step, Undo, Undoings

if TYPE_CHECKING:
    from conduit.tui.state.store import Store

_UNDOES = "u undoes it"


class SayingApp(App[None]):
    """Toasts, which `:messages` keeps, and what can be undone: its toast offers it."""

    store: "Store"
    _offered: Step | None = None
    _undo_timer: Timer | None = None
    _undo_toast = ""

    def __init__(self, **options: Any) -> None:  # those of Textual's App
        self.undoings = Undoings()
        self._undo_in_turn = asyncio.Lock()
        super().__init__(**options)

    def tell(
        self,
        text: str,
        *,
        severity: Any = "information",
        hint: str | None = None,
        request_id: str | None = None,
        undo: Undo | None = None,
    ) -> None:
        """Say something in a toast, and keep it for `:messages`; with `undo` it can be undone."""
        message = self.store.say(text, severity=severity, hint=hint, request_id=request_id)
        shown = text if hint is None else f"{text}\n{hint}"
        if undo is not None:
            step = Step(undo, text, message.at_ms)
            self.undoings.add(step)
            if undo.place == self.current_mode:
                self._offer(step, shown)
                return
        self.notify(shown, severity=severity, markup=False)

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

    def attempt(
        self,
        work: Coroutine[Any, Any, object] | Awaitable[object],
        what: str,
        *,
        group: str = "app",
    ) -> None:
        """Do something that waits; whatever goes wrong is shown, and the interface stays up."""

        async def guarded() -> None:
            try:
                await work
            except ClientError as error:
                self.report(error, what)
            except Exception as error:  # noqa: BLE001  # the last catcher of the interface
                self.crashed(what, error)

        self.run_worker(guarded(), group=group, exit_on_error=False)

    # Undoing

    def why_no_undo(self) -> str | None:
        """Why nothing can be undone on this screen now, or None."""
        step = self.undoings.last(self.current_mode)
        if step is None:
            return undoing.NOTHING
        # A key that is pressed again while its work is done waits for it, and is not refused.
        if step.undo.link.store.is_unconfirmed and not self._undo_in_turn.locked():
            return undoing.UNCONFIRMED
        return None

    async def do_undo(self) -> None:
        """Undo what was done last on this screen; asks where that is no longer offered."""
        place = self.current_mode
        async with self._undo_in_turn:
            step = self.undoings.last(place)
            if step is None or (step is not self._offered and not await self._is_meant(step)):
                return
            self._take_back_offer()
            self.undoings.take(step)
            await step.undo.work()
            before = self.undoings.last(place)
            if before is not None and self.current_mode == place:
                self._offer(before, f"before it: {before.text}")

    async def _is_meant(self, step: Step) -> bool:
        from conduit.tui.widgets.dialogs.confirming import Confirm  # noqa: PLC0415  # deferred: rare

        ago = duration((self.store.wall_ms() - step.at_ms) / 1000)
        question = Confirm(f"Undo: {step.text}?", f"It was done {ago} ago.", verb="Undo")
        sure: bool = await self.push_screen_wait(question)
        return sure

    def _offer(self, step: Step, text: str) -> None:
        self._take_back_offer()
        self._offered, self._undo_toast = step, f"{text}\n{_UNDOES}"
        self._undo_timer = self.set_timer(undoing.UNDO_S, self._lapse)
        self.notify(self._undo_toast, timeout=undoing.UNDO_S, markup=False)

    def offer_only_on(self, place: str) -> None:
        """Another screen is shown: `u` undoes what was done there."""
        if self._offered is not None and self._offered.undo.place != place:
            self._take_back_offer()

    def _lapse(self) -> None:
        """The time is over, unless a dialog stands there, in which it is being looked for."""
        if len(self.screen_stack) > 1:
            self._undo_timer = self.set_timer(undoing.UNDO_S, self._lapse)
        else:
            self._take_back_offer()

    def _take_back_offer(self) -> None:
        """No toast says any more that `u` undoes at once what it does not."""
        if self._undo_timer is not None:
            self._undo_timer.stop()
        for toast in [each for each in self._notifications if each.message == self._undo_toast]:
            self._unnotify(toast)
        self._offered, self._undo_timer, self._undo_toast = None, None, ""
