"""`conduit translate`: what a request would become in another dialect, offline."""

import json
import sys
from typing import Annotated

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb

noun = Noun("What a request would become in another dialect, offline.")
VIEW = View(
    columns=(
        Column("body", "body"),
        Column("dropped", "dropped"),
        Column("emulated", "emulated"),
    ),
    id_path="body",
)


@verb(noun, "", "output")
def translate(
    call: Call,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="DIALECT",
            help="What the request is in: chat, responses, messages or gemini.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="DIALECT",
            help="chat, responses, messages, gemini, cohere, bedrock or ollama.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="M", help="The model at the provider."),
    ] = None,
) -> None:
    """Print what a provider would be sent for the request on stdin; nothing is sent.

    What is left out or asked for in another way is told on stderr; a request that cannot be said
    in the other dialect is exit 6.

    conduit translate --from messages --to gemini --model gemini-2.5-flash < request.json
    """
    from conduit.core.errors import RequestError  # noqa: PLC0415  # deferred: with the gateway
    from conduit.gateway import preview  # noqa: PLC0415  # deferred: every dialect

    inputs.require_one_of(source, preview.CLIENT_DIALECTS, "--from")
    inputs.require_one_of(target, tuple(preview.DIALECT_NAMES), "--to")
    body = _request()
    try:
        found = preview.preview(body, source, target, model)
    except preview.ModelNeededError:
        raise Failure(
            "--model M is needed: a request of Gemini's names its model in the path alone",
            code="input_needed",
        ) from None
    except RequestError as error:
        named = error.param is not None and f'"{error.param}"' not in error.message
        raise Failure(
            f"{error.param}: {error.message}" if named else error.message,
            code=error.code,
            exit_code=Exit.CONFLICT,
            hint=error.hint,
        ) from error
    _show(call, found.body, list(found.dropped), list(found.emulated))


def _request() -> bytes:
    if sys.stdin.isatty():
        raise Failure("a request is expected on standard input: conduit translate … < request.json")
    body = sys.stdin.buffer.read()
    if not body.strip():
        raise Failure("standard input is empty, and a request is expected there")
    return body


def _show(call: Call, body: bytes, dropped: list[str], emulated: list[str]) -> None:
    shape = call.options.shape
    if shape.format in (None, "table", "wide") and not shape.is_chosen:
        text = body.decode()
        if call.console.out.is_terminal:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=not call.console.out.unicode)
        call.console.data(text)
    else:
        record = {"body": json.loads(body), "dropped": dropped, "emulated": emulated}
        call.printer.record(record, VIEW)
    for said, names in (("dropped", dropped), ("emulated", emulated)):
        if names:
            call.console.say(f"{said}: {', '.join(names)}", "warn")
