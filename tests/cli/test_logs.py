"""Request records from the command line: shown over time, followed, exported, purged."""

import csv
import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from conduit.client.records import FIELDS
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway, Refusal

LATER = "2999-01-01T00:00:00.000Z"
ON_TERMINAL = {"CONDUIT_FORCE_TTY": "160", "NO_COLOR": "1"}


def finished(request_id: str, at_ms: int) -> dict[str, Any]:
    """An event of a request that has ended."""
    data = dict.fromkeys(FIELDS) | {
        "id": request_id,
        "at_ms": at_ms,
        "key_name": "ci",
        "status": 200,
        "duration_ms": 5,
        "input_tokens": 1,
        "output_tokens": 2,
        "cost_nanodollars": 1_500_000_000,
        "billed_nanodollars": 0,
    }
    return {"boot": "01BOOT", "seq": 1, "at_ms": at_ms, "kind": "request.finished", "data": data}


def attempt(**changes: Any) -> dict[str, Any]:
    return {
        "id": "att_1",
        "provider": "openai",
        "model": "gpt-4o",
        "state": "done",
        "outcome": "succeeded",
        "status": 200,
        "error_code": None,
        "cost": "0.0041",
        "held_at": "2026-11-20T12:00:00.010Z",
        "settled_at": "2026-11-20T12:00:00.812Z",
        **changes,
    }


