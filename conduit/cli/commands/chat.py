"""`conduit chat`: one question and its streamed answer, or a conversation."""

import json
import sys
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.chat.answers import Reply, first_fence, printed, unprinted, usage_line
from conduit.cli.chat.client_keys import virtual_key
from conduit.cli.chat.conversing import (
    Session,
    conversation_of,
    default_model,
    show_conversations,
)
from conduit.cli.chat.templates import ChatTemplate, read_template
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import KeyEnv, KeyFile, KeyStdin
from conduit.cli.output import View
from conduit.cli.verbs import Noun, verb
from conduit.client.conversations import Conversations

noun = Noun("Ask a model.")


@verb(noun, "", "output")
def chat(
    call: Call,
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]...", help="Stdin is added below it.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="ALIAS", help="Needed where there are several."),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", metavar="TEXT", help="System message.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="Such as temperature=0.2."),
    ] = None,
    attach: Annotated[
        list[str] | None,
        typer.Option("--attach", "-a", metavar="FILE", help="Image, PDF, text, or an image's URL."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with the last conversation.")
    ] = False,
    cid: Annotated[
        str | None, typer.Option("--cid", metavar="ID", help="Go on with this conversation.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the conversations kept.")] = False,
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="NAME", help="Prompt, model and more from a file."),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="What $NAME of a template stands for."),
    ] = None,
    tools: Annotated[
        str | None,
        typer.Option("--tools", metavar="FILE", help="Tools to offer; calls are lines of JSON."),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option("--schema", metavar="FILE", help="Want JSON of this schema; else exit 1."),
    ] = None,
    code: Annotated[bool, typer.Option("--code", help="Print the first code block alone.")] = False,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Ask for the answer in one piece.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Text as it comes, no Markdown on a terminal.")
    ] = False,
    usage: Annotated[
        bool, typer.Option("--usage", help="Tokens, cost and time, on stderr.")
    ] = False,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
) -> None:
    """Ask a model; the answer's text goes to stdout and nothing else does.

    conduit chat "summarise this" -m gpt-4o < notes.txt

    On a terminal and without a prompt it is a conversation; /help there tells the commands.
    """
    if listed:
        show_conversations(call, Conversations().all())
        return
    call.allow_forms("an answer", "json", "jsonl", chosen=True)
    form = Form(_schema(schema), _tools(tools), code=code, raw=raw, usage=usage)
    shape = _template(template)
    values = shape.accepted(inputs.texts(variable or [], "--var"))
    key = virtual_key(call, inputs.SecretSource(key_file, key_stdin, key_env))
    text = shape.asked(_prompt(prompt or [], stdin_taken=key_stdin or key_file == "-"), values)
    conversation = conversation_of(call, again=again, cid=cid)
    system = system if system is not None else shape.instructed(values)
    if system is not None:
        conversation = replace(conversation, system=system)
    talks = not text and not attach and call.may_ask
    session = Session(
        call=call,
        key=key,
        conversation=conversation,
        model=model or shape.model or conversation.model or default_model(call, key),
        parameters=form.parameters({**shape.params, **inputs.pairs(param or [], "--param")}),
        # What a script asks leaves no trace, unless it goes on with what has been kept.
        keep=again or cid is not None or sys.stdin.isatty(),
        stream=not (no_stream or form.is_whole(call)),
        with_cost=usage,
    )
    for given in attach or []:
        session.attach(given)
    if talks and form.tools is not None:
        raise Failure("--tools goes with a question, not with a conversation")
    if talks:
        from conduit.cli.chat.repl import Repl  # noqa: PLC0415  # deferred: only conversations

        Repl(session, raw=raw, usage=usage).run()
    elif text or attach:
        _ask_once(session, text, form)
    else:
        raise Failure(
            "nothing to ask: give a prompt, or pipe one in",
            code="input_needed",
            hint='conduit chat "hello" -m MODEL',
        )


@dataclass(frozen=True, slots=True)
class Form:
    """What is wanted of an answer, and how it is printed."""

    schema: dict[str, Any] | None
    tools: list[dict[str, Any]] | None
    code: bool
    raw: bool
    usage: bool

    def parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        """The parameters of the request."""
        if self.tools is not None:
            given = {**given, "tools": self.tools}
        if self.schema is None:
            return given
        from conduit.cli.chat.schema import response_format  # noqa: PLC0415  # deferred: --schema only

        return {**given, "response_format": response_format(self.schema)}

    def is_whole(self, call: Call) -> bool:
        """Whether the API's answer is wanted, and not its text."""
        shape = call.options.shape
        return shape.is_json or shape.is_chosen


def _ask_once(session: Session, text: str, form: Form) -> None:
    call, reply = session.call, Reply()
    whole = form.is_whole(call)
    shown = printed(call, raw=form.raw or form.schema is not None)
    session.ask(text, reply, unprinted if whole or form.code else shown)
    if whole:
        call.printer.record(reply.whole or {}, View(()))
    elif form.code:
        call.console.data(first_fence(reply.text))
    if reply.tool_calls and not whole:
        from conduit.cli.chat.tools import print_calls  # noqa: PLC0415  # deferred: --tools only

        print_calls(call.console, reply.tool_calls)
    if form.usage:
        call.console.say(usage_line(reply), "dim")
    if form.schema is not None and not (reply.tool_calls and not reply.text):
        _require_fit(call, form.schema, reply.text)


def _schema(file: str | None) -> dict[str, Any] | None:
    if file is None:
        return None
    from conduit.cli.chat.schema import read_schema  # noqa: PLC0415  # deferred: --schema only

    return read_schema(file)


def _tools(file: str | None) -> list[dict[str, Any]] | None:
    if file is None:
        return None
    from conduit.cli.chat.tools import read_tools  # noqa: PLC0415  # deferred: --tools only

    return read_tools(file)


def _template(name: str | None) -> ChatTemplate:
    return ChatTemplate() if name is None else read_template(name)


def _require_fit(call: Call, schema: dict[str, Any], text: str) -> None:
    """Raise Failure unless the answer is JSON of the schema; tell what of that was not checked."""
    from conduit.cli.chat.schema import problems, unchecked  # noqa: PLC0415  # deferred: --schema only

    try:
        value = json.loads(text)
    except ValueError as error:
        raise Failure(
            f"the answer is not JSON: {error}", code="schema_mismatch", exit_code=Exit.REFUSED
        ) from error
    found = problems(schema, value)
    if passed_over := unchecked(schema):
        call.console.say(f"not checked: {', '.join(passed_over)}", "dim")
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise Failure(
            f"the answer does not fit the schema: {'; '.join(found[:3])}{more}",
            code="schema_mismatch",
            exit_code=Exit.REFUSED,
        )


def _prompt(words: list[str], *, stdin_taken: bool) -> str:
    """What is asked: the arguments, then a blank line, then stdin."""
    parts = [" ".join(words)] if words else []
    if not stdin_taken and not sys.stdin.isatty():
        piped = sys.stdin.read().strip("\n")
        parts += [piped] if piped else []
    return "\n\n".join(parts)
