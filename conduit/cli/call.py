"""One call of a command: its options, its gateway, and what commands do with both."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import typer

from conduit.cli.asking import Asker
from conduit.cli.console import ColorChoice, Console
from conduit.cli.failures import Exit, Failure
from conduit.cli.ordering import ordered
from conduit.cli.output import Column, Format, Printer, Shape, View, drained
from conduit.cli.pages import given_words, next_page
from conduit.cli.plan import (
    CHANGES,
    PLAN,
    planned,
    planned_here,
    print_differences,
    print_plan,
)
from conduit.cli.several import Outcomes, names_of
from conduit.client.api import OPERATIONS, Record
from conduit.client.blocking import Deadline, Gateway, Target, TimedOut, Timeouts, unreachable
from conduit.client.contexts import (
    Choice,
    ContextError,
    Contexts,
    Resolved,
    load,
    resolve,
)
from conduit.client.errors import ApiError

_SHORTEST_PREFIX = 4
_SEARCHED_PAGES = 10
_LARGEST_PAGE = 1000
_USUAL_PAGE = 50
_PROVIDERS_S = 90.0
_NO_MATCH = "nothing matches"


@dataclass(frozen=True, slots=True)
class Listing:
    """Which part of a list is wanted."""

    limit: int | None = None
    cursor: str | None = None
    everything: bool = False
    sort: str | None = None


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options that every command understands."""

    choice: Choice = field(default_factory=Choice)
    timeout_s: float | None = None
    color: ColorChoice = "auto"
    no_input: bool = False
    debug: bool = False
    quiet: bool = False
    dry_run: bool = False
    yes: bool = False
    confirm: str | None = None
    filter: str | None = None
    no_pager: bool = False
    shape: Shape = field(default_factory=Shape)
    listing: Listing = field(default_factory=Listing)


