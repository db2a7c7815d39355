"""The history of the configuration, and a rollback."""

from typing import Annotated, Any, Literal

from pydantic import Field

from conduit.core.resources.fields import Resource, Time

RevisionNumber = Annotated[int, Field(ge=0, le=10**18 - 1)]
Action = Literal["add", "change", "remove"]


class ChangeView(Resource):
    """What became of one record; `changes` are the old and the new value of each field.

    `note` tells what the two cannot: that a secret was entered anew.
    """

    action: Action
    kind: str
    name: str
    changes: dict[str, tuple[Any, Any]]
    note: str | None = None


class RevisionView(Resource):
    """One change of the configuration; `kind` and `name` are of its first record.

    `actor` is whose change it was, `client` the program that asked for it, `address` where it asked
    from. `restorable`: whether a rollback to before it undoes it.
    """

    revision: int
    at: Time
    actor: str
    client: str | None
    address: str | None
    operation: str
    kind: str | None
    name: str | None
    change_count: int
    restorable: bool
    rolled_back_to: int | None


class RevisionDetail(RevisionView):
    """A revision with its changes against the one before."""

    changes: list[ChangeView]


class NewRollback(Resource):
    """Which revision to go back to.

    `prune` removes what was added since. `partial` leaves what cannot be brought back, where a
    rollback is refused otherwise. `expected` is the revision that a plan was made from: where the
    configuration has changed since, nothing is done.
    """

    revision: RevisionNumber
    prune: bool = True
    partial: bool = False
    dry_run: bool = False
    expected: RevisionNumber | None = None


class Unrestorable(Resource):
    """What a rollback cannot bring back, why, and what a person can do."""

    kind: str
    name: str
    reason: str
    hint: str | None = None


class RollbackView(Resource):
    """What a rollback did, or would do. `revision` is the one in force now."""

    revision: int
    rolled_back_to: int
    dry_run: bool
    changes: list[ChangeView]
    left: list[Unrestorable]
