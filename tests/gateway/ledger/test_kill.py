"""kill -9 in the midst of traffic: no dispatched attempt is ever missing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conduit.core.ids import now_ms
from conduit.gateway.ledger.checks import check_database
from conduit.gateway.ledger.opening import open_ledger
from conduit.gateway.storage.engine import Database
from tests.conftest import SOAKING
from tests.gateway.ledger.building import attempts, store_budget, terms

ROUNDS = 25 if SOAKING else 3
ROOT = Path(__file__).parents[3]
LIMIT = 100_000_000


def killed_after_a_while(folder: Path, url: str, seed: int) -> list[str]:
    """The ids that a driver had dispatched when it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.ledger.driver", str(folder), url, str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(0.2 + 0.05 * (seed % 7))  # nothing to wait for: any moment will do
    process.kill()
    rest, _ = process.communicate()
    *whole, _torn = (first + rest).decode().split("\n")
    assert whole
    return whole


@pytest.mark.soak
async def test_after_kill_9_every_dispatched_attempt_has_its_row_and_every_balance_its_sum(
    database: Database, location: str, tmp_path: Path
) -> None:
    seen: list[str] = []
    await store_budget(database, terms(LIMIT), at_ms=now_ms())
    for seed in range(ROUNDS):
        seen += killed_after_a_while(tmp_path, location, seed)
        ledger = await open_ledger(database, tmp_path)
        assert ledger.state().open_holds == 0
        findings, counts = await check_database(database, seen=seen)
        assert [f for f in findings if not f.ok] == []
        assert counts["open"] == 0
        spent, held, _ = ledger.balance_of("bud_1", now_ms())
        rows = (await attempts(database)).values()
        assert spent == sum(row.cost_nanodollars for row in rows)
        assert held == 0
        assert counts["requests"] == len({row.request_id for row in rows})
        await ledger.close()
