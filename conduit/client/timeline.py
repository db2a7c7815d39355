"""One request over time: the steps of its record; and the request as a curl command."""

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from conduit.core import people

Record = Mapping[str, Any]

_PATHS = {
    "completion": "/v1/completions",
    "embedding": "/v1/embeddings",
    "moderation": "/v1/moderations",
    "rerank": "/v1/rerank",
}
_CHAT_PATH = "/v1/chat/completions"


def steps_of(record: Record) -> list[dict[str, Any]]:
    """What happened when, in milliseconds since the request came in."""
    began = _ms(record["at"])
    attempts = sorted(record["attempt_list"], key=lambda attempt: str(attempt["held_at"]))
    total = record["duration_ms"]
    sent = _ms(attempts[0]["held_at"]) - began if attempts else total
    steps = [_step("admitted", 0, sent, _admission(record, attempts))]
    waits = _waits(record, attempts)
    for number, attempt in enumerate(attempts, 1):
        start = _ms(attempt["held_at"]) - began
        if wait := waits.get(number):
            waited_ms, because = wait
            steps.append(_step("waited", start - waited_ms, start, because or ""))
        end = _ms(attempt["settled_at"]) - began if attempt["settled_at"] else total
        name = f"attempt {number}"
        steps.append(_step(name, start, end, _told(attempt), attempt["outcome"] == "succeeded"))
    if record["ttft_ms"] is not None:
        steps.append(_step("first byte", record["ttft_ms"], record["ttft_ms"], ""))
    good = record["status"] < 400 and not record["error_code"]
    steps.append(_step("ended", total, total, _ending(record), good))
    return steps


def _waits(record: Record, attempts: Sequence[Record]) -> dict[int, tuple[int, str | None]]:
    """Before which attempts something was waited for: how many milliseconds, and for what.

    An attempt of the route for which no money could be held is none of the ledger's.
    """
    routed = iter((record.get("route") or {}).get("attempts") or ())
    waits: dict[int, tuple[int, str | None]] = {}
    for number, attempt in enumerate(attempts, 1):
        meant = (attempt["provider"], attempt["model"])
        own = next((each for each in routed if (each["provider"], each["model"]) == meant), None)
        if own is not None and own["waited_ms"]:
            waits[number] = (own["waited_ms"], own["because"])
    return waits


def _step(step: str, from_ms: int, to_ms: int, note: str, ok: bool = True) -> dict[str, Any]:
    # The clock that dates attempts is not the one that measures durations.
    start = max(from_ms, 0)
    return {"step": step, "from_ms": start, "to_ms": max(to_ms, start), "note": note, "ok": ok}


def bar_of(step: Record, longest_ms: int, cells: int) -> tuple[int, int]:
    """Where a step's bar begins and how long it is, in cells; 0 long where it is a moment."""
    longest_ms = longest_ms or 1
    start = min(step["from_ms"] * cells // longest_ms, cells - 1)
    width = (step["to_ms"] - step["from_ms"]) * cells // longest_ms
    return start, min(width, cells - start)


def _admission(record: Record, attempts: Sequence[Record]) -> str:
    key, alias = record["key"] or "no key", record["alias"] or "no model"
    return f"{key}, {alias}" + ("" if attempts else ", nothing was sent")


def _told(attempt: Record) -> str:
    words = [
        f"{attempt['provider']}/{attempt['model']}",
        attempt["outcome"] or "open",
        str(attempt["status"] or ""),
        f"[{attempt['error_code']}]" if attempt["error_code"] else "",
        people.money(attempt["cost"]),
    ]
    return " ".join(word for word in words if word)


def _ending(record: Record) -> str:
    error = f" [{record['error_code']}]" if record["error_code"] else ""
    return f"{record['status'] or '-'} {record['outcome']}{error}"


def _ms(text: Any) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def curl_of(record: Record, url: str) -> str:
    """A command that asks the same of the same model; the key is read from the environment."""
    path = _PATHS.get(record["operation"], _CHAT_PATH)
    body: dict[str, Any] = {"model": record["alias"] or "..."}
    match path:
        case "/v1/embeddings" | "/v1/moderations":
            body["input"] = "..."
        case "/v1/rerank":
            body |= {"query": "...", "documents": ["..."]}
        case "/v1/completions":
            body["prompt"] = "..."
        case _:
            body["messages"] = [{"role": "user", "content": "..."}]
    if record["stream"]:
        body["stream"] = True
    parts = [
        f"curl {shlex.quote(url + path)}",
        '-H "Authorization: Bearer $CONDUIT_API_KEY"',
        "-H 'content-type: application/json'",
        f"-d {shlex.quote(json.dumps(body))}",
    ]
    return " \\\n  ".join(parts)
