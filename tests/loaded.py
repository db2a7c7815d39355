"""Calls of `conduit` in forks of a process that has loaded it.

Loading takes most of the time of a short call, and the tests make a thousand of them. Each call is
still a process of its own, with its arguments, environment, folder and standard streams, and it
ends as any process of Python does. What the interpreter reads from the environment when it starts
(its own variables, the locale) is of the loaded process: there is one for each set of them.

Starting from nothing is tested where a start matters: `test_cold_start.py`, on terminals, with
signals, and wherever `conduit` starts itself.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_OF_THE_INTERPRETER = ("PYTHON", "LANG", "LC_")
# What a command that works without a gateway loads of it; that is too much for all the others.
_LOADED_BY = {"db": "conduit.gateway.maintenance.work", "translate": "conduit.gateway.preview"}
_LENGTH_BYTES = 4
_STREAMS = 3
_CHUNK = 65_536


def call(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bytes = b"",
    timeout_s: float = 60.0,
) -> "subprocess.CompletedProcess[bytes]":
    """Run `conduit` and wait for its end, as `subprocess.run` does; its streams are pipes."""
    own = frozenset(item for item in env.items() if item[0].startswith(_OF_THE_INTERPRETER))
    loaded = _loaded(own, _LOADED_BY.get(arguments[0], "") if arguments else "")
    request = {"arguments": list(arguments), "env": dict(env), "cwd": os.getcwd()}
    with ExitStack() as ours:
        theirs, (feed, out, err, told) = _pipes(ours)
        with ExitStack() as closing:
            for end in theirs:
                closing.enter_context(end)
            loaded.fork(json.dumps(request).encode(), [end.fileno() for end in theirs])
        try:
            heard = _converse(feed, stdin, (out, err, told), time.monotonic() + timeout_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(int(told.read(_CHUNK).split()[0]), signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(arguments), timeout_s) from None
    _, code = heard[told].split()
    return subprocess.CompletedProcess(list(arguments), int(code), heard[out], heard[err])


def _pipes(ours: ExitStack) -> tuple[list[FileIO], list[FileIO]]:
    """Four pipes, of which the first leads there: their ends, and ours, which the stack closes."""
    there, here = [], []
    for leads_there in (True, False, False, False):
        ends = os.pipe()
        reading, writing = FileIO(ends[0], "r"), FileIO(ends[1], "w")
        there.append(reading if leads_there else writing)
        here.append(ours.enter_context(writing if leads_there else reading))
    return there, here


def _converse(
    feed: FileIO, stdin: bytes, heard_on: Sequence[FileIO], deadline_s: float
) -> dict[FileIO, bytes]:
    """Write the input, and read everything to its end. Raises TimeoutError."""
    heard = dict.fromkeys(heard_on, b"")
    ends = {end.fileno(): end for end in (feed, *heard_on)}
    with selectors.DefaultSelector() as selector:
        os.set_blocking(feed.fileno(), False)
        selector.register(feed, selectors.EVENT_WRITE)
        for end in heard_on:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(deadline_s - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            for end in [ends[key.fd] for key, _ in ready]:
                if end is feed:
                    stdin = _written(feed, stdin)
                    is_open = bool(stdin)
                else:
                    part = end.read(_CHUNK)
                    heard[end] += part
                    is_open = bool(part)
                if not is_open:
                    selector.unregister(end)
                    end.close()
    return heard


def _written(feed: FileIO, stdin: bytes) -> bytes:
    """What is still to be written; nothing, where nobody reads it."""
    try:
        return stdin[feed.write(stdin) or 0 :]
    except BrokenPipeError:
        return b""


class _Loaded:
    """The process that is forked. It ends when the other end of its socket is closed."""

    def __init__(self, environment: Mapping[str, str], module: str) -> None:
        self._control, theirs = socket.socketpair()
        self._one_at_a_time = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.loaded", str(theirs.fileno()), module],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,  # pipes, as those of each call are
                stdout=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
            )

        atexit.register(self._end)

    def _end(self) -> None:
        self._control.close()
        self._process.communicate()

    def fork(self, request: bytes, descriptors: Sequence[int]) -> None:
        """Begin a call with these streams; its process id and exit code are told on the last."""
        message = len(request).to_bytes(_LENGTH_BYTES, "big") + request
        with self._one_at_a_time:
            sent = socket.send_fds(self._control, [message], descriptors)
            self._control.sendall(message[sent:])


@functools.cache
def _loaded(own: frozenset[tuple[str, str]], module: str) -> _Loaded:
    return _Loaded(dict(own), module)


# What follows runs in the loaded process and its forks.


def _load(more: str) -> None:
    from conduit.cli.table import COMMANDS, HIDDEN  # noqa: PLC0415  # only where it is forked

    importlib.import_module("conduit.cli.main")
    for module, _ in [*COMMANDS.values(), *HIDDEN.values()]:
        importlib.import_module(f"conduit.cli.commands.{module}")
    if more:
        importlib.import_module(more)
    gc.collect()
    gc.freeze()


def _await_call(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request; returns in the process that is to be `conduit`."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        beginning, descriptors, _, _ = socket.recv_fds(control, _LENGTH_BYTES, _STREAMS + 1)
        if not beginning:
            os._exit(0)
        with control.makefile("rb", buffering=0) as rest:
            request = _exactly(rest, int.from_bytes(beginning, "big"))
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, told = descriptors
    _wait_in_between(streams, told)
    return json.loads(request), streams


def _exactly(rest: Any, length: int) -> bytes:
    read = b""
    while len(read) < length:
        read += rest.read(length - len(read))
    return read


def _wait_in_between(streams: list[int], told: int) -> None:
    """Fork once more; the child returns, and the parent tells how it ended."""
    pid = os.fork()
    if pid == 0:
        os.close(told)
        return
    os.write(told, b"%d " % pid)
    for descriptor in streams:
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> None:
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.argv = [str(ROOT / "conduit/cli/__main__.py"), *request["arguments"]]
    ids = sys.modules.get("conduit.core.ids")
    if ids is not None:  # it counts from a random start: no two processes may have the same
        importlib.reload(ids)


if __name__ == "__main__":
    from conduit.cli import main  # before loading puts the module of this name in its place

    _load(sys.argv[2])
    _become(*_await_call(socket.socket(fileno=int(sys.argv[1]))))
    main()
