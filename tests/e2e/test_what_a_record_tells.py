"""The record and the ledger of a call: dialects, credential, and each kind of token by itself."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import UPSTREAM_SECRET, Running
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "fake",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 15},
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "fake",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30},
        "cache_read_input_tokens": 20,
        "output_tokens": 9,
    },
}


async def ask(running: Running, path: str, model: str, **fields: object) -> None:
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": model, "max_tokens": 60, "messages": messages, **fields}
    headers = {"authorization": f"Bearer {await running.key()}"}
    async with running.http.post(running.url + path, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()


async def both(running: Running) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The record, its only attempt, and the sums of all attempts."""
    record = await running.last_record()
    (attempt,) = await running.attempts(record["id"])
    usage = await running.admin("GET", "/usage")
    await running.ledger_holds()
    return record, attempt, usage["total"]


def counts(row: dict[str, Any], *names: str) -> list[int]:
    return [row[f"{name}_tokens"] for name in names]


async def test_audio_is_told_apart_by_its_direction(running: Running, fake: FakeUpstream) -> None:
    fake.script(Behaviour(raw_body=json.dumps(CHAT).encode()))
    await ask(running, "/v1/chat/completions", "fake")
    record, attempt, total = await both(running)
    assert counts(record, "input", "cached", "audio", "output_audio") == [100, 20, 45, 15]
    assert counts(record, "output", "reasoning") == [50, 5]
    for row in (attempt, total):
        assert counts(row, "input", "cache_read", "audio", "output_audio") == [50, 20, 45, 15]
        assert counts(row, "output", "reasoning") == [30, 5]


async def test_writes_to_caches_are_told_apart_by_their_lifetimes(
    running: Running, fake: FakeUpstream
) -> None:
    credential = {"name": "spare", "secret": UPSTREAM_SECRET}
    provider = {
        "name": "claude",
        "type": "anthropic",
        "base_url": fake.base_url,
        "credential": credential,
    }
    await running.admin("POST", "/providers", provider)
    target = {"provider": "claude", "model": "m"}
    await running.admin("POST", "/mappings", {"alias": "claude", "targets": [target]})
    await running.admin("PUT", "/prices/claude/m", {"input": "1", "output": "2"})
    fake.script(Behaviour(raw_body=json.dumps(MESSAGE).encode()))
    await ask(running, "/v1/chat/completions", "claude")
    record, attempt, total = await both(running)
    assert counts(record, "input", "cached", "cache_write", "cache_write_1h") == [100, 20, 70, 30]
    for row in (attempt, total):
        assert counts(row, "input", "cache_read", "cache_write", "cache_write_1h") == [
            10,
            20,
            70,
            30,
        ]
    assert (record["client_dialect"], record["provider_dialect"]) == (
        "openai_chat",
        "anthropic_messages",
    )
    assert record["credential"] == "spare"
    assert attempt["credential_id"] == record["credential_id"] is not None


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("dialect:anthropic_messages", 1),
        ("dialect:openai_chat", 0),
        ("provider_dialect:openai*", 1),
        ("credential:default", 1),
        ("credential:other", 0),
        ("anthropic", 0),  # a word alone means a name, and no dialect
    ],
)
async def test_records_are_found_by_dialect_and_credential(
    running: Running, expression: str, found: int
) -> None:
    await ask(running, "/v1/messages", "fake")
    await running.gateway.ledger.caught_up()
    page = await running.admin("GET", f"/requests?filter={expression}")
    assert len(page["data"]) == found


async def test_a_request_that_never_left_has_neither_dialect_nor_credential_of_a_provider(
    running: Running,
) -> None:
    body = {"model": "none-such", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {await running.key()}"}
    url = f"{running.url}/v1/chat/completions"
    async with running.http.post(url, json=body, headers=headers) as response:
        assert response.status == 404
    record = await running.last_record()
    assert (record["client_dialect"], record["provider_dialect"]) == ("openai_chat", None)
    assert (record["credential"], record["credential_id"]) == (None, None)


DEVICE = {"device_id": "d-1", "account_uuid": "", "session_id": "s-1"}


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("messages", {"metadata": {"user_id": json.dumps(DEVICE)}}, ("s-1", "d-1")),
        (
            "messages",
            {"metadata": {"user_id": json.dumps({**DEVICE, "account_uuid": "a-1"})}},
            ("s-1", "a-1"),
        ),
        (
            "messages",
            {"metadata": {"user_id": "user_ab_account__session_s-2"}},
            ("s-2", "user_ab_account_"),
        ),
        ("messages", {"metadata": {"user_id": "{not json"}}, (None, "{not json")),
        ("messages", {"metadata": {"user_id": "[1]"}}, (None, "[1]")),
        ("messages", {}, (None, None)),
        (
            "chat/completions",
            {"metadata": {"session_id": "s-3"}, "user": "ann"},
            ("s-3", "ann"),
        ),
        (
            "chat/completions",
            {"prompt_cache_key": "s-4", "metadata": {"session_id": "s-5"}},
            ("s-4", None),
        ),
        ("chat/completions", {"metadata": {"session_id": ["s"]}}, (None, None)),
    ],
)
async def test_session_and_user_are_those_of_the_clients_metadata(
    running: Running, path: str, fields: dict[str, Any], told: tuple[str | None, str | None]
) -> None:
    await ask(running, f"/v1/{path}", "fake", **fields)
    record = await running.last_record()
    assert (record["session"], record["end_user"]) == told


async def test_a_record_has_the_tokens_of_all_attempts_as_it_has_their_cost(
    running: Running,
) -> None:
    targets = [{"provider": "fake", "model": name} for name in ("fake-status502", "fake-n3")]
    await running.admin("POST", "/mappings", {"alias": "sturdy", "targets": targets})
    await ask(running, "/v1/chat/completions", "sturdy")
    record = await running.last_record()
    attempts = await running.attempts(record["id"])
    assert [each["outcome"] for each in attempts] == ["ambiguous", "succeeded"]
    for name in ("input_tokens", "output_tokens"):
        assert record[name] == sum(each[name] for each in attempts)
    total = (await running.admin("GET", "/usage"))["total"]
    assert (record["input_tokens"], record["cost"]) == (total["input_tokens"], total["cost"])
