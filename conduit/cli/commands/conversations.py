"""`conduit conversations`: what was talked about with models, kept on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.chat.conversing import CONVERSATIONS, show_conversations
from conduit.cli.console import plain
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Format
from conduit.cli.verbs import Noun, verb
from conduit.client.conversation_texts import export, json_of, markdown_of, search
from conduit.client.conversations import Conversation, ConversationError, Conversations
from conduit.core import people

noun = Noun("Conversations with models, kept on this machine; conduit chat --cid goes on with one.")
ConversationId = Annotated[
    str, typer.Argument(metavar="ID", help="Its id, or how no other one begins.")
]


@verb(noun, "list", "output")
def list_conversations(call: Call) -> None:
    """List them, the newest first."""
    show_conversations(call, Conversations().all())


@verb(noun, "show", "output")
def show(call: Call, id: ConversationId) -> None:
    """Show a conversation: as Markdown, or with --json all ways that it took."""
    conversation = _opened(id)
    if call.printer.is_for_people and not call.options.shape.is_chosen:
        text = markdown_of(conversation).rstrip("\n")
        call.console.data(plain(text) if call.console.out.is_terminal else text)
    else:
        call.printer.record(json.loads(json_of(conversation)), CONVERSATIONS)


@verb(noun, "search", "output")
def search_conversations(
    call: Call,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="All of them, anywhere.")],
) -> None:
    """List those in which all the words stand, and where."""
    hits = list(search(Conversations().all(), " ".join(words)))
    show_conversations(
        call, [hit for hit, _ in hits], {conversation.id: where for conversation, where in hits}
    )


@verb(noun, "export", "output")
def export_conversation(
    call: Call,
    id: ConversationId,
    file: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="For you alone; NAME.json is JSON."),
    ] = None,
) -> None:
    """Write a conversation as Markdown, or as JSON with --json or to NAME.json."""
    forms: tuple[Format, ...] = ("json", "jsonl") if file is None else ()
    call.allow_forms("a conversation", *forms, chosen=file is None)
    conversation = _opened(id)
    if file is None:
        shape = call.options.shape
        if shape.is_json or shape.is_chosen:
            call.printer.record(json.loads(json_of(conversation)), CONVERSATIONS)
        else:
            call.console.data(markdown_of(conversation).rstrip("\n"))
        return
    path = Path(file).expanduser()
    if path.exists():
        raise Failure(f"{file} exists already", code="conflict", exit_code=Exit.CONFLICT)
    try:
        export(conversation, path)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", code="bad_file") from error
    call.narrate(f"written to {file}")


@verb(noun, "delete", "danger")
def delete(call: Call, id: ConversationId) -> None:
    """Forget a conversation."""
    conversation = _opened(id)
    turns = people.counted(len(conversation.every()), "turn")
    call.confirm(f"Forget {conversation.title!r} ({turns})?", conversation.id)
    if call.options.dry_run:
        call.plan_here({"id": conversation.id}, {"id": None})
        return
    Conversations().delete(conversation.id)
    call.show_done(
        {"id": conversation.id, "title": conversation.title, "deleted": True},
        f"forgot {conversation.id}",
    )


def _opened(id: str) -> Conversation:
    """The conversation with an id. Raises Failure."""
    try:
        return Conversations().open(id)
    except ConversationError as error:
        raise Failure(
            str(error),
            code="no_conversation",
            exit_code=Exit.NOT_FOUND,
            hint="conduit conversations list",
        ) from error
