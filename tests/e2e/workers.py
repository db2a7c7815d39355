"""A gateway of several worker processes on PostgreSQL, and a watch over its balances."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.e2e.processes import GatewayProcess, fake_process, free_port

# The prompt is more than 12 tokens however it is counted, as the fake says it is 12.
PROMPT = "hello " * 20
COST_OF_ONE = 212_000  # nano-dollars: 12 tokens in, 100 out
HOLD_OF_ONE = 252_000  # at most: the prompt is held as 52 tokens

# Every change of a balance is looked at in the transaction that makes it.
_WATCH = """
CREATE TABLE overshot (budget_id text, spent bigint, held bigint, allowed bigint);
CREATE FUNCTION watch_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE allowed bigint;
BEGIN
    SELECT limit_nanodollars INTO allowed FROM budgets WHERE id = NEW.budget_id;
    IF NEW.held_nanodollars > OLD.held_nanodollars
        AND NEW.spent_nanodollars + NEW.held_nanodollars > allowed THEN
        INSERT INTO overshot VALUES
            (NEW.budget_id, NEW.spent_nanodollars, NEW.held_nanodollars, allowed);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER watch_balance AFTER UPDATE ON balances
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watch_balance();
"""


@dataclass(eq=False)
class Workers:
    """The gateway, and what its clients and its database have to say."""

    process: GatewayProcess
    session: aiohttp.ClientSession
    location: str
    fake: str
    upstream_log: Path
    trusted: ssl.SSLContext | bool = True

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        return await self.process.admin(self.session, method, path, body)

    async def key(self, name: str, **fields: Any) -> str:
        return str((await self.admin("POST", "/keys", {"name": name, **fields}))["secret"])

    async def ask(self, key: str, **fields: Any) -> tuple[int, str]:
        """Status, and the code of the error or the text of the answer."""
        body = {
            "model": "fake-in12-out100-delay20",
            "messages": [{"role": "user", "content": PROMPT}],
            **fields,
        }
        async with self.session.post(
            f"{self.process.url}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            if response.status == 200:
                return 200, await response.text()
            return response.status, (await response.json())["error"]["code"]

    async def ask_many(self, key: str, count: int, **fields: Any) -> Counter[tuple[int, str]]:
        """The statuses and codes of so many calls at once."""
        answers = await asyncio.gather(*(self.ask(key, **fields) for _ in range(count)))
        return Counter((status, "" if status == 200 else code) for status, code in answers)

    def seen_upstream(self) -> set[str]:
        """The attempt ids of all requests that reached the provider."""
        rows = (json.loads(line) for line in self.upstream_log.read_text().splitlines())
        return {row["client_request_id"] for row in rows if row.get("client_request_id")}

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await postgresql.execute(self.location, statement)]

    async def watch_balances(self) -> None:
        await postgresql.execute_script(self.location, _WATCH)

    async def overshot(self) -> list[tuple[Any, ...]]:
        """The balances that a hold took above their limit, at the commit that did it."""
        return await self.rows("SELECT * FROM overshot")

    async def settled(self) -> None:
        """Wait until no attempt is open."""
        async with asyncio.timeout(20):
            while await self.rows("SELECT 1 FROM ledger WHERE state = 'open' LIMIT 1"):
                await asyncio.sleep(0.05)

    async def status_of_each(self) -> dict[int, Mapping[str, Any]]:
        """What each worker says of itself, as soon as each of them was met."""
        found: dict[int, Mapping[str, Any]] = {}
        async with asyncio.timeout(30):
            while True:
                # A connection of its own, which any of them may accept.
                connector = aiohttp.TCPConnector(ssl=self.trusted)
                async with aiohttp.ClientSession(connector=connector) as session:
                    status = await self.process.admin(session, "GET", "/status")
                found[status["worker"]] = status
                if len(found) == status["workers"]:
                    return found

    async def check_ledger(self) -> None:
        report = await self.admin("GET", "/ledger/check")
        assert report["ok"], report


@asynccontextmanager
async def running_workers(
    folder: Path,
    location: str,
    count: int = 2,
    trusted: ssl.SSLContext | bool = True,
    **environment: str,
) -> AsyncIterator[Workers]:
    """With the fake upstream as its provider: 1 USD a million tokens in, 2 out.

    `trusted` is what its clients go by where it speaks TLS.
    """
    connector = aiohttp.TCPConnector(limit=0, ssl=trusted)
    timeout = aiohttp.ClientTimeout(total=120)
    log = folder / "upstream.log"
    async with (
        fake_process(log) as fake,
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
    ):
        process = GatewayProcess(
            folder / "home",
            make_master_key(),
            free_port(),
            {
                "CONDUIT_DATABASE_URL": location,
                "CONDUIT_WORKERS": str(count),
                "CONDUIT_DRAIN_ACCEPT_S": "0",
                "CONDUIT_SHED_LOOP_LAG_MS": "0",
                **environment,
            },
        )
        try:
            await process.start(session)
            workers = Workers(process, session, location, fake, log, trusted)
            await workers.status_of_each()
            provider = {"name": "fake", "type": "openai_compatible", "base_url": fake}
            await workers.admin("POST", "/providers", provider)
            target = {"provider": "fake", "model": "*"}
            await workers.admin("POST", "/mappings", {"alias": "fake*", "targets": [target]})
            await workers.admin("PUT", "/prices/fake/*", {"input": "1", "output": "2"})
            yield workers
        finally:
            await process.kill()
