"""A command on a pseudo-terminal of its own: what it draws, how much it writes, what it costs.

Used by tests that look at a real terminal, and by `bench/tui.py`. Linux only: cost is read from
`/proc`.
"""

import asyncio
import os
import pty
import signal
import subprocess
import termios
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pyte

ALTERNATE_ON, ALTERNATE_OFF = b"\x1b[?1049h", b"\x1b[?1049l"
CURSOR_ON, CURSOR_OFF = b"\x1b[?25h", b"\x1b[?25l"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# The first terminal that a session leader opens becomes its own, with its signals.
_TAKE_TERMINAL = ("sh", "-c", 'exec <"$0" >"$0" 2>&1 "$@"')


@dataclass(frozen=True, slots=True)
class Chunk:
    """One read: when, and what."""

    at_s: float
    data: bytes


class Terminal:
    """The side of the pseudo-terminal on which a person would sit."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int, size: tuple[int, int]) -> None:
        self.process = process
        self.began_s = time.perf_counter()
        self.chunks: list[Chunk] = []
        self.has_closed = False
        self._ours = ours
        self._size = size
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._drawn = 0
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(ours, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # what Linux says when the other side has closed
            data = b""
        if data:
            self.chunks.append(Chunk(time.perf_counter(), data))
        else:
            self.close()
        self._news.set()

    def close(self) -> None:
        """Hang up: the command's session gets SIGHUP."""
        if not self.has_closed:
            self.has_closed = True
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._ours)

    # What came

    @property
    def written(self) -> int:
        """How many bytes came so far."""
        return sum(len(chunk.data) for chunk in self.chunks)

    @property
    def output(self) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks)

    def lines(self) -> list[str]:
        """The screen as it stands."""
        for chunk in self.chunks[self._drawn :]:
            self._stream.feed(chunk.data)
        self._drawn = len(self.chunks)
        return list(self._screen.display)

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines())

    def is_on(self, on: bytes, off: bytes) -> bool:
        """Which of two opposite sequences came last; neither: off."""
        return self.output.rfind(on) > self.output.rfind(off)

    @property
    def is_restored(self) -> bool:
        """Whether the normal screen is back and the cursor can be seen."""
        output = self.output
        alternate = output.rfind(ALTERNATE_ON) > output.rfind(ALTERNATE_OFF)
        hidden = output.rfind(CURSOR_OFF) > output.rfind(CURSOR_ON)
        return not alternate and not hidden

    # What the person does

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """As a window that is dragged: the command gets SIGWINCH."""
        self.lines()
        self._screen.resize(rows, columns)
        termios.tcsetwinsize(self._ours, (rows, columns))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    # Waiting

    async def until(self, condition: Callable[[], object], within_s: float = 60) -> None:
        """Wait for a condition on what came; looked at after every read and now and then."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._news.clear()
                    await self._news_within(0.05)
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s; the screen:\n{self.text()}") from None

    async def _news_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def shows(self, *texts: str, within_s: float = 60) -> None:
        await self.until(lambda: all(text in self.text() for text in texts), within_s)

    async def settled(self, quiet_s: float = 1.0, within_s: float = 60) -> None:
        """Wait until nothing has been written for so long."""

        def is_quiet() -> bool:
            return time.perf_counter() - self.chunks[-1].at_s >= quiet_s

        await self.until(lambda: self.chunks and is_quiet(), within_s)

    async def after(self, keys: str, within_s: float = 5) -> float:
        """Type, and say how many seconds it took until the first byte came."""
        count = len(self.chunks)
        began_s = time.perf_counter()
        self.type(keys)
        await self.until(lambda: len(self.chunks) > count, within_s)
        return self.chunks[count].at_s - began_s

    async def ended(self, within_s: float = 60) -> int:
        """The exit code, once all that was written has been read."""
        await self.until(lambda: self.has_closed, within_s)
        return await asyncio.to_thread(self.process.wait, within_s)

    # What it costs

    def cpu_s(self) -> float:
        """User and system time of the process so far, in steps of 10 ms."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def first_frame(self, rows: int = 3) -> Chunk | None:
        """The read after which the alternate screen showed so many rows; None: not yet."""
        screen = pyte.Screen(*self._size)
        stream = pyte.ByteStream(screen)
        is_alternate = False
        for chunk in self.chunks:
            is_alternate = is_alternate or ALTERNATE_ON in chunk.data
            stream.feed(chunk.data)
            if is_alternate and sum(bool(line.strip()) for line in screen.display) >= rows:
                return chunk
        return None


@asynccontextmanager
async def on_terminal(
    command: Sequence[str],
    *,
    size: tuple[int, int] = (80, 24),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> AsyncIterator[Terminal]:
    """Run a command on a terminal of `size` columns and rows; it has ended afterwards."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (size[1], size[0]))
    process = subprocess.Popen(
        [*_TAKE_TERMINAL, os.ttyname(theirs), *command],
        env=None if env is None else dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    terminal = Terminal(process, ours, size)
    try:
        # Kept open until the command has opened it, or the first read would say "closed".
        await terminal.until(lambda: terminal.chunks or process.poll() is not None)
        os.close(theirs)
        theirs = -1
        yield terminal
    finally:
        if theirs >= 0:
            os.close(theirs)
        terminal.close()
        if process.poll() is None:
            process.kill()
        process.wait()
