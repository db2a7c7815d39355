"""One timer for all the deadlines of a call, re-armed only when it rings too early."""

import asyncio
import math
from abc import ABC, abstractmethod

from conduit.gateway.upstream import TransportFault


class CallTimer(ABC):
    """The deadlines of one call: that of the step it is in, and that of the whole.

    Setting a deadline costs an assignment. The timer behind it is armed once, for the first
    deadline; when it rings before the present one it arms itself again, so that a stream of ten
    thousand chunks makes a handful of timers. Only a deadline nearer than the armed one re-arms
    at once. `expired` is called once, after `fault` has been set. A call inherits from its timer
    rather than owning one: two objects that know each other would be left to the collector.
    """

    __slots__ = ("_armed_at", "_handle", "_loop", "_step_at", "_step_fault", "_total_at", "fault")

    def __init__(self, loop: asyncio.AbstractEventLoop, total_s: float | None) -> None:
        self._loop = loop
        self._total_at = math.inf if total_s is None else loop.time() + total_s
        self._step_at = math.inf
        self._step_fault = TransportFault.TOTAL_TIMEOUT
        self._armed_at = math.inf
        self._handle: asyncio.TimerHandle | None = None
        self.fault: TransportFault | None = None

    def begin(self, total_at: float, fault: TransportFault, seconds: float) -> None:
        """A call begins with a step of `seconds`: for a timer that serves one call after another.

        What is still armed for the call before is left to ring, unless this one ends earlier.
        """
        self.fault = None
        self._total_at = total_at
        self._step_fault = fault
        self._step_at = at = self._loop.time() + seconds
        if at < self._armed_at or total_at < self._armed_at:
            self._arm()

    def end(self) -> None:
        """The call is over, and another may begin."""
        self._step_at = self._total_at = math.inf

    def step(self, fault: TransportFault, seconds: float) -> None:
        """The step that begins now may take `seconds`; `fault` tells when it took longer."""
        self._step_fault = fault
        self._step_at = at = self._loop.time() + seconds
        if at < self._armed_at:
            self._arm()

    def rest(self) -> None:
        """Nothing is waited for: only the deadline of the whole goes on."""
        self._step_at = math.inf

    def stop(self) -> None:
        self._step_at = self._total_at = math.inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._armed_at = math.inf

    @abstractmethod
    def expired(self) -> None:
        """A deadline has passed: end what the call waits for."""

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed_at = min(self._step_at, self._total_at)
        self._handle = self._loop.call_at(self._armed_at, self._ring)

    def _ring(self) -> None:
        self._handle = None
        self._armed_at = math.inf
        at = min(self._step_at, self._total_at)
        if at == math.inf:
            return  # resting, without a limit in all: the next step arms it again
        if self._loop.time() < at:
            self._arm()
            return
        whole = self._total_at <= self._step_at
        self.fault = TransportFault.TOTAL_TIMEOUT if whole else self._step_fault
        self.stop()
        self.expired()
