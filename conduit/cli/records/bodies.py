"""Kept bodies as `logs show` gives them: to be read on a terminal, to the byte in a pipe."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conduit.cli.call import Call
from conduit.cli.console import plain
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.client.api import Record
from conduit.client.bodies import content_of, readable
from conduit.core import people

_HEADERS = View(
    columns=(Column("message", "message"), Column("header", "header"), Column("value", "value")),
    id_path="header",
    empty="no headers are kept",
)
_BODIES = View(columns=(Column("id", "id"), Column("path", "path"), Column("st", "status")))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message ("request", "upstream", "response", or None for all), or its headers.

    `attempt` counts from 1; None is the last, or the client's own answer.
    """

    part: str | None
    attempt: int | None
    headers: bool


def show_bodies(call: Call, request_id: str, wanted: Wanted) -> None:
    """Print what is wanted of the kept bodies of a request. Raises Failure and ApiError."""
    bodies = call.fetch("requests.bodies", request_id)
    if not wanted.headers:
        call.allow_forms("a kept body", "json", "jsonl", chosen=True)
    shape = call.options.shape
    in_rows = wanted.headers and shape.query is None and shape.template is None
    if shape.is_json or (shape.is_chosen and not in_rows):
        call.printer.record(bodies, _BODIES)
        return
    messages = list(_messages(bodies, wanted))
    if wanted.headers:
        rows = [
            {"message": name, "header": header, "value": value}
            for name, message in messages
            for header, value in message["headers"].items()
        ]
        call.printer.rows(rows, _HEADERS, next_cursor=lambda: None)
        return
    [(_, message)] = messages
    content = content_of(message)
    if call.console.out.is_terminal:
        call.console.data(plain(readable(content)))
    else:
        call.console.out.file.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    if message["truncated"]:
        size = people.size(message["bytes"])
        call.narrate(f"only the first {people.size(len(content))} of {size} are kept")


def _messages(bodies: Record, wanted: Wanted) -> Iterator[tuple[str, Record]]:
    """The messages that are asked for, each with its name. Raises Failure for none."""
    match wanted.part:
        case "request":
            yield "request", bodies["request"]
        case "upstream":
            yield "upstream", _attempt(bodies, wanted.attempt)["request"]
        case "response" if wanted.attempt is not None:
            yield "response", _there(_attempt(bodies, wanted.attempt)["response"])
        case "response":
            yield "response", _there(bodies["response"])
        case _:
            yield from _all(bodies)


def _all(bodies: Record) -> Iterator[tuple[str, Record]]:
    yield "request", bodies["request"]
    for number, attempt in enumerate(bodies["attempts"], 1):
        yield f"upstream {number}", attempt["request"]
        if attempt["response"] is not None:
            yield f"answer {number}", attempt["response"]
    if bodies["response"] is not None:
        yield "response", bodies["response"]


def _attempt(bodies: Record, number: int | None) -> Mapping[str, Any]:
    attempts: Sequence[Record] = bodies["attempts"]
    if not attempts:
        raise Failure("nothing was sent to a provider", code="not_found", exit_code=Exit.NOT_FOUND)
    if number is None:
        return attempts[-1]
    if not 1 <= number <= len(attempts):
        raise Failure(f"--attempt: there are {people.counted(len(attempts), 'attempt')}")
    return attempts[number - 1]


def _there(message: Record | None) -> Record:
    if message is None:
        raise Failure("there was no answer", code="not_found", exit_code=Exit.NOT_FOUND)
    return message
