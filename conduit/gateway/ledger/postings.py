"""What a run of journal records changes in the tables; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conduit.gateway.ledger.budgets import OpenBudgets, Scope
from conduit.gateway.ledger.entries import UsageSource
from conduit.gateway.ledger.records import (
    AttemptRecord,
    Claim,
    ProgressRecord,
    RequestRecord,
    SettleRecord,
    TopUpRecord,
)
from conduit.gateway.storage.ledger.statements import StoredAttempt

_Row = tuple[Any, ...]


@dataclass(slots=True)
class Postings:
    """Rows for the statements of storage/ledger/, and the orphans that have no hold."""

    inserts: list[_Row] = field(default_factory=list)
    settles: list[_Row] = field(default_factory=list)
    notes: list[_Row] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
    balances: list[_Row] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


class _Attempt:
    """An attempt while the records of a run pass over it."""

    __slots__ = ("changed", "hold", "opened", "open", "progress", "scopes", "settled")

    def __init__(
        self,
        opened: Claim | None,
        hold: int,
        scopes: tuple[Scope, ...],
        *,
        progress: int = 0,
        is_open: bool = True,
    ) -> None:
        self.opened = opened  # None: its row is in the ledger already
        self.hold = hold
        self.scopes = scopes
        self.progress = progress
        self.open = is_open
        self.changed = False
        self.settled: SettleRecord | None = None


def attempt_ids(records: Iterable[AttemptRecord | RequestRecord]) -> set[str]:
    """The attempts of a run."""
    return {record.attempt_id for record in records if not isinstance(record, RequestRecord)}


def earlier_attempt_ids(records: Sequence[AttemptRecord | RequestRecord]) -> set[str]:
    """The attempts of a run that were held before it."""
    held = {record.attempt_id for record in records if isinstance(record, Claim)}
    return attempt_ids(records) - held


def post(
    records: Sequence[AttemptRecord | RequestRecord],
    stored: Mapping[str, StoredAttempt],
    budgets: OpenBudgets,
    journal: int,
) -> Postings:
    """The changes that the records make, in their order, to the attempts that are stored.

    `journal` is the number of the one that they are of. A record that has been posted before
    changes nothing: a second hold of an attempt, anything about one that is done.
    """
    postings = Postings()
    changes: dict[Scope, list[int]] = {}
    attempts = {
        attempt_id: _Attempt(
            None,
            row.hold_nanodollars,
            tuple(budgets.scopes_of(row.key_id, row.alias, row.held_at_ms, row.group_id)),
            progress=row.progress_tokens,
            is_open=row.state == "open",
        )
        for attempt_id, row in stored.items()
    }
    for record in records:
        if isinstance(record, RequestRecord):
            postings.requests.append(record)
        elif isinstance(record, Claim):
            if record.attempt_id not in attempts:
                scopes = tuple(
                    budgets.scopes_of(record.key_id, record.alias, record.at_ms, record.group_id)
                )
                attempts[record.attempt_id] = _Attempt(record, record.hold_nanodollars, scopes)
                _move(changes, scopes, 0, record.hold_nanodollars)
        elif (attempt := attempts.get(record.attempt_id)) is None:
            postings.orphans.append(record.attempt_id)
        elif attempt.open:
            _advance(attempt, record, changes, budgets)
    _collect(postings, attempts, changes, journal)
    return postings


def _advance(
    attempt: _Attempt,
    record: SettleRecord | TopUpRecord | ProgressRecord,
    changes: dict[Scope, list[int]],
    budgets: OpenBudgets,
) -> None:
    if isinstance(record, SettleRecord):
        attempt.open = False
        attempt.settled = record
        cost, billed = record.cost_nanodollars, record.billed_nanodollars
        for scope in attempt.scopes:
            taken = budgets.terms(scope[0]).taken_by(cost, billed)
            _move(changes, (scope,), taken, -attempt.hold)
        return
    attempt.changed = True
    if isinstance(record, ProgressRecord):
        attempt.progress = max(attempt.progress, record.output_tokens)
    else:
        _move(changes, attempt.scopes, 0, record.hold_nanodollars - attempt.hold)
        attempt.hold = record.hold_nanodollars


def _move(
    changes: dict[Scope, list[int]], scopes: tuple[Scope, ...], spent: int, held: int
) -> None:
    for scope in scopes:
        change = changes.setdefault(scope, [0, 0])
        change[0] += spent
        change[1] += held


def _collect(
    postings: Postings,
    attempts: Mapping[str, _Attempt],
    changes: Mapping[Scope, list[int]],
    journal: int,
) -> None:
    for attempt_id, attempt in attempts.items():
        if attempt.opened is not None:
            postings.inserts.append(_inserted(attempt.opened, attempt, journal))
        elif attempt.settled is not None:
            postings.settles.append((*_settled_columns(attempt), attempt_id))
        elif attempt.changed:
            postings.notes.append((attempt.hold, attempt.progress, attempt_id))
    # A row even where the change is none: it tells that the budget has counted in this period.
    postings.balances.extend((*scope, *change) for scope, change in changes.items())


def _settled_columns(attempt: _Attempt) -> _Row:
    """The values of SETTLED_COLUMNS."""
    end = attempt.settled
    assert end is not None
    return (
        "done",
        end.outcome,
        end.status,
        end.error_code,
        end.ambiguous,
        attempt.hold,
        end.cost_nanodollars,
        end.billed_nanodollars,
        end.usage_source,
        end.input_tokens,
        end.cache_read_tokens,
        end.cache_write_tokens,
        end.output_tokens,
        end.reasoning_tokens,
        end.audio_tokens,
        attempt.progress,
        end.at_ms,
        end.search_units,
        end.cache_write_1h_tokens,
        end.output_audio_tokens,
    )


def _inserted(claim: Claim, attempt: _Attempt, journal: int) -> _Row:
    """A row of the ledger in the order of its columns."""
    end = attempt.settled
    if end is None:
        outcome = (None, None, None, False)
        usage = (UsageSource.NONE.value, claim.input_tokens, 0, 0, 0, 0, 0)
        middle: _Row = ("open", *outcome, attempt.hold, 0, 0, claim.price_version, *usage)
        settled_at_ms = search_units = None
        hourly = spoken = 0
    else:
        columns = _settled_columns(attempt)
        middle = (*columns[:8], claim.price_version, *columns[8:15])
        settled_at_ms, search_units = end.at_ms, end.search_units
        hourly, spoken = end.cache_write_1h_tokens, end.output_audio_tokens
    return (
        claim.attempt_id,
        claim.request_id,
        claim.key_id,
        claim.alias,
        claim.provider,
        claim.model,
        claim.credential_id,
        claim.operation,
        claim.stream,
        *middle,
        attempt.progress,
        claim.input_nanodollars,
        claim.output_rate,
        claim.at_ms,
        settled_at_ms,
        search_units,
        claim.group_id,
        None,  # it adjusts no other
        journal,
        hourly,
        spoken,
    )
