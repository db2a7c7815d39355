"""Files that a command makes: new, for their owner alone, there only once they are whole."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from conduit.cli.failures import Failure
from conduit.client.contexts import make_private_folder


def refuse_taken(name: str, flag: str = "--out", *, force: bool | None = None) -> Path:
    """The path of a file that may be made. Raises Failure for one that is there already.

    `force` is None where the command has no `--force`.
    """
    path = Path(name).expanduser()
    # A link that leads nowhere is somebody's, too.
    if not force and os.path.lexists(path):
        hint = "name another one, or --force" if force is not None else None
        raise Failure(f"{flag} {name}: the file exists already", hint=hint)
    if path.is_dir():
        raise Failure(f"{flag} {name}: that is a folder")
    return path


class NewFile:
    """Opened beside its place before the work begins, so that nothing is done for a bad path.

    `keep` puts it there; without that, leaving the block leaves nothing behind. Each raises
    Failure.
    """

    def __init__(self, name: str, flag: str = "--out", *, force: bool | None = None) -> None:
        self.name, self._flag, self._force = name, flag, force
        self._path = refuse_taken(name, flag, force=force)
        self._part = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            make_private_folder(self._path.absolute().parent)
            # Never over a file that is there, nor through a link that somebody has put there.
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise self._failure(error) from error
        self.file = open(descriptor, "w", encoding="utf-8", newline="")  # noqa: SIM115  # closed at the block's end

    def write(self, text: str | bytes) -> None:
        try:
            if isinstance(text, str):
                self.file.write(text)
            else:
                self.file.buffer.write(text)
        except OSError as error:
            raise self._failure(error) from error

    def keep(self) -> None:
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            refuse_taken(self.name, self._flag, force=self._force)
            self._part.replace(self._path)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # what could not be written fails once more
            self.file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> Failure:
        return Failure(f"{self._flag} {self.name}: {error.strerror}", code="local_config")
