"""Claims, settlements, records and stored budgets for the tests of the ledger."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from conduit.gateway.conversation import Usage
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.checks import check_database
from conduit.gateway.ledger.entries import AttemptOutcome, Settlement, UsageSource
from conduit.gateway.ledger.journal import Sync
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.opening import LedgerLimits, open_ledger
from conduit.gateway.ledger.records import Claim, RequestRecord
from conduit.gateway.storage import schema
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.ledger.statements import Engine
from conduit.gateway.storage.schema import budgets, group_transactions, keys, ledger, requests

AT_MS = 1_790_000_000_000
_numbers = itertools.count(1)


def claim(hold: int = 1000, **changes: Any) -> Claim:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "attempt_id": f"att_{number:06d}",
        "request_id": f"req_{number:06d}",
        "key_id": "key_1",
        "alias": "fast",
        "provider": "openai",
        "model": "gpt",
        "credential_id": "cred_1",
        "operation": "chat",
        "stream": False,
        "at_ms": AT_MS,
        "hold_nanodollars": hold,
        "input_tokens": 10,
        "input_nanodollars": 100,
        "output_rate": 1_000_000,
        "price_version": "book-1",
    }
    return Claim(**(fields | changes))


def ending(cost: int = 600, **changes: Any) -> Settlement:
    fields: dict[str, Any] = {
        "outcome": AttemptOutcome.SUCCEEDED,
        "usage": Usage(input_tokens=10, output_tokens=20),
        "usage_source": UsageSource.PROVIDER,
        "cost_nanodollars": cost,
        "billed_nanodollars": cost,
        "at_ms": AT_MS + 50,
        "status": 200,
    }
    return Settlement(**(fields | changes))


def request_record(of: Claim, **changes: Any) -> RequestRecord:
    fields: dict[str, Any] = {
        "id": of.request_id,
        "at_ms": of.at_ms,
        "operation": of.operation,
        "stream": of.stream,
        "status": 200,
        "outcome": "succeeded",
        "error_code": None,
        "key_id": of.key_id,
        "key_name": "acme",
        "alias": of.alias,
        "provider": of.provider,
        "model": of.model,
        "attempts": 1,
        "duration_ms": 50,
        "ttft_ms": None,
        "input_tokens": 10,
        "cached_tokens": 0,
        "output_tokens": 20,
        "reasoning_tokens": 0,
        "usage_source": "provider",
        "cost_nanodollars": 600,
        "billed_nanodollars": 600,
        "tokens_per_s_milli": 400_000,
    }
    return RequestRecord(**(fields | changes))


def terms(limit: int = 10_000, **changes: Any) -> BudgetTerms:
    fields: dict[str, Any] = {
        "id": "bud_1",
        "scope_kind": "key",
        "scope_id": "key_1",
        "period": "total",
        "timezone": "UTC",
        "limit_nanodollars": limit,
        "mode": "hard",
        "scope_name": "acme",
    }
    return BudgetTerms(**(fields | changes))


async def store_budget(engine: Engine, budget: BudgetTerms, *, at_ms: int = AT_MS - 1) -> None:
    """The row that the admin API writes before it opens the budget."""
    row = {
        name: getattr(budget, name)
        for name in (
            "id",
            "scope_kind",
            "scope_id",
            "period",
            "timezone",
            "limit_nanodollars",
            "mode",
            "since_ms",
        )
    }
    async with writing(engine) as connection:
        await connection.execute(
            insert(budgets).values(**row, created_at_ms=at_ms, updated_at_ms=at_ms, version=1)
        )


async def store_limit(engine: Engine, budget: BudgetTerms, *, at_ms: int) -> None:
    """Another limit of a budget that is stored."""
    async with writing(engine) as connection:
        await connection.execute(
            update(budgets)
            .where(budgets.c.id == budget.id)
            .values(limit_nanodollars=budget.limit_nanodollars, updated_at_ms=at_ms)
        )


async def store_transaction(
    engine: Engine, group_id: str, nanodollars: int, *, at_ms: int = AT_MS
) -> None:
    """A row of what was paid into the balance of a group, or taken out."""
    async with writing(engine) as connection:
        await connection.execute(
            insert(group_transactions).values(
                id=f"gtx_{next(_numbers):06d}",
                group_id=group_id,
                at_ms=at_ms,
                kind="adjustment",
                amount_nanodollars=nanodollars,
                balance_nanodollars=0,
                reason="",
                actor="test",
            )
        )


async def store_key(engine: Engine, key_id: str = "key_1", name: str = "acme") -> None:
    async with writing(engine) as connection:
        await connection.execute(
            insert(keys).values(
                id=key_id,
                name=name,
                digest=key_id.encode(),
                start="condt_abcdef",
                allowed_models=["*"],
                enabled=True,
                created_at_ms=AT_MS,
                updated_at_ms=AT_MS,
                version=1,
            )
        )


async def opened(
    engine: Engine,
    folder: Path,
    *budgets_to_open: BudgetTerms,
    sync: Sync = "off",
    clock_ms: Callable[[], int] = lambda: AT_MS,
    **limits: Any,
) -> LocalLedger:
    """An open ledger with new budgets, each stored and opened."""
    running = await open_ledger(
        engine, folder, sync, clock_ms=clock_ms, limits=LedgerLimits(**limits)
    )
    for budget in budgets_to_open:
        await store_budget(engine, budget)
        await running.open_budget(budget)
    return running


async def attempts(engine: Engine) -> dict[str, Any]:
    """The rows of the ledger by attempt id."""
    async with reading(engine) as connection:
        return {row.attempt_id: row for row in await connection.execute(select(ledger))}


async def limits_in_force(engine: Engine) -> list[tuple[object, ...]]:
    """(budget id, limit, period start, what had been taken then) of each budget."""
    async with reading(engine) as connection:
        return [tuple(row) for row in await connection.execute(select(schema.limits_in_force))]


async def request_rows(engine: Engine) -> dict[str, Any]:
    async with reading(engine) as connection:
        return {row.id: row for row in await connection.execute(select(requests))}


async def violations(engine: Engine) -> list[str]:
    """What the invariants find wrong, ages aside: the tests' clock stands still."""
    findings, _ = await check_database(engine, at_ms=AT_MS)
    return [f"{f.invariant}: {text}" for f in findings for text in f.violations]


def balance(ledger: LocalLedger, budget_id: str = "bud_1", at_ms: int = AT_MS) -> tuple[int, int]:
    return ledger.balance_of(budget_id, at_ms)[:2]


async def waiting(ledger: LocalLedger, count: int) -> None:
    while ledger.state().waiting != count:
        await asyncio.sleep(0)