class Call:
    """What a command function gets first."""

    def __init__(self, options: CallOptions) -> None:
        self.options = options
        self.console = Console(options.color)
        self.printer = Printer(self.console, options.shape)
        self._labels: dict[str, str] = {}
        self._as_client = False
        self._asker = Asker(willing=not (options.no_input or options.shape.is_json))
        self._deadline = Deadline(options.timeout_s) if options.timeout_s is not None else None

    @contextmanager
    def paged(self) -> Iterator[None]:
        """Put what the block prints for people into a pager, where it is taller than that."""
        if self.options.no_pager or self.printer.format not in ("table", "wide"):
            yield
            return
        from conduit.cli.paging import paged  # noqa: PLC0415  # deferred: few commands page

        with paged(self.console):
            yield

    def allow_forms(self, what: str, *forms: Format, chosen: bool = False) -> None:
        """Raise Failure for a form that was asked for and that `what` does not have.

        One of CONDUIT_OUTPUT gives way instead: it is meant for what has it. `chosen` says whether
        single values can be picked with --fields, --query and --format.
        """
        shape = self.options.shape
        if shape.is_chosen and not chosen:
            raise Failure(f"{what} has no fields for --fields, --query or --format")
        if shape.format is None or shape.format in forms:
            return
        if shape.named:
            kinds = f"comes as {', '.join(forms)} or without -o," if forms else "has one form,"
            raise Failure(f"--output: {what} {kinds} not as {shape.format}")
        self._use_form(None)

    def prefer_form(self, form: Format) -> None:
        """Print in this form where none was asked for."""
        if self.options.shape.format is None and not self.options.shape.is_chosen:
            self._use_form(form)

    def _use_form(self, form: Format | None) -> None:
        self.options = replace(self.options, shape=replace(self.options.shape, format=form))
        self.printer = Printer(self.console, self.options.shape)

    # Where it goes

    @cached_property
    def contexts(self) -> Contexts:
        return load()

    @cached_property
    def where(self) -> Resolved:
        """The gateway of this call. Raises ContextError."""
        return resolve(self.contexts, self.options.choice, os.environ)

    @property
    def gateway_name(self) -> str:
        """The gateway as it stands in an error: `prod https://gw.example`."""
        context = self.where.context
        return f"{context.name} {self.where.admin}" if context is not None else self.where.admin

    @property
    def target(self) -> Target:
        """Where administration is, with what opens it."""
        self._as_client = False
        return Target(self.where.admin, self.where.master_key, self.where.tls)

    def client_target(self, key: str | None = None) -> Target:
        """Where clients call, with a virtual key."""
        self._as_client = True
        return Target(self.where.url, key, self.where.tls)

    @cached_property
    def gateway(self) -> Gateway:
        """The gateway's admin side. Raises Failure when nothing is known that opens it."""
        if self.where.master_key is None:
            raise Failure(
                f"no master key is known for {self.where.admin}",
                code="no_credentials",
                exit_code=Exit.NOT_PERMITTED,
                hint="conduit up (on this machine), conduit auth login, or CONDUIT_MASTER_KEY",
            )
        return self.gateway_at(self.target)

    def gateway_at(self, target: Target, timeouts: Timeouts | None = None) -> Gateway:
        """A gateway that is given up when `--timeout` is over, if that was given."""
        return Gateway(target, timeouts or Timeouts(), self._deadline)

    def tell_refused_key(self, error: ApiError) -> None:
        """Have an error say which key was refused, where it is, and what to do about it."""
        from conduit.cli.refused_keys import tell_client_key, tell_master_key  # noqa: PLC0415  # deferred

        (tell_client_key if self._as_client else tell_master_key)(error, self.where)

    def ask_providers(
        self, name: str, *names: str, body: Mapping[str, Any] | None = None
    ) -> Record:
        """Run an operation that has providers answer, which may take them a while."""
        patient = self.gateway_at(self.gateway.target, Timeouts(total_s=_PROVIDERS_S))
        with self.console.waiting("waiting for providers"):
            return patient.call(name, *names, body=body)

    def left_s(self, otherwise: float) -> float:
        """Seconds left of `--timeout`, or what holds without it. Raises TimedOut."""
        if self._deadline is None:
            return otherwise
        try:
            return self._deadline.left_s()
        except TimeoutError as error:
            raise unreachable(self.where.url, str(error), TimedOut) from error

    # Reading

    def consult(self, name: str, *names: str, body: Mapping[str, Any] | None = None) -> Record:
        """Run an operation that changes nothing the way it is asked for, though it has a body."""
        with self.console.waiting(f"waiting for {self.where.admin}"):
            return self.gateway.call(name, *names, body=body)

    def fetch(self, name: str, *names: str, query: Mapping[str, object] | None = None) -> Record:
        with self.console.waiting(f"waiting for {self.where.admin}"):
            return self.gateway.call(name, *names, query=query)

    def find(self, noun: str, given: str) -> Record:
        """The record of a noun named by id, name, or prefix of four characters that fits one."""
        try:
            return self.fetch(f"{noun}.show", given)
        except ApiError as error:
            if error.status != 404 or len(given) < _SHORTEST_PREFIX:
                raise
            matches = self._prefixed(noun, given)
            if not matches:
                raise
        if len(matches) > 1:
            candidates = ", ".join(f"{label_of(row)} ({row['id']})" for row in matches[:8])
            raise Failure(f"{given!r} fits {len(matches)} {noun}: {candidates}", code="ambiguous")
        return matches[0]

    def _prefixed(self, noun: str, prefix: str) -> list[Record]:
        matches = []
        pages = self.gateway.pages(f"{noun}.list", query={"limit": _LARGEST_PAGE})
        for _, page in zip(range(_SEARCHED_PAGES), pages, strict=False):
            for row in page["data"]:
                if row["id"].startswith(prefix) or label_of(row).startswith(prefix):
                    matches.append(row)
        return matches

    def show_list(
        self,
        name: str,
        view: View,
        *names: str,
        query: Mapping[str, object] | None = None,
        whole: bool = False,
        then: Callable[[Record], str | None] = lambda row: None,
    ) -> None:
        """Print a list, a page of it or all, and say on stderr when there is more.

        A list that is short by its nature is shown `whole` unless it is limited. `then` gives the
        command that a row asks for, if any; people are told the first one.
        """
        listing = self.options.listing
        parameters = dict(query or {})
        if any(isinstance(value, str) for value in parameters.values()):
            view = replace(view, empty=_NO_MATCH)
        if self.options.filter is not None:
            if "filter" not in OPERATIONS[name].query:
                found = self._all_rows(name, names, parameters)
                self.show_rows(found, view)
                self._advise(filter(None, map(then, self._selected(found))))
                return
            parameters["filter"] = self.options.filter
        if "limit" in OPERATIONS[name].query:
            wanted = listing.limit or (_LARGEST_PAGE if whole or self._wants_all else None)
            page_size = min(wanted, _LARGEST_PAGE) if wanted is not None else None
            parameters |= {"limit": page_size, "cursor": listing.cursor}
        rest: dict[str, Any] = {}
        with self.console.waiting(f"waiting for {self.where.admin}"):
            first = self.gateway.call(name, *names, query=parameters)
        rows: Iterable[Record] = drained(self._following(first, name, names, parameters), rest)
        steps: list[str] = []
        rows = _noted(rows, then, steps)
        if listing.sort is not None:
            rows = ordered(list(rows), listing.sort)
        self.printer.rows(rows, view, next_cursor=lambda: rest.get("next_cursor"))
        self._advise(steps)
        if rest.get("next_cursor"):
            again = next_page(given_words(), rest["next_cursor"])
            self.console.say(f"{rest['count']} of many - use --all, or go on with: {again}", "dim")

    def _advise(self, steps: Iterable[str]) -> None:
        """Tell a person who looks at a list the first step that its rows ask for."""
        if self.printer.is_for_people and (step := next(iter(steps), None)) is not None:
            self.console.next_step(step)

    def show_rows(self, rows: list[Record], view: View, *, whole: bool = False) -> None:
        """Print rows that are all here: `--filter`, `--sort`, `--limit` as for any list.

        A list that is short by its nature is shown `whole` unless it is limited.
        """
        listing = self.options.listing
        if self.options.filter is not None:
            view = replace(view, empty=_NO_MATCH)
        rows = self._selected(rows)
        if listing.sort is not None:
            rows = ordered(rows, listing.sort)
        most = listing.limit or (len(rows) if whole or self._wants_all else _USUAL_PAGE)
        shown_rows = rows[:most]
        self.printer.rows(shown_rows, view, next_cursor=lambda: None)
        if len(shown_rows) < len(rows):
            self.console.say(f"{len(shown_rows)} of {len(rows):,} - use --all", "dim")

    @property
    def _wants_all(self) -> bool:
        """Whether every page is meant: by `--all`, or as ids for another command."""
        listing = self.options.listing
        if listing.everything or listing.limit is not None or listing.cursor is not None:
            return listing.everything
        return self.printer.format == "id" and not self.console.out.is_terminal

    def _following(
        self,
        page: Record,
        name: str,
        names: Sequence[str],
        parameters: Mapping[str, object],
    ) -> Iterable[Record]:
        """The pages from the first one on: all of them, or as many as `--limit` needs."""
        listing = self.options.listing
        left = (listing.limit or 0) - len(page.get("data") or ())
        yield page
        while page.get("next_cursor") and (self._wants_all or left > 0):
            query = {**parameters, "cursor": page["next_cursor"]}
            if not self._wants_all:
                query["limit"] = min(left, _LARGEST_PAGE)
            page = self.gateway.call(name, *names, query=query)
            left -= len(page.get("data") or ())
            yield page

    # Changing

    def change(
        self,
        name: str,
        *names: str,
        body: Mapping[str, Any] | None = None,
        before: Record | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Record | None:
        """Send a change; with `--dry-run` print the request and its effect and return None."""
        if self.options.dry_run:
            self._print_plan(planned(name, names, body, before, query))
            return None
        self.require_writable()
        with self.console.waiting(f"waiting for {self.where.admin}"):
            return self.gateway.call(name, *names, query=query, body=body)

    def require_writable(self) -> None:
        """Raise Failure where the context is read-only."""
        context = self.where.context
        if context is not None and context.read_only:
            raise Failure(
                f"context {context.name!r} is read-only: nothing was sent",
                code="read_only",
                exit_code=Exit.NOT_PERMITTED,
            )

    def _print_plan(self, plan: Record) -> None:
        if self.wants_plan_as_record():
            self.printer.record(plan, PLAN)
        else:
            print_plan(self.console, plan)

    def wants_plan_as_record(self) -> bool:
        """Whether `--dry-run` is read by a program. Raises Failure for its ids."""
        shape = self.options.shape
        if shape.named and shape.format == "id":
            raise Failure("--output: a dry run makes no record, and so no id")
        return shape.is_for_programs

    def plan_here(self, before: Record, after: Record) -> None:
        """Print what a change of this machine's files would be, for `--dry-run`."""
        plan = planned_here(before, after)
        if self.wants_plan_as_record():
            self.printer.record(plan, CHANGES)
            return
        print_differences(self.console, plan["changes"])
        self.console.say("dry run: nothing was written", "dim")

    def show_changed(self, row: Record, view: View, said: str, *, then: str | None = None) -> None:
        """Print a changed record, and on stderr what happened and what comes next."""
        self.printer.record(row, view)
        self.narrate(said, then=then)

    def drop(self, noun: str, name: str) -> None:
        """Delete the record that a name stands for, once that is confirmed."""
        row = self.find(noun, name)
        self.confirm(f"Delete {noun.removesuffix('s')} {label_of(row)}?", label_of(row))
        self._delete(noun, row)

    def drop_each(self, noun: str, given: Sequence[str] | None) -> None:
        """Delete the records of several names, or of `--filter`, after one confirmation."""
        names = self.names(noun, given)
        if len(names) == 1 and not self.is_bulk(given):
            self.drop(noun, names[0])
            return
        count = _counted(len(names), noun)
        self.confirm(f"Delete {count}: {self._some(names)}?", count)
        self._for_each(names, lambda name: self._delete(noun, self.find(noun, name)))

    def _delete(self, noun: str, row: Record) -> None:
        if self.change(f"{noun}.delete", row["id"], before=row) is not None:
            self.show_deleted(noun.removesuffix("s"), row)

    def show_deleted(self, singular: str, row: Record) -> None:
        """Print what was deleted, for programs, and say so on stderr."""
        label = label_of(row)
        if self.options.shape.is_for_programs or self.options.quiet:
            columns = (Column("id", "id"), Column("name", "name"))
            self.printer.record({"id": row["id"], "name": label, "deleted": True}, View(columns))
        self.narrate(f"deleted {singular} {label}")

    def show_done(self, row: Record, said: str, *, then: str | None = None) -> None:
        """Say what happened on this machine; a program that asked for a form gets it as `row`."""
        if self.options.shape.is_for_programs:
            self.printer.record(
                row, View(tuple(Column(name, name) for name in row), next(iter(row)))
            )
        self.narrate(said, then=then)

    def narrate(self, said: str, *, then: str | None = None) -> None:
        if self.options.quiet:
            return
        self.console.say(said, "good")
        if then is not None:
            self.console.next_step(then)

    # Several records

    def each(
        self,
        given: Sequence[str] | None,
        step: Callable[[str], None],
        *,
        noun: str | None = None,
        question: str | None = None,
        lists: str | None = None,
    ) -> None:
        """Run a step for each name; `-` reads names from stdin. Some failed: exit 8.

        With `noun`, `--filter` chooses among its records, which `lists` gives where that is not
        the noun's own list, once that is confirmed; a `question` has every choice confirmed. What
        the steps print for several records is one list.
        """
        names = self.names(noun, given, lists)
        if question is not None:
            word = self._some(names) if len(names) == 1 else _counted(len(names), noun or "records")
            self.confirm(f"{question} {self._some(names)}?", word)
        elif self.options.filter is not None and noun is not None:
            count = _counted(len(names), noun)
            self.confirm(f"Change {count}: {self._some(names)}?", count)
        if self.is_bulk(given):
            self._for_each(names, step)
        else:
            step(names[0])

    def is_bulk(self, given: Sequence[str] | None) -> bool:
        """Whether the way of the call, and not what it met, speaks of several records."""
        return self.options.filter is not None or len(given or ()) > 1 or "-" in (given or ())

    def names(
        self, noun: str | None, given: Sequence[str] | None, lists: str | None = None
    ) -> list[str]:
        """The names on the command line or on stdin, or the ids that `--filter` chooses.

        Raises Failure where there is none; an empty stdin is a list too, with nothing to do.
        """
        if self.options.filter is None:
            if not given:
                raise Failure("NAME is needed: a name, - for names on stdin, or --filter EXPR")
            if not (found := names_of(given)):
                self.console.say("nothing to do")
                raise typer.Exit(Exit.OK)
            return found
        if given or noun is None:
            raise Failure("--filter and names exclude each other")
        rows = self._selected(self._all_rows(lists or f"{noun}.list", (), {}))
        if not rows:
            raise Failure(f"--filter: it holds for none of the {noun}", code="nothing_selected")
        self._labels = {str(row["id"]): label_of(row) for row in rows}
        return list(self._labels)

    def _some(self, names: Sequence[str]) -> str:
        """The first of many, as people call them."""
        few = ", ".join(self._labels.get(name, name) for name in names[:5])
        return f"{few} and {len(names) - 5} more" if len(names) > 5 else few

    def _for_each(self, names: Sequence[str], step: Callable[[str], None]) -> None:
        outcomes = Outcomes(self.console)
        with self.printer.gathered():
            for name in names:
                outcomes.attempt(name, step)
        outcomes.settle()

    def _all_rows(
        self, name: str, names: Sequence[str], query: Mapping[str, object]
    ) -> list[Record]:
        parameters = dict(query)
        if "limit" in OPERATIONS[name].query:
            parameters["limit"] = _LARGEST_PAGE
        with self.console.waiting(f"waiting for {self.where.admin}"):
            pages = self.gateway.pages(name, *names, query=parameters)
            return [row for page in pages for row in page.get("data") or ()]

    def _selected(self, rows: list[Record]) -> list[Record]:
        """The rows that `--filter` holds for, told apart here."""
        if self.options.filter is None:
            return rows
        from conduit.cli.selection import selected  # noqa: PLC0415  # deferred: only --filter

        return selected(self.options.filter, rows)

    # Asking

    @property
    def may_ask(self) -> bool:
        """Whether a person is there to answer: never with --json, --no-input or a pipe."""
        return self._asker.may_ask

    def confirm(self, question: str, name: str | None = None, *, severe: bool = False) -> None:
        """Ask before something that cannot be undone. Raises Failure unless it is confirmed.

        Something severe, and everything through a context that asks for it, wants `name` typed or
        given with `--confirm`; a context's own name stands in where there is none.
        """
        if self.options.dry_run:
            return
        strict = self._strict_context
        if severe or strict is not None:
            self._asker.confirm_typed(question, name or strict or "yes", self.options.confirm)
        elif not self.options.yes:
            self._asker.confirm(question)

    @property
    def _strict_context(self) -> str | None:
        """The context of this call, if it wants names typed."""
        with suppress(ContextError):  # what works on this machine alone needs none
            context = self.where.context
            return context.name if context is not None and context.confirm_typed else None
        return None

    def ask(self, question: str) -> str:
        """Ask on stderr and read a line."""
        return self._asker.line(question)

    def ask_secret(self, question: str, *, instead: str, optional: bool = False) -> str:
        """Ask for a secret without showing it. Raises Failure where nobody can be asked."""
        return self._asker.secret(question, instead=instead, optional=optional)


def _counted(number: int, noun: str) -> str:
    """`1 key`, `12 keys`: what is asked about, and typed where a y is not enough."""
    return f"{number} {noun.removesuffix('s') if number == 1 else noun}"


def label_of(row: Record) -> str:
    """What people call a record: its name, its alias, or its id."""
    return str(row.get("name") or row.get("alias") or row["id"])


def _noted(
    rows: Iterable[Record], then: Callable[[Record], str | None], steps: list[str]
) -> Iterator[Record]:
    """The same rows; the commands that they ask for are left in `steps`."""
    for row in rows:
        step = then(row)
        if step is not None:
            steps.append(step)
        yield row
