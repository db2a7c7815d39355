"""The writer of kept bodies and its files of a day."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conduit.core.ids import new_id, now_ms
from conduit.gateway.bodies.gathering import (
    Gathered,
    GatheredAttempt,
    GatheredCall,
    message_of,
    shown_headers,
)
from conduit.gateway.bodies.store import BodyStore, Retention, stored_call
from conduit.gateway.storage.bodies import BodyStoreError, DayFiles, day_of

DAY_MS = 86_400_000
LIMIT = 1_000_000
A_WEEK = Retention(7, 2**30)


def gathered(request_id: str | None = None, body: bytes = b"{}", limit: int = LIMIT) -> Any:
    message = message_of({"Content-Type": "application/json"}, body, limit)
    return GatheredCall(request_id or new_id("req"), "key_1", "/v1/chat", limit, message)


@asynccontextmanager
async def opened(
    folder: Path,
    scrub: Callable[[str], str] = str,
    retention: Retention = A_WEEK,
    **limits: int,
) -> AsyncIterator[BodyStore]:
    store = BodyStore(folder / "bodies", lambda: retention, scrub, **limits)
    store.start()
    yield store
    await store.close()


def written(folder: Path, *calls: GatheredCall) -> DayFiles:
    """Day files that hold the calls, written without a store."""
    files = DayFiles(folder / "bodies")
    for call in calls:
        files.write(day_of(call.id), [stored_call(call, str)])
    files.close()
    return files


async def test_what_was_offered_is_found_as_soon_as_it_is_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        calls = [gathered(body=b"%d" % number) for number in range(200)]
        for call in calls:
            store.offer(call)
        found = await store.find(calls[-1].id)
        assert found is not None
        assert found.bodies[found.request.body] == b"199"
        assert await store.find(new_id("req")) is None
        with pytest.raises(ValueError, match="no id"):
            await store.find("../../etc/passwd")
        state = await store.state()
    assert (state.written, state.dropped, state.waiting, state.days) == (200, 0, 0, 1)


async def test_a_full_queue_drops_and_counts_and_does_not_wait(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(text: str) -> str:
        gate.wait(10)
        return text

    async with opened(tmp_path, slow, most_waiting=5) as store:
        for _ in range(200):
            store.offer(gathered())
        state = await store.state()
        assert state.dropped >= 200 - 5 - 64  # one transaction's worth had been taken out
        assert state.waiting <= 5
        gate.set()
    state = await store.state()
    assert state.written + state.dropped == 200


async def test_a_queue_is_full_by_its_bytes_too(tmp_path: Path) -> None:
    async with opened(tmp_path, most_waiting_bytes=1000) as store:
        store.offer(gathered(body=b"x" * 2000))
        assert store.dropped == 1


async def test_a_body_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    def scrub(text: str) -> str:
        if text == "bad":
            raise RuntimeError("no")
        return text

    async with opened(tmp_path, scrub) as store:
        bad = gathered(body=b"bad")
        store.offer(bad)
        assert await store.find(bad.id) is None
        assert (await store.state()).failure == "kept bodies: RuntimeError"
        good = gathered()
        store.offer(good)
        assert await store.find(good.id) is not None
        assert (await store.state()).failure is None


async def test_days_beyond_the_retention_are_deleted(tmp_path: Path) -> None:
    now = now_ms()
    ids = [new_id("req", now - age * DAY_MS) for age in range(5)]
    files = written(tmp_path, *map(gathered, ids))
    assert len(files.days()) == 5
    async with opened(tmp_path, retention=Retention(3, 2**30)) as store:
        fresh = gathered()
        store.offer(fresh)
        assert await store.find(fresh.id) is not None
        assert [await store.find(each) is not None for each in ids] == [True] * 3 + [False] * 2
    assert len(list((tmp_path / "bodies").iterdir())) == 3


async def test_the_oldest_go_first_where_the_disk_is_full(tmp_path: Path) -> None:
    now = now_ms()
    noise = os.urandom(200_000)
    old = [gathered(new_id("req", now - DAY_MS), noise) for _ in range(4)]
    today = [gathered(body=noise[at:]) for at in range(20)]
    files = written(tmp_path, *old, *today)
    size = files.size()
    async with opened(tmp_path, retention=Retention(7, size // 3)) as store:
        store.offer(gathered())
        assert await store.find(today[0].id) is None
        assert await store.find(today[-1].id) is not None
        state = await store.state()
    assert (state.days, state.bytes <= size // 3) == (1, True)


async def test_a_purge_deletes_whole_days_and_a_part_of_one(tmp_path: Path) -> None:
    now = now_ms()
    before, after = gathered(new_id("req", now - 10)), gathered(new_id("req", now))
    written(tmp_path, gathered(new_id("req", now - 3 * DAY_MS)), before, after)
    async with opened(tmp_path) as store:
        assert await store.purge(now) == 2
        assert await store.find(before.id) is None
        assert await store.find(after.id) is not None
        assert await store.purge(0) == 0


async def test_a_damaged_day_is_told_of_and_can_be_deleted(tmp_path: Path) -> None:
    call = gathered(new_id("req", now_ms() - DAY_MS))
    files = written(tmp_path, call)
    [path] = (tmp_path / "bodies").glob("*.db")
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(BodyStoreError, match="kept bodies: "):
        files.read(call.id)
    async with opened(tmp_path) as store:
        assert await store.purge(now_ms()) == 0
    assert not path.exists()


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.gateway.bodies.test_store import gathered, stored_call
from conduit.gateway.storage.bodies import DayFiles, day_of

files = DayFiles(Path(sys.argv[1]) / "bodies")
for number in range(50):
    call = gathered(body=b"%d" % number)
    files.write(day_of(call.id), [stored_call(call, str)])
    print(call.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_what_was_written_is_there_after_the_process_was_killed(tmp_path: Path) -> None:
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE
    )
    ids = run.stdout.decode().split()
    assert (run.returncode, len(ids)) == (-9, 50)
    async with opened(tmp_path) as store:
        for number, request_id in enumerate(ids):
            found = await store.find(request_id)
            assert found is not None
            assert found.bodies == [b"%d" % number]
        more = gathered()
        store.offer(more)
        assert await store.find(more.id) is not None


def test_a_body_that_several_messages_have_is_stored_once() -> None:
    call = gathered(body=b"same")
    sent = call.message({}, b"same")
    call.attempts.append(GatheredAttempt("att_1", "p", "m", "http://h", sent))
    call.response = call.message({}, b"other")
    stored = stored_call(call, str)
    assert stored.bodies == [b"same", b"other"]
    assert stored.attempts[0].request.body == stored.request.body == 0


def test_a_secret_at_the_limit_is_taken_out_before_the_cut() -> None:
    secret = "sk-" + "a" * 40
    call = gathered(body=b"x" * 90 + secret.encode() + b"y" * 200, limit=100)
    stored = stored_call(call, lambda text: text.replace(secret, "[redacted]"))
    assert stored.bodies == [b"x" * 90 + b"[redacted]"]
    assert (stored.request.size, stored.request.truncated) == (333, True)


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert stored_call(gathered(body=b"\xff\x00"), lambda text: text + "").bodies == [b"\xff\x00"]


def test_only_so_many_bytes_are_gathered() -> None:
    body = Gathered(10)
    for _ in range(100):
        body.add(b"x" * 1000)
    assert body.size == 100_000
    assert body.held_bytes == len(body.joined()) == 10 + 8 * 1024


def test_headers_are_kept_by_name_and_logins_without_their_value() -> None:
    given = {"Authorization": "Bearer x", "X-Other": "1", "Anthropic-Version": "v", "Accept": "*/*"}
    assert shown_headers(given) == {
        "authorization": "[redacted]",
        "anthropic-version": "v",
        "accept": "*/*",
    }


def test_a_deleted_part_of_a_day_makes_its_file_smaller(tmp_path: Path) -> None:
    calls = [gathered(body=os.urandom(200_000)) for _ in range(10)]
    files = written(tmp_path, *calls)
    before = files.size()
    day = day_of(calls[0].id)
    assert files.delete_oldest(day, before // 2) >= 4
    assert files.size() < before * 0.7
    files.close()
    with sqlite3.connect(tmp_path / "bodies" / f"{day}.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
