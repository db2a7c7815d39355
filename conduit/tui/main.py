"""The command `conduit-tui`.

The first question to the gateway (is it there, does it take the key?) is asked by a thread while
Textual is imported. A refusal that is known by then ends the command without drawing anything; a
later one ends it from within, as long as there has been no connection at all. So a wrong key or an
absent gateway is one sentence and an exit code, and a slow gateway never delays the first frame.
After a first connection nothing ends the interface but its operator.
"""

import argparse
import getpass
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from conduit import __version__
from conduit.client import contexts
from conduit.client.contexts import Choice, ContextError
from conduit.client.errors import ClientError
from conduit.tui.farewell import farewell_of
from conduit.tui.places import NAMES, START
from conduit.tui.state.session import THEME_NAMES, Look, Target, target_of
from conduit.tui.terminal import garbage

USAGE = 2
INTERRUPTED = 130
_ASK = object()
_QUICK_ANSWER_S = 0.15


class Trouble(Exception):
    """What keeps the interface from starting: one sentence and an exit code."""

    def __init__(self, message: str, exit_code: int = USAGE, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint


def main(argv: Sequence[str] | None = None) -> int:
    """Start the interface; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        master_key = _master_key(options)
        if options.show_virtual_key:
            return _show_virtual_key(_target(options, master_key))
        _require_terminal()
        return _run(_target(options, master_key), _look(options))
    except Trouble as trouble:
        hint = f"\n  hint: {trouble.hint}" if trouble.hint else ""
        sys.stderr.write(f"error: {trouble}{hint}\n")
        return trouble.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="conduit-tui", description="The full-screen interface of a Conduit gateway."
    )
    add = parser.add_argument
    add("--version", action="version", version=f"conduit-tui {__version__}")
    add(
        "-k",
        "--master-key",
        nargs="?",
        const=_ASK,
        metavar="VALUE",
        help="master key; bare: ask for it; -: read it from standard input",
    )
    add("--master-key-file", metavar="PATH", help="file that holds the master key")
    add("-c", "--core-api", metavar="URL", help="gateway, where its clients call it")
    add("-a", "--admin-api", metavar="URL", help="its admin API  [default: at the same address]")
    add("-C", "--context", metavar="NAME", help="context to use")
    add(
        "-s",
        "--show-virtual-key",
        action="store_true",
        help="print the virtual key of its chats, making one if there is none, and exit",
    )
    add("--screen", choices=NAMES, default=START, help="screen to begin with")
    add("--theme", choices=THEME_NAMES, help="colours  [default: conduit-dark]")
    add("--ascii", action="store_true", help="draw with ASCII signs only")
    add("--lite", action="store_true", help="for slow links: few colours, few frames, no charts")
    add("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    return parser


def _master_key(options: argparse.Namespace) -> str | None:
    """The key that the command line names; None where it names none. Raises Trouble."""
    given = options.master_key
    if given is not None and options.master_key_file is not None:
        raise Trouble("give one of --master-key and --master-key-file")
    if given is _ASK:
        if not sys.stdin.isatty():
            raise Trouble("--master-key asks on a terminal, and standard input is none")
        secret, where = getpass.getpass("Master key: "), "the answer"
    elif given == "-":
        if sys.stdin.isatty():
            raise Trouble("--master-key -: standard input is a terminal; leave the - out")
        secret, where = _piped_key(), "standard input"
    elif given is not None:
        sys.stderr.write(
            "hint: other users can read a key in the list of processes; "
            "prefer -k alone, --master-key-file or a context\n"
        )
        secret, where = given, "--master-key"
    elif options.master_key_file is not None:
        secret, where = _file_key(options.master_key_file), options.master_key_file
    else:
        return None
    secret = secret.strip()
    if not secret or "\n" in secret:
        raise Trouble(f"{where} holds no single key")
    try:
        return contexts.sendable_key(secret, where)
    except ContextError as error:
        raise Trouble(str(error)) from error


def _piped_key() -> str:
    """The key from a pipe; the keyboard is then read from the terminal itself."""
    secret = sys.stdin.read()
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
        os.dup2(terminal, 0)
    except OSError:
        return secret  # no terminal at all, which is said next
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    return secret


def _file_key(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Trouble(f"--master-key-file {path}: {error}") from error


def _require_terminal() -> None:
    """Raises Trouble where a full screen cannot be drawn."""
    hint = "conduit status, conduit logs tail and the other commands work anywhere"
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output"), (sys.stderr, "error")):
        if stream is None or not stream.isatty():
            raise Trouble(f"standard {name} is not a terminal", hint=hint)
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise Trouble("the terminal cannot draw a full screen (TERM=dumb)", hint=hint)


def _target(options: argparse.Namespace, master_key: str | None) -> Target:
    """The gateway that is meant. Raises Trouble."""
    try:
        admin_api = options.admin_api
        if admin_api is None and options.context is None:  # which knows both addresses
            admin_api = options.core_api
        choice = Choice(url=admin_api, context=options.context)
        found = contexts.resolve(contexts.load(), choice, os.environ)
        core_url = contexts.normalized(options.core_api) if options.core_api else None
    except ContextError as error:
        raise Trouble(str(error)) from error
    if master_key is None and found.master_key is None:
        raise Trouble(
            f"no master key is known for {found.admin}",
            exit_code=4,
            hint="conduit up (on this machine), conduit auth login, or --master-key-file",
        )
    return target_of(found, core_url=core_url, master_key=master_key)


def _show_virtual_key(target: Target) -> int:
    """The key on standard output, what is known of it on standard error; an exit code."""
    from conduit.tui.chat.showing import shown  # noqa: PLC0415  # deferred: rare

    try:
        secret, details = shown(target)
    except ClientError as error:
        farewell = farewell_of(error)
        sys.stderr.write(f"{farewell.text}\n")
        return farewell.exit_code
    sys.stderr.write("".join(f"{line}\n" for line in details))
    sys.stdout.write(f"{secret}\n")
    return 0


def _look(options: argparse.Namespace) -> Look:
    from conduit.tui.glyphs import speaks_unicode  # noqa: PLC0415  # deferred: not for --version

    return Look(
        theme=options.theme or ("ansi" if options.lite else "conduit-dark"),
        ascii=options.ascii or not speaks_unicode(),
        lite=options.lite,
        screen=options.screen,
        mouse=not options.no_mouse,
    )


def _run(target: Target, look: Look) -> int:
    garbage.put_off()
    check = _asked(target)
    if look.lite:
        # Read by Textual when it is imported.
        os.environ.setdefault("TEXTUAL_FPS", "20")
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # Deferred: 0.2 s of imports, beside the first call to the gateway.
    from conduit.tui.app import ConduitApp  # noqa: PLC0415

    error = _quick_answer(check)
    farewell = farewell_of(error) if error is not None else None
    if farewell is None:
        app = ConduitApp(target, look, check=check)
        app.run(mouse=look.mouse)
        farewell = app.farewell
        if farewell is None:
            return app.return_code or 0
    sys.stderr.write(f"{farewell.text}\n")
    return farewell.exit_code


def _asked(target: Target) -> "Future[ClientError | None]":
    """Ask the gateway who we are, in a thread that nobody waits for."""
    answer: Future[ClientError | None] = Future()

    def ask() -> None:
        from conduit.client import blocking  # noqa: PLC0415  # deferred: into the thread

        gateway = blocking.Gateway(
            blocking.Target(target.admin_url, target.master_key, target.tls),
            blocking.Timeouts(retries=0),
        )
        try:
            gateway.call("whoami")
        except ClientError as error:
            answer.set_result(error)
        else:
            answer.set_result(None)

    threading.Thread(target=ask, daemon=True, name="first-look").start()
    return answer


def _quick_answer(check: "Future[ClientError | None]") -> ClientError | None:
    try:
        return check.result(timeout=_QUICK_ANSWER_S)
    except TimeoutError:
        return None


if __name__ == "__main__":
    sys.exit(main())
