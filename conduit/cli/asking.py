"""Questions to the person at the terminal, and what stands in for an answer where nobody is."""

import os
import sys

from conduit.cli.failures import Failure

_YES = ("y", "yes")


class Asker:
    """Asks on stderr, reads stdin; `willing` is false under --json, --no-input and the like."""

    def __init__(self, *, willing: bool) -> None:
        self._willing = willing

    @property
    def may_ask(self) -> bool:
        """Whether a person is there to answer."""
        return self._willing and not os.environ.get("CONDUIT_NO_INPUT") and sys.stdin.isatty()

    def line(self, question: str) -> str:
        """Ask on stderr and read a line. Raises EOFError when the input has ended."""
        sys.stderr.write(question)
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise EOFError
        return answer.strip()

    def secret(self, question: str, *, instead: str, optional: bool = False) -> str:
        """Ask for a secret without showing it; one that is optional may be empty.

        Raises Failure where nobody can be asked.
        """
        if not self.may_ask:
            raise Failure(f"a key is needed: give {instead}", code="input_needed")
        from getpass import getpass  # noqa: PLC0415  # deferred: only prompts need it

        secret = getpass(question, stream=sys.stderr).strip()
        if not secret and not optional:
            raise Failure("no key was entered")
        return secret

    def confirm(self, question: str) -> None:
        """Ask for a y. Raises Failure unless it comes."""
        if not self.may_ask:
            raise Failure(f"{question} needs --yes where nobody can be asked", code="needs_yes")
        if self.line(f"{question} Type y to confirm: ").lower() not in _YES:
            raise _not_confirmed()

    def confirm_typed(self, question: str, word: str, given: str | None) -> None:
        """Have a word typed, or given with `--confirm`. Raises Failure unless it is that word."""
        if given is not None:
            if given != word:
                raise Failure(
                    f"--confirm says {given!r}, and it has to say {word!r}", code="not_confirmed"
                )
            return
        if not self.may_ask:
            raise Failure(f"{question} needs --confirm {word}", code="needs_confirm")
        if self.line(f"{question} Type {word} to confirm: ") != word:
            raise _not_confirmed()


def _not_confirmed() -> Failure:
    return Failure("not confirmed: nothing was changed", code="not_confirmed")
