"""`logs replay`: a kept request asked again, and how the answers compare."""

import difflib
import sys
import time
from collections.abc import Iterator

from conduit.cli.call import Call
from conduit.cli.console import plain
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.cli.plan import PLAN
from conduit.client.answer_text import lines_of, text_of_answer
from conduit.client.api import Record
from conduit.client.bodies import content_of, readable
from conduit.client.chat import Patience
from conduit.client.errors import ApiError, ClientError
from conduit.client.replay import NotReplayableError, Replay, ReplayAnswer, replay_of, send
from conduit.core import people
from conduit.core.redaction import redacted

_COMPARED = (
    "status",
    "alias",
    "provider",
    "model",
    "duration_ms",
    "ttft_ms",
    "input_tokens",
    "output_tokens",
    "cost",
)
_TOLD_BY_HEAD = {
    "alias": "x-conduit-alias",
    "provider": "x-conduit-provider",
    "model": "x-conduit-model",
    "cost": "x-conduit-cost",
}
_RECORD_TRIES = 30  # a record is written in batches, moments after its answer
_RECORD_PAUSE_S = 0.1
COMPARISON = View(
    columns=(
        Column("field", "field"),
        Column("before", "before", right=True),
        Column("now", "now", right=True),
    ),
    id_path="field",
)
REPLAYED = View(
    columns=(
        Column("id", "id"),
        Column("replay of", "replay_of"),
        Column("st", "status"),
        Column("took", "duration_ms", lambda row: people.milliseconds(row["duration_ms"])),
    )
)


def replay(call: Call, record: Record, *, key: str, model: str | None, diff: bool) -> None:
    """Send a request again and print its answer, or with `diff` how it differs.

    Raises Failure and ApiError.
    """
    bodies = call.fetch("requests.bodies", record["id"])
    wanted = _wanted(bodies, record["id"], model)
    if call.options.dry_run:
        _plan(call, wanted, record)
        return
    if wanted.is_scrubbed:
        call.console.say(
            "what looked like a secret was taken out of the kept body, and is not sent", "warn"
        )
    patience = Patience(total_s=call.left_s(0) if call.options.timeout_s else None)
    with call.console.waiting(f"waiting for {wanted.model or call.where.url}"):
        answer = send(call.client_target(key), wanted, key, patience)
    request_id = answer.headers.get("x-request-id")
    if diff:
        _compare(call, record, bodies, answer)
    else:
        _show(call, record, answer)
    call.narrate(f"asked again as {request_id}", then=f"conduit logs show {request_id}")


def _wanted(bodies: Record, request_id: str, model: str | None) -> Replay:
    try:
        return replay_of(bodies, model)
    except NotReplayableError as error:
        raise Failure(
            f"{request_id} cannot be sent again: {error}",
            code="not_replayable",
            exit_code=Exit.NOT_FOUND,
            hint="how much of a body is kept is the setting log_body_limit_bytes",
        ) from error


def _plan(call: Call, wanted: Replay, record: Record) -> None:
    """What would be sent where; the key is not part of it."""
    body = redacted(wanted.body.decode("utf-8", "replace"))
    changed = wanted.model != record["alias"]
    changes = {"model": [record["alias"], wanted.model]} if changed else {}
    if call.wants_plan_as_record():
        plan = {"dry_run": True, "method": "POST", "path": wanted.path, "body": body}
        call.printer.record({**plan, "changes": changes}, PLAN)
        return
    call.console.data(plain(f"POST {wanted.path}"))
    call.console.data(plain(readable(body.encode())))
    call.console.say("dry run: nothing was sent", "dim")


def _show(call: Call, record: Record, answer: ReplayAnswer) -> None:
    shape = call.options.shape
    if shape.is_for_programs or call.options.quiet:
        row = {
            "id": answer.headers.get("x-request-id"),
            "replay_of": record["id"],
            "status": answer.status,
            "duration_ms": answer.duration_ms,
            "body": answer.content.decode("utf-8", "replace"),
        }
        call.printer.record(row, REPLAYED)
    else:
        _print_content(call, answer)


def _print_content(call: Call, answer: ReplayAnswer) -> None:
    """To be read on a terminal, to the byte elsewhere."""
    if call.console.out.is_terminal:
        call.console.data(plain(readable(answer.content)))
        return
    call.console.out.file.flush()
    sys.stdout.buffer.write(answer.content)
    sys.stdout.buffer.flush()


def _recorded(call: Call, request_id: str | None) -> Record | None:
    """The record of what was asked just now; None where it does not come, for whatever reason.

    The answer is there and paid for: nothing that fails after it may take it away.
    """
    for _ in range(_RECORD_TRIES if request_id is not None else 0):
        try:
            return call.fetch("requests.show", str(request_id))
        except ApiError as error:
            if error.status != 404:
                return None
        except ClientError:
            return None
        time.sleep(_RECORD_PAUSE_S)
    return None


def _told(answer: ReplayAnswer) -> Record:
    """What the head of an answer tells of it, as far as a record would."""
    named = {name: answer.headers.get(header) for name, header in _TOLD_BY_HEAD.items()}
    return {"status": answer.status, **named}


def _compare(call: Call, record: Record, bodies: Record, answer: ReplayAnswer) -> None:
    """Status, model, time, tokens and cost side by side, then the lines of text that differ."""
    request_id = answer.headers.get("x-request-id")
    recorded = _recorded(call, request_id)
    again = recorded or _told(answer)
    rows = [{"field": name, "before": record[name], "now": again.get(name)} for name in _COMPARED]
    if recorded is None:
        unknown = ", ".join(name for name in _COMPARED if again.get(name) is None)
        call.console.say(f"there is no record of {request_id} yet: {unknown} not known", "warn")
    former = bodies["response"]
    before = text_of_answer(content_of(former)) if former is not None else None
    now = text_of_answer(answer.content)
    if call.options.shape.is_json or call.options.shape.query is not None:
        row = {
            "id": request_id,
            "replay_of": record["id"],
            "fields": rows,
            "text": {"before": before, "now": now, "diff": list(_text_diff(before, now))},
            "body": answer.content.decode("utf-8", "replace"),
        }
        call.printer.record(row, View(()))
        return
    call.printer.rows(rows, COMPARISON, next_cursor=lambda: None)
    if call.printer.is_for_people:
        _print_text_diff(call, before, now)
    if recorded is None and call.printer.is_for_people:
        _print_content(call, answer)
    elif recorded is None:  # stdout is for a program that wants rows
        call.console.say(readable(answer.content))


def _print_text_diff(call: Call, before: str | None, now: str | None) -> None:
    lines = list(_text_diff(before, now))
    for line in lines:
        tone = {"+": "good", "-": "bad"}.get(line[:1])
        call.console.data(call.console.out.toned(plain(line), tone))  # type: ignore[arg-type]  # two of the tones
    if before is None:
        call.console.say("no text of the former answer is kept", "dim")
    elif not lines:
        differ = "the texts differ in their line ends alone"
        call.console.say("the texts are the same" if before == now else differ, "dim")


def _text_diff(before: str | None, now: str | None) -> Iterator[str]:
    former, present = (lines_of(text) if text else [] for text in (before, now))
    return difflib.unified_diff(former, present, "before", "now", lineterm="")
