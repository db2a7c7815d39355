"""The values that pass between the request path and the ledger.

Those made for every request are msgspec structs: as frozen as a dataclass, and made in a fifth of
the time.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import msgspec

from conduit.gateway.conversation import Usage
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.records import Claim, RequestRecord


class UsageSource(StrEnum):
    """Where a settled usage came from, best first."""

    PROVIDER = "provider"
    PROVIDER_PARTIAL = "provider_partial"
    ESTIMATED = "estimated"
    RECOVERED = "recovered"
    NONE = "none"


class AttemptOutcome(StrEnum):
    SUCCEEDED = "succeeded"
    REFUSED = "refused"  # the provider answered with an error and did no work
    AMBIGUOUS = "ambiguous"  # it may be working, and billing, still
    CUT = "cut"  # the provider's stream broke after it had begun
    CLIENT_GONE = "client_gone"
    STOPPED = "stopped"  # we stopped it: budget, shutdown
    RECOVERED = "recovered"  # settled after a crash


class Hold(msgspec.Struct, eq=False):
    """Money taken out of every budget of a claim until it is settled. Owned by the ledger."""

    claim: Claim
    scopes: tuple[tuple[str, int], ...]  # (budget id, period start in ms)
    nanodollars: int
    settled: bool = False
    noted_tokens: int = 0  # of the last progress note
    noted_at: float = 0.0  # and when it was made, in seconds of the monotonic clock


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended. `cost` is what the provider likely charges, `billed` what the key pays.

    `at_ms` is when it ended; `ttft_ms` is None where no byte came.
    """

    outcome: AttemptOutcome
    usage: Usage
    usage_source: UsageSource
    cost_nanodollars: int
    billed_nanodollars: int
    at_ms: int
    ttft_ms: int | None = None
    status: int | None = None
    error_code: str | None = None
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What the status page and `doctor ledger` show of a running ledger."""

    open_holds: int
    held_nanodollars: int
    waiting: int
    journal_bytes_unapplied: int
    journal_file: str
    sync: str
    available: bool
    reason: str | None = None


class Ledger(Protocol):
    """Hold before the call, settle after; what holds money is a coroutine, all else is not."""

    async def hold(self, claim: Claim, *, wait_s: float = 2.0) -> Hold:
        """Take the claim out of all its budgets and append it to the journal.

        When it returns, the journal record has been written. Raises InsufficientQuotaError where
        spent money leaves no room, BudgetHeldError where held money did not come back within
        `wait_s`, LedgerUnavailableError where the journal cannot be written; then nothing is held.
        """
        ...

    def affordable(
        self, key_id: str, alias: str | None = None, group_id: str | None = None
    ) -> int | None:
        """Nano-dollars that the tightest hard budget has not spent; None: no such budget.

        Some of it may be held by running calls: a claim for it waits until they settle.
        """
        ...

    def exhausted(self, key_id: str, group_id: str | None = None) -> BudgetTerms | None:
        """The first hard budget, of the key, its group or the gateway, that spent money alone has
        used up.
        """
        ...

    def is_bounded(self, alias: str) -> bool:
        """Whether a hard budget, of the alias or the gateway, covers the calls of any key."""
        ...

    def progress(self, hold: Hold, output_tokens: int) -> None:
        """Note how far a stream has come, for recovery after a crash."""
        ...

    async def top_up(self, hold: Hold, nanodollars: int) -> bool:
        """Hold more for a stream that outgrew its hold; False: no money, stop the stream."""
        ...

    def settle(self, hold: Hold, settlement: Settlement) -> None:
        """Replace the hold by its cost. Running it twice changes nothing."""
        ...

    def record(self, record: RequestRecord) -> None:
        """Append a request record to the journal; never raises into a request."""
        ...

    def state(self) -> LedgerState: ...


EMPTY_USAGE = Usage(requests=0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant of the ledger, checked: `ok`, or what is wrong."""

    invariant: str
    title: str
    ok: bool
    detail: str
    violations: tuple[str, ...] = field(default=())
