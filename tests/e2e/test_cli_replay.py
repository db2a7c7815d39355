"""`logs replay` against a gateway: what is sent again, printed, compared, refused."""

import json
from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import running_gateway
from tests.e2e.test_kept_bodies import PLANTED, called, chat, keeping, kept
from tests.fakes.upstream import FakeUpstream


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_kept_request_is_sent_again_and_its_answer_printed(
    home: Path, fake: FakeUpstream, tmp_path: Path, path: str
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        _, request_id, _ = await called(running, key, chat(max_tokens=50), path)
        await kept(running, request_id)
        cli = Cli(tmp_path, running.url, running.master_key, key)
        again = (await cli("logs", "replay", request_id)).ok()
        assert fake.requests[1].body == fake.requests[0].body
        assert json.loads(again.out)["model"]
        assert "asked again as req_" in again.err
        row = (await cli("logs", "replay", request_id, "--json")).ok().json
        assert (row["replay_of"], row["status"]) == (request_id, 200)
        assert row["id"] != request_id
        assert key not in again.out + again.err


async def test_an_answer_that_is_kept_is_not_the_one_that_is_asked_for_again(
    home: Path, fake: FakeUpstream, tmp_path: Path
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        await running.admin("PATCH", "/mappings/fake*", {"policy": {"cache_ttl_s": 60}})
        _, request_id, _ = await called(running, key, chat())
        await kept(running, request_id)
        await Cli(tmp_path, running.url, running.master_key, key)("logs", "replay", request_id)
        assert (await running.last_record())["cache"] == "bypass"
        assert len(fake.requests) == 2


async def test_the_answers_are_compared(home: Path, fake: FakeUpstream, tmp_path: Path) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        target = {"provider": "fake", "model": "fake"}
        await running.admin("POST", "/mappings", {"alias": "other", "targets": [target]})
        _, request_id, _ = await called(running, key, chat())
        await kept(running, request_id)
        cli = Cli(tmp_path, running.url, running.master_key, key)
        row = (await cli("logs", "replay", request_id, "-m", "other", "--diff", "--json")).ok().json
        fields = {each["field"]: (each["before"], each["now"]) for each in row["fields"]}
        assert fields["alias"] == ("fake", "other")
        assert fields["status"] == (200, 200)
        assert {"cost", "duration_ms", "output_tokens"} <= fields.keys()
        assert row["text"]["before"] == row["text"]["now"]
        assert row["text"]["diff"] == []
        people = await cli("logs", "replay", request_id, "--diff", CONDUIT_FORCE_TTY="100")
        assert "the texts are the same" in people.ok().err
        assert "BEFORE" in people.out


async def test_a_dry_run_needs_no_key_and_sends_nothing(
    home: Path, fake: FakeUpstream, tmp_path: Path
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        _, request_id, _ = await called(running, key, chat(text=PLANTED))
        await kept(running, request_id)
        cli = Cli(tmp_path, running.url, running.master_key)
        plan = await cli("logs", "replay", request_id, "-m", "b", "--dry-run", "--json")
        assert plan.ok().json["path"] == "/v1/chat/completions"
        assert plan.json["changes"] == {"model": ["fake", "b"]}
        assert json.loads(plan.json["body"])["model"] == "b"
        assert PLANTED not in plan.out
        assert len(fake.requests) == 1
        assert (await cli("logs", "replay", request_id)).code == 4
        told = await Cli(tmp_path, running.url, running.master_key, key)(
            "logs", "replay", request_id
        )
        assert "a secret was taken out" in told.ok().err


async def test_what_was_not_kept_whole_is_refused(
    home: Path, fake: FakeUpstream, tmp_path: Path
) -> None:
    async with running_gateway(home, log_bodies=True, log_body_limit_bytes=1024) as running:
        key = await keeping(running, fake)
        _, long, _ = await called(running, key, chat(text="x" * 20_000))
        await kept(running, long)
        await running.admin("PATCH", "/keys/test", {"log_bodies": False})
        _, unkept, _ = await called(running, key, chat())
        await running.gateway.ledger.caught_up()
        cli = Cli(tmp_path, running.url, running.master_key, key)
        cut = await cli("logs", "replay", long)
        assert (cut.code, cut.out) == (5, "")
        assert "only the beginning of its body is kept" in cut.err
        nothing = await cli("logs", "replay", unkept, "--json")
        assert nothing.code == 5
        assert "no bodies of" in json.loads(nothing.err)["error"]["message"]


async def test_an_error_of_the_second_time_is_told_as_such(
    home: Path, fake: FakeUpstream, tmp_path: Path
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        _, request_id, _ = await called(running, key, chat())
        await kept(running, request_id)
        cli = Cli(tmp_path, running.url, running.master_key, key)
        missing = await cli("logs", "replay", request_id, "--model", "nobody")
        assert (missing.code, missing.out) == (5, "")
        assert "[model_not_found]" in missing.err


async def test_a_model_in_a_path_may_have_any_name(
    home: Path, fake: FakeUpstream, tmp_path: Path
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        target = {"provider": "fake", "model": "fake"}
        await running.admin("POST", "/mappings", {"alias": "team*", "targets": [target]})
        question = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
        _, request_id, _ = await called(
            running, key, question, "/v1beta/models/team%2F..%2Fa%20b:generateContent"
        )
        await kept(running, request_id)
        cli = Cli(tmp_path, running.url, running.master_key, key)
        (await cli("logs", "replay", request_id)).ok()
        (await cli("logs", "replay", request_id, "-m", "team/c?d %20")).ok()
        await running.gateway.ledger.caught_up()
        page = await running.admin("GET", "/requests")
        aliases = [row["alias"] for row in page["data"]]
        assert aliases == ["team/c?d %20", "team/../a b", "team/../a b"]
        missing = await cli("logs", "replay", request_id, "-m", "nobody")
        assert missing.code == 5


async def test_half_a_surrogate_pair_goes_to_another_model(
    home: Path, fake: FakeUpstream, tmp_path: Path
) -> None:
    async with running_gateway(home, log_bodies=True) as running:
        key = await keeping(running, fake)
        body = b'{"model": "fake", "messages": [{"role": "user", "content": "\\ud83d \xc3\xbc"}]}'
        _, request_id, _ = await called(running, key, body)
        await kept(running, request_id)
        cli = Cli(tmp_path, running.url, running.master_key, key)
        plan = await cli("logs", "replay", request_id, "-m", "fake-n1", "--dry-run")
        assert "\\xd83d ü" in plan.ok().out
        (await cli("logs", "replay", request_id, "-m", "fake-n1")).ok()
        assert json.loads(fake.requests[1].body)["messages"][0]["content"] == "\ud83d ü"
