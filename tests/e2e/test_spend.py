"""Charges in doubt, reviewed and corrected, and records exported, from the command line."""

import csv
import io
import json
from pathlib import Path

from conduit.core.money import parse_usd
from tests.e2e.cli import Cli
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream


async def call(running: Running, key: str, *, status: int) -> None:
    body = {
        "model": "fake",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 100,
    }
    headers = {"authorization": f"Bearer {key}"}
    url = f"{running.url}/v1/chat/completions"
    async with running.http.post(url, json=body, headers=headers) as response:
        assert response.status == status, await response.text()
        await response.read()


async def test_a_charge_in_doubt_is_reviewed_and_corrected(
    fake: FakeUpstream, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    async with running_gateway(home, max_attempts=1) as running:
        await connect_fake(running, fake)
        key = await running.key("ci", budget={"limit": "1"})
        await call(running, key, status=200)
        fake.script(Behaviour(status=504))
        await call(running, key, status=502)
        cli = Cli(tmp_path, running.url, running.master_key)
        await running.gateway.ledger.caught_up()
        [charge] = (await cli("spend", "review", "--json")).ok().json["data"]
        assert (charge["outcome"], charge["key"]) == ("ambiguous", "ci")
        assert charge["why"].endswith("its estimated input")
        assert charge["id"] in (await cli("spend", "review", "-q")).ok().out

        planned = await cli(
            *("spend", "correct", charge["id"], "--cost", "0"),
            *("--reason", "not on the invoice", "--dry-run"),
        )
        assert planned.code == 0
        made = (
            await cli(
                *("spend", "correct", charge["id"], "--cost", "0"),
                *("--reason", "not on the invoice", "--json"),
            )
        ).ok()
        assert (made.json["cost"], made.json["charged"]) == ("0.00", charge["charged"])
        assert "corrected att_" in made.err
        for arguments, code in (
            (("spend", "correct", charge["id"], "--cost", "0.1", "--reason", "once more"), 6),
            (("spend", "correct", "att_none", "--cost", "0.1", "--reason", "once more"), 5),
            (("spend", "correct", charge["id"], "--cost", "much", "--reason", "once more"), 2),
            (("spend", "correct", charge["id"], "--cost", "1", "--reason", " "), 2),
            (("spend", "correct", charge["id"], "--cost", "99", "--reason", "x x", "--again"), 6),
            (("spend", "review", "--state", "closed"), 2),
            (("spend", "review", "--key", "nobody"), 5),
        ):
            assert (await cli(*arguments)).code == code, arguments
        assert (await cli("spend", "review", "--json")).ok().json["data"] == []
        shown = (await cli("spend", "show", charge["id"], "-o", "table")).ok().out
        assert "not on the invoice" in shown
        spent = (await cli("usage", "--json")).ok().json["total"]
        [budget] = (await cli("keys", "show", "ci", "--json")).ok().json["budgets"]
        assert parse_usd(spent["cost"]) == parse_usd(budget["spent"]) > 0
        assert spent["attempts"] == 2
        record = (await cli("logs", "show", charge["request_id"], "--json")).ok().json
        [attempt] = record["attempt_list"]
        assert (record["cost"], attempt["cost"]) == ("0.00", "0.00")
        assert attempt["charged"] == charge["charged"]
        await running.ledger_holds()
        assert (await cli("doctor", "ledger")).code == 0
    async with running_gateway(home) as again:  # what was corrected outlives a restart
        [key_row] = (await again.admin("GET", "/keys"))["data"]
        assert key_row["budgets"][0]["spent"] == budget["spent"]
        await again.ledger_holds()


async def test_records_are_exported_as_lines_and_as_csv(running: Running, tmp_path: Path) -> None:
    key = await running.key()
    for _ in range(3):
        await call(running, key, status=200)
    await running.gateway.ledger.caught_up()
    cli = Cli(tmp_path, running.url, running.master_key)
    listed = (await cli("logs", "list", "--json")).ok().json["data"]
    lines = (await cli("logs", "export", "--since", "1h")).ok()
    assert [json.loads(line) for line in lines.out.splitlines()] == listed
    assert "exported 3 records" in lines.err
    out = tmp_path / "records.csv"
    flags = ("--since", "ever", "--format", "csv", "--out", str(out))
    (await cli("logs", "export", *flags, "--filter", "status:200")).ok()
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["id"] for row in rows] == [row["id"] for row in listed]
    assert (await cli("logs", "export", "--since", "1h", "--filter", "colour:red")).code == 2
