"""Admin operations on the prepaid balances of groups: what was paid in, and taken out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from conduit.core.errors import ConflictError, NotFoundError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.money import format_usd, parse_usd
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.groups import NewTransaction, TransactionKind, TransactionView
from conduit.gateway.admin import budgets as budget_operations
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.groups import new_prepaid, taken_of
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.ledger.records import INT64_MAX
from conduit.gateway.storage import budgets, groups, keys
from conduit.gateway.storage import group_transactions as transactions
from conduit.gateway.storage.budgets import StoredBudget
from conduit.gateway.storage.engine import Transaction, reading, writing
from conduit.gateway.storage.group_transactions import ID_PREFIX, StoredTransaction
from conduit.gateway.storage.groups import StoredGroup

_PATH = "/admin/groups/{group}/transactions"


async def _list(call: Call[None, ListQuery]) -> Page[TransactionView]:
    async with reading(call.admin.database) as connection:
        group = await groups.find(connection, call.names["group"])
        found = await transactions.page(connection, group.id, call.query.window())
    return page(found, [_view(each) for each in found.rows])


async def _create(call: Call[NewTransaction, None]) -> TransactionView:
    admin, wanted = call.admin, call.body
    amount = _amount(wanted)
    budget_operations.refuse_without_ledger(admin, "no balance can be changed")
    async with admin.budget_changes:
        async with reading(admin.database) as connection:
            group = await groups.find(connection, call.names["group"])
            prepaid = await budgets.prepaid_of(connection, group.id)
            made = await _made_before(connection, call.body, group)
        if made is not None:
            return _view(made)
        made = await _make(call, group, prepaid, amount)
    facts = {
        "id": group.id,
        "name": group.name,
        "transaction_id": made.id,
        "kind": made.kind,
        "amount_nanodollars": made.amount_nanodollars,
        "balance_nanodollars": made.balance_nanodollars,
    }
    await admin.announce_of_keys(EventKind.GROUP_BALANCE_CHANGED, facts)
    return _view(made)


async def _made_before(
    connection: Transaction, wanted: NewTransaction, group: StoredGroup
) -> StoredTransaction | None:
    """What was made under the same idempotency key. Raises ConflictError for anything else."""
    if wanted.idempotency_key is None:
        return None
    made = await transactions.of_key(connection, group.id, wanted.idempotency_key)
    if made is None:
        return None
    if (made.kind, made.amount_nanodollars) != (wanted.kind, _amount(wanted)):
        raise ConflictError(
            "idempotency_key: another transaction of the group was made under it",
            param="idempotency_key",
        )
    return made


async def _make(
    call: Call[NewTransaction, None],
    group: StoredGroup,
    prepaid: StoredBudget | None,
    amount: int,
) -> StoredTransaction:
    """Store a transaction and have the sum of all enforced; `budget_changes` is held."""
    admin = call.admin
    before = new_prepaid(group, 0) if prepaid is None else prepaid
    paid_in = before.limit_nanodollars + amount
    spent, held = taken_of(admin, before)
    _refuse(call.body, group, paid_in, spent, held)
    if amount < 0 and prepaid is not None:
        # First of all: calls may not hold meanwhile what is about to be taken out.
        _enforce(admin, group, replace(before, limit_nanodollars=paid_in))
    made = _transaction(call, group, amount, paid_in - spent)
    after = replace(
        before,
        limit_nanodollars=paid_in,
        updated_at_ms=made.at_ms,
        spent_before_nanodollars=spent if amount > 0 else before.spent_before_nanodollars,
    )
    members: Sequence[str] = ()
    try:
        async with writing(admin.database, by=call.by) as connection:
            if prepaid is None:
                await budgets.open_prepaid(connection, after)
                members = await keys.ids_of_group(connection, group.id)
            else:
                after = await budgets.set_prepaid(connection, prepaid, after)
            await transactions.insert(connection, made, group.name, paid_in)
    except BaseException:
        # Whatever ended it, a cancellation too: the transaction is rolled back, and a balance that
        # was lowered above would go on refusing calls for money that nobody took out.
        if prepaid is not None:
            _enforce(admin, group, prepaid)
        raise
    if prepaid is None:
        await budget_operations.open_budget(admin, after, group.name)
        admin.keyring.drop_all(members)  # from now on, what they ask for has to have a price
    else:
        _enforce(admin, group, after)
    if amount > 0:
        admin.notifications.begin_anew(after.id, after.since_ms)
    return made


def _amount(wanted: NewTransaction) -> int:
    """In nano-dollars, below 0 for what is taken out. Raises ValidationFailedError."""
    if wanted.negative and wanted.kind != "adjustment":
        raise ValidationFailedError(
            "negative: only an adjustment says it; a debit takes out anyway", param="negative"
        )
    amount = parse_usd(wanted.amount)
    if not amount:
        raise ValidationFailedError("amount: must be more than 0", param="amount")
    return -amount if wanted.kind == "debit" or wanted.negative else amount


def _refuse(
    wanted: NewTransaction, group: StoredGroup, paid_in: int, spent: int, held: int
) -> None:
    """Raise for what would leave less than nothing, or more than can be counted."""
    if abs(paid_in) > INT64_MAX:
        raise ValidationFailedError(
            "amount: the balance would be more than can be counted", param="amount"
        )
    amount = _amount(wanted)
    left = paid_in - spent - held
    if amount < 0 and left < 0 and not wanted.allow_negative:
        running = f", of which running calls hold ${format_usd(held)}" if held else ""
        raise ConflictError(
            f"the prepaid balance of group {group.name} is "
            f"${format_usd(paid_in - amount - spent)}{running}: "
            f"${format_usd(-amount)} cannot be taken out",
            hint="ask for less, or say that less than nothing may be left: --allow-negative",
        )


def _enforce(admin: AdminContext, group: StoredGroup, prepaid: StoredBudget) -> None:
    admin.ledger.change_budget(budget_operations.terms_of(prepaid, group.name))


def _transaction(
    call: Call[NewTransaction, None], group: StoredGroup, amount: int, balance: int
) -> StoredTransaction:
    at_ms, wanted, author = now_ms(), call.body, call.by
    return StoredTransaction(
        id=new_id(ID_PREFIX, at_ms),
        group_id=group.id,
        at_ms=at_ms,
        kind=wanted.kind,
        amount_nanodollars=amount,
        balance_nanodollars=balance,
        reason=wanted.reason,
        actor=author.actor,
        client=author.client,
        address=author.address,
        idempotency_key=wanted.idempotency_key,
    )


def _view(made: StoredTransaction) -> TransactionView:
    return TransactionView(
        id=made.id,
        group_id=made.group_id,
        at=str(time_text(made.at_ms)),
        kind=cast("TransactionKind", made.kind),
        amount=format_usd(made.amount_nanodollars),
        balance=format_usd(made.balance_nanodollars),
        reason=made.reason,
        actor=made.actor,
        client=made.client,
        address=made.address,
        idempotency_key=made.idempotency_key,
    )


OPERATIONS = (
    AdminOperation(
        "group_transactions.list",
        "GET",
        _PATH,
        "List what was paid into the balance of a group, and taken out by hand",
        _list,
        Page[TransactionView],
        query=ListQuery,
        errors=(NotFoundError,),
    ),
    AdminOperation(
        "group_transactions.create",
        "POST",
        _PATH,
        "Change the prepaid balance of a group",
        _create,
        TransactionView,
        body=NewTransaction,
        status=201,
        errors=(ConflictError,),
    ),
)
