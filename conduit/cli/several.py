"""One step for several records: named, read from stdin, or chosen by a filter."""

import sys
from collections.abc import Callable, Iterator, Sequence

from conduit.cli.console import Console
from conduit.cli.failures import Exit, Failure, exit_of_api_error, shown
from conduit.client.errors import ApiError, Unreachable


def names_of(given: Sequence[str]) -> list[str]:
    """The names of a command line, each once; `-` stands for those on stdin, if there are any."""
    names: list[str] = []
    for name in given:
        names += _read_names() if name == "-" else [name]
    return list(dict.fromkeys(names))


def _read_names() -> Iterator[str]:
    """A name a line, up to a tab: what `-q` prints, and what a list in TSV begins with."""
    for line in sys.stdin:
        if name := line.partition("\t")[0].strip():
            yield name


class Outcomes:
    """How the steps for several records ended; what failed is told at once, one line each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._count = 0
        self._failures: list[ApiError | Failure] = []

    def attempt(self, name: str, step: Callable[[str], None]) -> None:
        """Run a step; a record that fails does not keep the others from theirs.

        Raises Unreachable: without a gateway the others would fail too.
        """
        self._count += 1
        try:
            step(name)
        except Unreachable:
            raise
        except (ApiError, Failure) as error:
            self._failures.append(error)
            failure = shown(error)
            message = failure.message if failure else str(error)
            self._console.say(f"error: {name}: {message}", "bad")

    def settle(self) -> None:
        """Raise Failure when a step failed: with its own code where all did, else exit 8."""
        if not self._failures:
            return
        alone = len(self._failures) == self._count
        first = self._failures[0]
        own = first.exit_code if isinstance(first, Failure) else exit_of_api_error(first)
        raise Failure(
            f"{len(self._failures)} of {self._count} failed",
            code="partial_failure",
            exit_code=own if alone else Exit.PARTIAL,
        )