def test_the_flags_of_a_list_are_terms_of_one_filter(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    conduit("logs", "list", "--model", "gpt*", "--min-latency", "1.5s", "--error", "*")
    assert gateway.seen[-1].query["filter"] == ["alias:gpt* ms:>=1500 error:*"]
    conduit("logs", "list", "--since", "1h", "--until", "2026-11-20T12:00:00Z")
    assert gateway.seen[-1].query["until"] == ["2026-11-20T12:00:00Z"]
    assert conduit("logs", "list", "--min-latency", "soon").code == 2


def test_a_list_that_goes_on_says_how_on_stderr(conduit: Conduit, gateway: FakeGateway) -> None:
    for number in range(3):
        gateway.add("requests", id=f"req_{number}")
    outcome = conduit("logs", "list", "--limit", "2", "-q", "--json")
    assert json.loads(outcome.out)["next_cursor"] == "2"
    outcome = conduit("logs", "list", "--limit", "2", "-o", "jsonl")
    assert outcome.err.endswith("conduit logs list --limit 2 -o jsonl --cursor 2\n")
    assert len(conduit("logs", "list", "--all", "-q").out.splitlines()) == 3


def test_a_timeline_shows_each_attempt_and_its_part_of_the_whole(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    failed = attempt(
        provider="groq",
        outcome="refused",
        status=503,
        error_code="upstream_error",
        cost="0.00",
        settled_at="2026-11-20T12:00:00.110Z",
    )
    second = attempt(held_at="2026-11-20T12:00:00.110Z")
    gateway.add("requests", id="req_1", attempt_list=[second, failed])
    shown = conduit("logs", "show", "req_1", "--timeline", "-o", "jsonl")
    steps = [json.loads(line) for line in shown.out.splitlines()]
    assert [(step["step"], step["from_ms"], step["to_ms"]) for step in steps] == [
        ("admitted", 0, 10),
        ("attempt 1", 10, 110),
        ("attempt 2", 110, 812),
        ("first byte", 200, 200),
        ("ended", 812, 812),
    ]
    assert [step["ok"] for step in steps] == [True, False, True, True, True]
    assert "groq/gpt-4o refused 503 [upstream_error]" in steps[1]["note"]


def test_a_timeline_on_a_terminal_has_bars_on_one_scale(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("requests", id="req_1", attempt_list=[attempt()])
    shown = shell("logs", "show", "req_1", "--timeline", **ON_TERMINAL)
    lines = {line.split()[1]: line for line in shown.out.splitlines()[1:]}
    assert lines["attempt"].count("\u2588") == 39
    assert "\u258f" in lines["ended"]
    in_ascii = {**ON_TERMINAL, "PYTHONIOENCODING": "ascii"}
    ascii_only = shell("logs", "show", "req_1", "--timeline", **in_ascii)
    assert "#######" in ascii_only.out


def test_a_request_that_never_was_sent_has_a_timeline(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add(
        "requests",
        id="req_1",
        status=429,
        outcome="failed",
        error_code="insufficient_quota",
        provider=None,
        model=None,
        ttft_ms=None,
        duration_ms=0,
    )
    shown = conduit("logs", "show", "req_1", "--timeline", "-o", "jsonl")
    steps = [json.loads(line) for line in shown.out.splitlines()]
    assert [step["step"] for step in steps] == ["admitted", "ended"]
    assert "nothing was sent" in steps[0]["note"]
    assert not steps[1]["ok"]


@pytest.mark.parametrize(
    ("operation", "path", "field"),
    [
        ("chat", "/v1/chat/completions", "messages"),
        ("completion", "/v1/completions", "prompt"),
        ("embedding", "/v1/embeddings", "input"),
    ],
)
def test_a_request_is_shown_as_a_curl_command_without_key_and_messages(
    conduit: Conduit, gateway: FakeGateway, operation: str, path: str, field: str
) -> None:
    gateway.add("requests", id="req_1", operation=operation, alias="it's", stream=False)
    outcome = conduit("logs", "show", "req_1", "--curl")
    words = shlex.split(outcome.out.replace("\\\n", ""))
    assert words[:2] == ["curl", gateway.url + path]
    assert "Authorization: Bearer $CONDUIT_API_KEY" in words
    body = json.loads(words[-1])
    assert body["model"] == "it's"
    assert "..." in json.dumps(body[field])
    assert "stream" not in body
    assert "left out" in outcome.err
    assert conduit("logs", "show", "req_1", "--curl", "--timeline").code == 2


def test_a_tail_begins_with_records_and_events_that_are_no_records_yet(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("requests", id="req_1", at=LATER)
    ends = {"req_1": 32_472_144_000_000, "req_2": 32_472_144_000_500}
    gateway.tables["events"] = [finished(name, at_ms) for name, at_ms in ends.items()]
    outcome = conduit("logs", "tail", "--since", "1h", "--no-follow", "-o", "jsonl")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["id"] for row in rows] == ["req_1", "req_2"]
    assert (rows[1]["at"], rows[1]["cost"]) == ("2999-01-01T00:00:00.500Z", "1.50")
    assert set(FIELDS) <= set(rows[0])
    assert set(rows[1]) == set(FIELDS)


@pytest.mark.parametrize("form", [["-o", "csv"], ["--query", "data[].id"]])
def test_a_tail_has_no_form_that_needs_an_end(conduit: Conduit, form: list[str]) -> None:
    outcome = conduit("logs", "tail", "--no-follow", *form)
    assert outcome.code == 2
    assert "has no end" in outcome.err


def test_a_tail_off_a_terminal_is_plain_values(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.add("requests", id="req_1", at=LATER)
    line = conduit("logs", "tail", "--since", "1h", "--no-follow").out
    assert line.startswith(f"{LATER}\t200\tgpt-4o\topenai\t812\t")
    fields = ("--fields", "id,cost")
    assert conduit("logs", "tail", "--since", "1h", "--no-follow", *fields).out == "req_1\t0.0041\n"
    made = conduit("logs", "tail", "--since", "1h", "--no-follow", "--format", "{id} {key}").out
    assert made == "req_1 ci\n"


def test_an_export_that_breaks_off_is_no_success_and_leaves_no_file(
    conduit: Conduit, gateway: FakeGateway, tmp_path: Path
) -> None:
    for number in range(5):
        gateway.add("requests", id=f"req_{number}", at=LATER)
    gateway.export_ends = False
    for form, whole in (("jsonl", 4), ("csv", 4)):
        outcome = conduit("logs", "export", "--since", "ever", "--format", form)
        assert outcome.code == 1
        assert f"not whole, it ends after {whole} records" in outcome.err
        assert "[incomplete]" in outcome.err
        assert "exported" not in outcome.err
        assert "req_3" in outcome.out
    out = tmp_path / "records.jsonl"
    assert conduit("logs", "export", "--since", "1d", "--out", str(out)).code == 1
    assert list(tmp_path.iterdir()) == []


def test_an_export_takes_what_comes_and_tells_of_its_progress(
    conduit: Conduit, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conduit.client.blocking._READ_BYTES", 100)
    monkeypatch.setattr("conduit.cli.commands.logs._ROWS_A_PROGRESS", 2)
    for number in range(5):
        gateway.add("requests", id=f"req_{number}", at=LATER, user_agent='a,"b"\nc')
    lines = conduit("logs", "export", "--since", "1d", "--status", "200").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"req_{number}" for number in range(5)]
    assert gateway.seen[-1].query["filter"] == ["status:200"]
    outcome = conduit("logs", "export", "--since", "1d", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert tuple(rows[0]) == FIELDS
    assert (rows[4]["id"], rows[0]["user_agent"]) == ("req_4", 'a,"b"\nc')
    assert "records so far" in outcome.err
    assert "exported 5 records" in outcome.err


def test_an_export_takes_its_format_as_other_commands_do(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("requests", id="req_1", at=LATER)
    wanted = conduit("logs", "export", "--since", "1d", "--format", "csv").out
    for flag in ("-o", "--output"):
        assert conduit("logs", "export", "--since", "1d", flag, "csv").out == wanted
    refused = conduit("logs", "export", "--since", "1d", "-o", "records.csv")
    assert refused.code == 2
    assert "--out" in refused.err


def test_a_file_in_the_place_of_a_format_is_told_what_takes_one(conduit: Conduit) -> None:
    outcome = conduit("config", "export", "-o", "prod.toml")
    assert outcome.code == 2
    assert "--out FILE" in outcome.err


def test_an_export_of_nothing_has_a_heading_all_the_same(conduit: Conduit) -> None:
    outcome = conduit("logs", "export", "--since", "1d", "--format", "csv")
    assert outcome.out == ",".join(FIELDS) + "\n"
    assert conduit("logs", "export", "--since", "1d", "--format", "parquet").code == 2


def test_an_export_to_a_file_is_there_only_when_it_is_whole(
    conduit: Conduit, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.add("requests", id="req_1", at=LATER)
    path = tmp_path / "out.jsonl"
    flags = ("--since", "1d", "--out", str(path))
    assert conduit("logs", "export", *flags).code == 0
    assert conduit("logs", "export", *flags).code == 2
    assert conduit("logs", "export", *flags, "--force").code == 0
    assert json.loads(path.read_text())["id"] == "req_1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert conduit("logs", "export", *flags).code == 2
    path.unlink()
    gateway.failing = [Refusal(422, "validation_failed", "filter: no")]
    assert conduit("logs", "export", *flags).code == 6
    assert list(tmp_path.glob("out.jsonl*")) == []


def test_a_purge_wants_a_name_and_goes_on_until_all_are_gone(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.purges = [
        {"deleted": 50_000, "bodies": 7, "more": True},
        {"deleted": 3, "bodies": 0, "more": False},
    ]
    assert conduit("logs", "purge", "--before", "90d", "--yes").code == 2
    assert len(gateway.purges) == 2
    dry = conduit("logs", "purge", "--before", "90d", "--dry-run")
    assert dry.out.startswith("POST /admin/requests/purge")
    assert len(gateway.purges) == 2
    place = gateway.url.removeprefix("http://")
    outcome = conduit("logs", "purge", "--before", "90d", "--confirm", place, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out) | {"before": ""} == {
        "before": "",
        "deleted": 50_003,
        "bodies": 7,
    }
    assert "50,000 records so far" in outcome.err


ATTEMPT = {
    "id": "att_1",
    "provider": "openai",
    "model": "gpt-4o",
    "state": "settled",
    "outcome": "succeeded",
    "status": 200,
    "error_code": None,
    "hold": "0.01",
    "cost": "0.0041",
    "billed": "0.0041",
    "price_version": "1",
    "usage_source": "provider",
    "input_tokens": 1000,
    "output_tokens": 204,
    "held_at": LATER,
}


def test_a_record_for_people_has_its_attempts_as_a_table(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.add("requests", id="req_1", at=LATER, attempt_list=[ATTEMPT])
    shown = shell("logs", "show", "req_1", "--no-pager", CONDUIT_FORCE_TTY="120", NO_COLOR="1").out
    record, _, attempts = shown.partition("\n\n")
    assert "billed" in record
    assert "$0.0041" in record
    assert "openai_chat, sent as anthropic_messages" in record
    assert "attempt_list" not in record
    assert attempts.splitlines()[0].split()[:2] == ["PROVIDER", "MODEL"]
    assert "$0.0041" in attempts
    assert "{" not in shown
    assert json.loads(shell("logs", "show", "req_1", "--json").out)["attempt_list"] == [ATTEMPT]


def test_the_attempts_of_a_ranking_tell_their_search_units(
    shell: Shell, gateway: FakeGateway
) -> None:
    ranked = ATTEMPT | {"search_units": 3}
    crashed = ATTEMPT | {"id": "att_2", "search_units": None}
    gateway.add("requests", id="req_1", operation="rerank", attempt_list=[ranked, crashed])
    gateway.add("requests", id="req_2", attempt_list=[ATTEMPT | {"search_units": None}])
    people = {"CONDUIT_FORCE_TTY": "120", "NO_COLOR": "1"}
    shown = shell("logs", "show", "req_1", "--no-pager", **people).out
    head, first, second = (line.split() for line in shown.partition("\n\n")[2].splitlines())
    at = head.index("UNITS")
    assert (first[at - len(head)], second[at - len(head)]) == ("3", "-")
    assert "UNITS" not in shell("logs", "show", "req_2", "--no-pager", **people).out


ROUTE: dict[str, Any] = {
    "legs": [
        {
            "alias": "fast",
            "strategy": "weighted",
            "because": None,
            "sticky": True,
            "candidates": [
                {
                    "provider": "groq",
                    "model": "m",
                    "score": 0.25,
                    "state": "ready",
                    "reason": None,
                },
                {
                    "provider": "xai",
                    "model": "m",
                    "score": None,
                    "state": "breaker_open",
                    "reason": "its breaker is open",
                },
            ],
            "left_out": [
                {
                    "provider": "old",
                    "model": "m",
                    "score": None,
                    "state": "left_out",
                    "reason": "the provider is disabled",
                }
            ],
        },
        {
            "alias": "other",
            "strategy": "simple",
            "because": "rate_limit",
            "sticky": False,
            "candidates": [],
            "left_out": [],
        },
    ],
    "attempts": [
        {
            "provider": "groq",
            "model": "m",
            "credential": "default",
            "because": None,
            "waited_ms": 0,
            "error": "upstream_rate_limited",
        },
        {
            "provider": "openai",
            "model": "gpt-4o",
            "credential": None,
            "because": "rate_limit",
            "waited_ms": 40,
            "error": None,
        },
    ],
}


def test_a_record_for_people_says_that_an_answer_was_given_before(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.add("requests", id="req_1", cache="replay", cost="0.00", avoided="0.0041")
    shown = shell("logs", "show", "req_1", "--no-pager", **ON_TERMINAL).out
    assert "given before under the same Idempotency-Key" in shown
    assert json.loads(shell("logs", "show", "req_1", "--json").out)["cache"] == "replay"


def test_a_record_for_people_tells_why_it_went_where_it_went(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.add("requests", id="req_1", attempt_list=[ATTEMPT], route=ROUTE)
    shown = shell("logs", "show", "req_1", "--no-pager", **ON_TERMINAL).out
    record, _, first, second, calls = shown.split("\n\n")
    assert "route " not in record
    heading, _, ready, blocked, left_out = first.splitlines()
    assert heading == "route of fast: weighted, sticky by session"
    assert ready.split()[0] == "1"
    assert blocked.endswith("its breaker is open")
    assert left_out.endswith("the provider is disabled")
    assert second == "fell back on rate_limit to other: simple"
    assert "upstream_rate_limited" in calls.splitlines()[1]
    assert "40ms" in calls.splitlines()[2]
    assert json.loads(shell("logs", "show", "req_1", "--json").out)["route"] == ROUTE


def test_a_timeline_shows_what_was_waited_for(conduit: Conduit, gateway: FakeGateway) -> None:
    first = attempt(provider="groq", model="m", settled_at="2026-11-20T12:00:00.060Z")
    second = attempt(held_at="2026-11-20T12:00:00.110Z")
    gateway.add("requests", id="req_1", attempt_list=[first, second], route=ROUTE)
    shown = conduit("logs", "show", "req_1", "--timeline", "-o", "jsonl")
    steps = [json.loads(line) for line in shown.out.splitlines()]
    assert [(step["step"], step["from_ms"], step["to_ms"]) for step in steps[1:4]] == [
        ("attempt 1", 10, 60),
        ("waited", 70, 110),
        ("attempt 2", 110, 812),
    ]
    assert steps[2]["note"] == "rate_limit"
