"""Bodies that are kept: of which calls, what of them, without secrets, and never in the way."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import postgresql
from tests.e2e.cli import Cli
from tests.e2e.conftest import UPSTREAM_SECRET, Running, connect_fake, running_gateway
from tests.fakes.behaviour import Behaviour, Fault
from tests.fakes.upstream import FakeUpstream

PLANTED = "sk-planted0123456789abcdef"  # what looks like a key of somebody else


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(params=postgresql.ENGINES)
async def location(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Where an empty database is, for what is kept beside a row of it."""
    async with postgresql.database_url(request.param, tmp_path / "conduit.db") as url:
        yield url


@pytest.fixture
async def running(home: Path, fake: FakeUpstream, location: str) -> AsyncIterator[Running]:
    async with running_gateway(home, database_url=location) as gateway:
        await connect_fake(gateway, fake)
        yield gateway


async def keeping(running: Running, fake: FakeUpstream) -> str:
    await connect_fake(running, fake)
    return await running.key()


async def called(
    running: Running,
    key: str,
    body: object,
    path: str = "/v1/chat/completions",
    **headers: str,
) -> tuple[int, str, bytes]:
    """The status, the id and the answer of a call."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    async with running.http.post(running.url + path, data=data, headers=sent) as response:
        return response.status, response.headers["x-request-id"], await response.read()


def chat(model: str = "fake", text: str = "hello", **fields: object) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


async def kept(running: Running, request_id: str) -> dict[str, Any]:
    await running.gateway.ledger.caught_up()
    found: dict[str, Any] = await running.admin("GET", f"/requests/{request_id}/bodies")
    return found


async def refused(running: Running, request_id: str) -> str:
    await running.gateway.ledger.caught_up()
    path = f"/requests/{request_id}/bodies"
    answer = await running.admin("GET", path, status=404)
    return str(answer["error"]["message"])


def files(home: Path) -> Iterator[Path]:
    yield from (home / "data" / "bodies").glob("*")


async def test_nothing_is_written_unless_it_is_turned_on(running: Running, tmp_path: Path) -> None:
    status, request_id, _ = await called(running, await running.key(), chat())
    assert status == 200
    text = await refused(running, request_id)
    assert "no bodies of" in text
    assert "log_bodies is off" in text
    assert not list(tmp_path.rglob("bodies"))
    assert (await running.admin("GET", "/status"))["bodies"]["written"] == 0


async def test_a_call_of_the_same_dialect_is_kept_as_it_was_sent_and_answered(
    home: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        body = b'{"model": "fake", "messages":[{"role":"user","content":"h\\u00e9llo"}],"x":1.0}'
        _, request_id, answer = await called(running, key, body, **{"user-agent": "test/1"})
        found = await kept(running, request_id)
    assert found["request"]["body"].encode() == body
    assert found["request"]["headers"]["user-agent"] == "test/1"
    assert found["request"]["headers"]["authorization"] == "[redacted]"
    assert found["path"] == "/v1/chat/completions"
    [attempt] = found["attempts"]
    assert attempt["request"]["body"].encode() == fake.requests[0].body
    assert attempt["request"]["headers"]["authorization"] == "[redacted]"
    assert attempt["url"] == f"{fake.base_url}/chat/completions"
    assert (attempt["status"], found["status"]) == (200, 200)
    assert found["response"]["body"].encode() == answer
    assert found["response"]["headers"]["x-request-id"] == request_id


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_translated_call_is_kept_on_both_sides(
    home: Path, fake: FakeUpstream, stream: bool
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        body = chat(max_tokens=50, stream=stream)
        _, request_id, answer = await called(running, key, body, "/v1/messages")
        found = await kept(running, request_id)
    [attempt] = found["attempts"]
    assert attempt["request"]["body"].encode() == fake.requests[0].body
    assert attempt["request"]["body"] != found["request"]["body"]
    assert "choices" in attempt["response"]["body"]
    assert found["response"]["body"].encode() == answer
    assert "choices" not in found["response"]["body"]


async def test_each_attempt_is_kept_and_the_error_that_the_client_got(
    home: Path, fake: FakeUpstream, location: str
) -> None:
    async with running_gateway(home, log_bodies=True, database_url=location) as running:
        key = await keeping(running, fake)
        target = {"provider": "fake", "model": "fake"}
        spare = {**target, "model": "fake-n3", "order": 1}
        await running.admin("POST", "/mappings", {"alias": "two", "targets": [target, spare]})
        fake.script(Behaviour(status=503))
        _, request_id, answer = await called(running, key, chat("two"))
        found = await kept(running, request_id)
        assert [each["status"] for each in found["attempts"]] == [503, 200]
        assert found["response"]["body"].encode() == answer
        assert found["attempts"][0]["response"]["body"]
        fake.script(Behaviour(status=400))
        status, request_id, answer = await called(running, key, chat())
        found = await kept(running, request_id)
    assert status == found["status"] == 400
    assert [each["status"] for each in found["attempts"]] == [400]
    assert found["response"]["body"].encode() == answer


async def test_a_body_that_is_no_request_is_kept_with_its_refusal(
    home: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        status, request_id, answer = await called(running, key, b'{"model": \xff')
        found = await kept(running, request_id)
    assert status == 400
    assert (found["attempts"], found["request"]["encoding"]) == ([], "base64")
    assert found["response"]["body"].encode() == answer


async def test_a_stream_that_is_cut_is_kept_as_far_as_it_came(
    home: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        body = chat("fake-n6-cut_rst-at3", stream=True)
        _, request_id, answer = await called(running, key, body)
        found = await kept(running, request_id)
    [attempt] = found["attempts"]
    assert answer.decode() == found["response"]["body"]
    assert "upstream_error" in found["response"]["body"]
    assert attempt["response"]["body"]
    assert "upstream_error" not in attempt["response"]["body"]


async def test_a_client_that_leaves_and_a_provider_that_is_silent_leave_the_request(
    home: Path, fake: FakeUpstream, location: str
) -> None:
    async with running_gateway(home, log_bodies=True, database_url=location) as running:
        key = await keeping(running, fake)
        fake.script(Behaviour(fault=Fault.SILENT))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await called(running, key, chat())
        async with asyncio.timeout(5):
            while not (await running.admin("GET", "/status"))["bodies"]["written"]:
                await asyncio.sleep(0.01)
        record = await running.last_record()
        found = await kept(running, record["id"])
    assert found["response"] is None
    assert found["attempts"][0]["request"]["body"].encode() == fake.requests[0].body


async def test_only_so_much_of_a_body_is_kept_and_that_is_said(
    home: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(home, log_bodies=True, log_body_limit_bytes=1024) as running:
        key = await keeping(running, fake)
        body = chat(text="x" * 50_000)
        _, request_id, _ = await called(running, key, body)
        found = await kept(running, request_id)
    assert found["request"]["truncated"]
    assert found["request"]["bytes"] == len(json.dumps(body))
    assert len(found["request"]["body"]) == 1024
    assert not found["response"]["truncated"]


async def test_a_key_says_for_itself_whether_its_bodies_are_kept(running: Running) -> None:
    on = await running.key("on", log_bodies=True)
    _, request_id, _ = await called(running, on, chat())
    assert (await kept(running, request_id))["request"]["body"]
    changed = await running.admin("PATCH", "/keys/on", {"log_bodies": None})
    assert changed["log_bodies"] is None
    _, request_id, _ = await called(running, on, chat())
    assert "no bodies of" in await refused(running, request_id)


async def test_a_key_may_stay_out_of_it(home: Path, fake: FakeUpstream, location: str) -> None:
    async with running_gateway(home, log_bodies=True, database_url=location) as running:
        await connect_fake(running, fake)
        off = await running.key("off", log_bodies=False)
        _, request_id, _ = await called(running, off, chat())
        assert "no bodies of" in await refused(running, request_id)


async def test_what_a_key_says_and_what_was_kept_outlast_a_restart(
    home: Path, fake: FakeUpstream, location: str
) -> None:
    async with running_gateway(home, database_url=location) as running:
        await connect_fake(running, fake)
        key = await running.key("on", log_bodies=True)
        _, before, _ = await called(running, key, chat())
        await kept(running, before)
    async with running_gateway(home, database_url=location) as running:
        assert (await running.admin("GET", "/keys/on"))["log_bodies"] is True
        _, after, _ = await called(running, key, chat())
        assert (await kept(running, after))["request"]["body"]
        assert (await kept(running, before))["request"]["body"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_no_secret_is_written(home: Path, fake: FakeUpstream, stream: bool) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        secrets = [PLANTED, UPSTREAM_SECRET, key, running.master_key]
        text = " ".join([*secrets, UPSTREAM_SECRET.replace("/", "\\/")])
        body = chat("fake-echo", text, user=PLANTED, stream=stream)
        headers = {
            "openai-beta": PLANTED,
            "cookie": PLANTED,
            "x-api-key": key,
            "x-stainless-os": UPSTREAM_SECRET,
            "x-unknown": PLANTED,
        }
        path = f"/v1/chat/completions?key={PLANTED}"
        _, request_id, _ = await called(running, key, body, path, **headers)
        found = await kept(running, request_id)
    everything = json.dumps(found).encode()
    for secret in secrets:
        assert secret.encode() not in everything
        assert all(secret.encode() not in each.read_bytes() for each in files(home))
    assert json.loads(found["request"]["body"])["user"] == "[redacted]"
    assert found["request"]["headers"]["openai-beta"] == "[redacted]"
    assert "x-unknown" not in found["request"]["headers"]


async def test_only_its_owner_may_read_what_is_kept(home: Path, fake: FakeUpstream) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        _, request_id, _ = await called(running, await keeping(running, fake), chat())
        await kept(running, request_id)
        written = list(files(home))
        assert len(written) == 3
        assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in written)
        assert stat.S_IMODE(written[0].parent.stat().st_mode) == 0o700


async def test_no_event_and_no_record_holds_a_body(
    home: Path, fake: FakeUpstream, location: str
) -> None:
    async with running_gateway(home, log_bodies=True, database_url=location) as running:
        key = await keeping(running, fake)
        _, request_id, _ = await called(running, key, chat(text="a very rare word"))
        await kept(running, request_id)
        events = await running.admin("GET", "/events?limit=1000")
        record = await running.admin("GET", f"/requests/{request_id}")
    assert "rare word" not in json.dumps([events, record])


async def test_a_purge_takes_bodies_with_the_records_or_alone(
    home: Path, fake: FakeUpstream, location: str
) -> None:
    async with running_gateway(home, log_bodies=True, database_url=location) as running:
        key = await keeping(running, fake)
        _, request_id, _ = await called(running, key, chat())
        at = (await kept(running, request_id))["at"]
        before = {"before": at, "bodies_only": True}
        purged = await running.admin("POST", "/requests/purge", before, status=200)
        assert purged == {"deleted": 0, "bodies": 0, "more": False}
        _, later, _ = await called(running, key, chat())
        before["before"] = (await kept(running, later))["at"]
        purged = await running.admin("POST", "/requests/purge", before, status=200)
        assert purged == {"deleted": 0, "bodies": 1, "more": False}
        assert "or they were purged" in await refused(running, request_id)
        assert (await running.admin("GET", f"/requests/{request_id}"))["id"] == request_id
        assert await kept(running, later)


async def test_what_is_turned_on_while_the_gateway_runs_counts_for_the_next_request(
    running: Running,
) -> None:
    key = await running.key()
    await running.admin("PATCH", "/config", {"values": {"log_bodies": True}})
    _, request_id, _ = await called(running, key, chat())
    assert await kept(running, request_id)


async def test_logs_show_gives_bytes_to_a_pipe_and_json_to_people(
    home: Path, fake: FakeUpstream, location: str, tmp_path: Path
) -> None:
    async with running_gateway(home, log_bodies=True, database_url=location) as running:
        key = await keeping(running, fake)
        body = chat(max_tokens=50, text="héllo")
        _, request_id, answer = await called(running, key, body, "/v1/messages")
        await kept(running, request_id)
        cli = Cli(tmp_path, running.url, running.master_key)
        sent = await cli("logs", "show", request_id, "--upstream")
        assert (sent.code, sent.out.encode()) == (0, fake.requests[0].body)
        asked = await cli("logs", "show", request_id, "--request")
        assert asked.out == json.dumps(body)
        assert (await cli("logs", "show", request_id, "--response")).out.encode() == answer
        raw = await cli("logs", "show", request_id, "--response", "--attempt", "1")
        assert "choices" in json.loads(raw.out)
        people = await cli("logs", "show", request_id, "--upstream", CONDUIT_FORCE_TTY="100")
        assert '\n  "messages": [' in people.out
        whole = json.loads((await cli("logs", "show", request_id, "--request", "-o", "json")).out)
        assert (whole["id"], len(whole["attempts"])) == (request_id, 1)
        headers = await cli("logs", "show", request_id, "--headers")
        assert "upstream 1\tauthorization\t[redacted]" in headers.out
        assert "answer 1\tcontent-type" in headers.out


async def test_logs_show_says_why_there_is_no_body(running: Running, tmp_path: Path) -> None:
    _, request_id, _ = await called(running, await running.key(), chat())
    await running.gateway.ledger.caught_up()
    cli = Cli(tmp_path, running.url, running.master_key)
    outcome = await cli("logs", "show", request_id, "--upstream")
    assert (outcome.code, outcome.out) == (5, "")
    assert "conduit config set log_bodies true" in outcome.err
    assert (await cli("logs", "show", request_id, "--upstream", "--curl")).code == 2
    assert (await cli("logs", "show", request_id, "--request", "--attempt", "1")).code == 2
    assert (await cli("keys", "update", "test", "--log-bodies", "on")).code == 0
    assert (await cli("keys", "update", "test", "--log-bodies", "maybe")).code == 2
    assert (await running.admin("GET", "/keys/test"))["log_bodies"] is True
