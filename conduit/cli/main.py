"""The root of the command line: which module holds which noun, and how a call ends."""

import contextlib
import inspect
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import typer
import typer.core
from typer.exceptions import TyperException
from typer.main import get_command_from_info
from typer.models import CommandInfo

from conduit.cli.failures import Exit, Shown, shown, tell_people
from conduit.cli.option_groups import root_options
from conduit.cli.program import COMPLETION_VARIABLE
from conduit.cli.table import COMMANDS, HIDDEN
from conduit.cli.verbs import PlainCommand, refuse_unknown_command, use_plain_params
from conduit.core.redaction import redacted

_TRACE_FOLDER = "traces"


class RootGroup(typer.core.TyperGroup):
    """All nouns from a static table; a noun's module is imported when it is called."""

    def get_params(self, ctx: Any) -> list[Any]:
        return use_plain_params(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        module, _ = COMMANDS.get(cmd_name) or HIDDEN[cmd_name]
        return import_module(f"conduit.cli.commands.{module}").noun.command(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS and args[0] not in HIDDEN:
            refuse_unknown_command(ctx, args[0], list(COMMANDS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table as it stands: help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import (  # noqa: PLC0415  # deferred: only completion
            CompletionItem,
        )

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]


def root_command() -> Any:
    """The whole command line as one Typer group."""

    def conduit(**_: Any) -> None:
        """The LLM gateway that is run from a terminal.

        First steps: conduit up, then conduit chat "hello".
        """

    conduit.__signature__ = inspect.Signature(root_options())  # type: ignore[attr-defined]
    conduit.__annotations__ = {option.name: option.annotation for option in root_options()}
    info = CommandInfo(name="conduit", callback=conduit, cls=PlainCommand)
    options = get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)
    return RootGroup(
        name="conduit",
        params=options.params,
        help=inspect.getdoc(conduit),
        epilog="Exit codes: conduit help exit-codes.",
        no_args_is_help=True,
        rich_markup_mode=None,
        subcommand_metavar="COMMAND [ARGS]...",
    )


def run(arguments: Sequence[str]) -> int:
    """Run one call and return its exit code."""
    signal.signal(signal.SIGINT, _interrupt_once)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal's encoding lacks, or a lone surrogate, is shown as an escape.
        sys.stdout.reconfigure(errors="backslashreplace")
    code: int = Exit.OK
    try:
        code = _run(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # what has failed by then has failed, whoever reads of it
        _end_quietly()
    return code


def _interrupt_once(signum: int, frame: object) -> None:
    # A second Ctrl-C ends the process at once, whatever is being cleaned up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _end_quietly() -> None:
    """The reader of stdout has gone, which is its right: `conduit keys list | head -1`."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    root = root_command()
    if os.environ.get(COMPLETION_VARIABLE):
        return _complete(root)
    try:
        # A copy: it takes what it has read out of the list, and errors are told by the list.
        with root.make_context("conduit", list(arguments), obj=tuple(arguments)) as context:
            root.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("\n")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except TyperException as error:
        return _usage_error(error, arguments)
    except EOFError:
        return _tell(Shown(Exit.USAGE, "input_needed", "the input ended"), arguments)
    except Exception as error:  # noqa: BLE001  # the last catcher: it becomes one line and a trace
        expected = shown(error, with_timeout=_names_option(arguments, "--timeout"))
        return _tell(expected or _unexpected(error, arguments), arguments)
    return Exit.OK


def _complete(root: Any) -> int:
    """Answer a shell that asks what may follow; whatever goes wrong, it gets no message."""
    from conduit.cli.completing import answer  # noqa: PLC0415  # deferred: only here

    try:
        return answer(root)
    except Exception:  # noqa: BLE001  # a trace in the middle of somebody's command line helps nobody
        return Exit.REFUSED


def _usage_error(error: TyperException, arguments: list[str]) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        sys.stderr.write(context.get_help() + "\n")
        return Exit.USAGE
    hint = f"see: {context.command_path} --help" if context is not None else None
    message = error.format_message().rstrip(".")
    lowered = message[:1].lower() + message[1:]
    return _tell(Shown(Exit.USAGE, "usage", lowered, hint=hint), arguments)


def _unexpected(error: Exception, arguments: list[str]) -> Shown:
    trace = redacted("".join(traceback.format_exception(error)))
    if "--debug" in arguments:
        sys.stderr.write(trace)
    summary = redacted(f"{type(error).__name__}: {error}".splitlines()[0])
    return Shown(
        Exit.REFUSED,
        "internal_error",
        f"unexpected {summary}",
        hint=f"trace: {_written(trace)}",
    )


def _written(trace: str) -> str:
    from conduit.client.contexts import write_private  # noqa: PLC0415  # deferred: rare
    from conduit.core.paths import state_folder  # noqa: PLC0415  # deferred: rare

    path = state_folder() / _TRACE_FOLDER / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    try:
        write_private(path, trace)
    except OSError as error:
        return f"could not be written ({error}); use --debug"
    return str(path)


def _tell(failure: Shown, arguments: list[str]) -> int:
    """Show a failure on stderr, as JSON where JSON was asked for; stdout stays as it is."""
    with contextlib.suppress(BrokenPipeError):
        if _wants_json(arguments):
            import json  # noqa: PLC0415  # deferred: only here

            sys.stderr.write(redacted(json.dumps(failure.as_json(), ensure_ascii=False)) + "\n")
        else:
            tell_people(failure)
        sys.stderr.flush()
    return failure.exit_code


def _names_option(arguments: list[str], option: str) -> bool:
    return any(word == option or word.startswith(f"{option}=") for word in arguments)


def _wants_json(arguments: list[str]) -> bool:
    words = set(arguments)
    if os.environ.get("CONDUIT_OUTPUT") in ("json", "jsonl"):
        return True
    if words & {"--json", "-ojson", "-ojsonl", "--output=json", "--output=jsonl"}:
        return True
    return any(
        flag in ("-o", "--output") and value in ("json", "jsonl")
        for flag, value in pairwise(arguments)
    )
