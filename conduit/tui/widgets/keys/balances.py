"""The prepaid balance of a group: credits, debits, refunds and adjustments with their reasons."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from conduit.core import people
from conduit.tui.actions import Action
from conduit.tui.state import allowances
from conduit.tui.state.store import id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Values
from conduit.tui.widgets.dialogs.levels import Level, must_agree
from conduit.tui.widgets.keys.budgeted import BudgetedScreen

DIRECTIONS = ("add to it", "take out of it")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of transaction, and how it is told of."""

    name: str
    verb: str
    done: str
    takes_out: bool = False
    either_way: bool = False


KINDS = {
    "c": Kind("credit", "Credit", "credited {amount} to {name}"),
    "d": Kind("debit", "Debit", "debited {amount} from {name}", takes_out=True),
    "r": Kind("refund", "Refund", "refunded {amount} to {name}"),
    "a": Kind("adjustment", "Adjust", "adjusted {name} by {amount}", either_way=True),
}


def balance_actions(place: str) -> tuple[Action, ...]:
    """One key and a letter for each kind."""
    return (
        Action(f"{place}.pay", "Balance: credit, debit, refund, adjust", ("p",), "pay", 2),
        Action(f"{place}.credit", "Credit the balance", changes=True),
        Action(f"{place}.debit", "Debit the balance", changes=True),
        Action(f"{place}.refund", "Refund to the balance", changes=True),
        Action(f"{place}.adjust", "Adjust the balance", changes=True),
    )


class BalancesScreen(BudgetedScreen):
    """The verbs of the balance of the group under the cursor."""

    def why_not(self, action: Action) -> str | None:
        verbs = ("pay", *(kind.verb.lower() for kind in KINDS.values()))
        if action.verb in verbs and self.can_draw and self.row is None:
            return "there is no group to choose"
        return super().why_not(action)

    def do_pay(self) -> None:
        """Wait for the letter of what is to be done."""
        options: dict[str, tuple[str, Callable[[], object]]] = {
            key: (kind.verb.lower(), partial(self.conduit.perform, _action_of(self.PLACE, kind)))
            for key, kind in KINDS.items()
        }
        self.conduit.ask_key("balance", options)

    async def do_credit(self) -> None:
        await self._transact(KINDS["c"])

    async def do_debit(self) -> None:
        await self._transact(KINDS["d"])

    async def do_refund(self) -> None:
        await self._transact(KINDS["r"])

    async def do_adjust(self) -> None:
        await self._transact(KINDS["a"])

    async def _transact(self, kind: Kind) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return
        # One for the whole dialog: an answer that was lost does not tell whether it was made.
        once = f"tui-{secrets.token_hex(8)}"

        async def submit(values: Values) -> Mapping[str, Any]:
            body = {**transaction_body(kind, values), "idempotency_key": once}
            question, effect, level = asked_of(kind, row, body)
            name, verb = row["name"], kind.verb
            if level is not None:
                await must_agree(self, level, question, effect, name=name, verb=verb)
            return await link.change("group_transactions.create", id_of(row), body=body)

        title = f"{kind.verb.lower()} the balance of {row['name']}"
        dialog = FormDialog(title, fields_of(kind, row), submit, verb=kind.verb)
        made = await self.conduit.push_screen_wait(dialog)
        if made is None:
            return
        amount = signed(made["amount"]) if kind.either_way else people.money(_size(made["amount"]))
        done = kind.done.format(amount=amount, name=row["name"])
        self.conduit.tell(f"{done}: its balance is {people.money(made['balance'])}")
        await self.read_again(row, link)


def _action_of(place: str, kind: Kind) -> str:
    return f"{place}.{kind.verb.lower()}"


def fields_of(kind: Kind, row: Record) -> list[Field]:
    """What has to be said of a transaction."""
    prepaid = row["prepaid"]
    hint = "no balance yet" if prepaid is None else f"balance {people.money(prepaid['balance'])}"
    fields = [Field("amount", "USD", required=True, check=allowances.paid, hint=hint)]
    if kind.either_way:
        fields.append(
            Field("direction", "Which way", DIRECTIONS[0], kind="choice", choices=DIRECTIONS)
        )
    fields.append(Field("reason", "Reason", required=True, hint="kept with the transaction"))
    if kind.takes_out or kind.either_way:
        below = "even where less than nothing is left"
        fields.append(Field("allow_negative", "Allow debt", kind="bool", hint=below))
    return fields


def transaction_body(kind: Kind, values: Values) -> dict[str, Any]:
    """The body of `group_transactions.create`, but for its idempotency key."""
    body = {"kind": kind.name, "amount": values["amount"], "reason": values["reason"]}
    if values.get("direction") == DIRECTIONS[1]:
        body["negative"] = True
    if values.get("allow_negative"):
        body["allow_negative"] = True
    return body


def asked_of(kind: Kind, row: Record, body: Mapping[str, Any]) -> tuple[str, str, Level | None]:
    """The question before it, what it does, and how much is asked: most where a debt is made,
    nothing where the gateway will refuse it.
    """
    out = kind.takes_out or bool(body.get("negative"))
    amount = people.money(body["amount"])
    before = Decimal(row["prepaid"]["balance"]) if row["prepaid"] else Decimal(0)
    after = before - Decimal(body["amount"]) if out else before + Decimal(body["amount"])
    way = "from" if out else "to"
    question = f"{kind.verb} {amount} {way} the balance of {row['name']}?"
    effect = f"It becomes {people.money(after)}. Only another transaction takes this back."
    if row["prepaid"] is None:
        effect += f" From then on {row['name']} is prepaid: its keys are served while it lasts."
    if out and after < 0:
        return question, effect, "severe" if body.get("allow_negative") else None
    return question, effect, "moderate"


def signed(amount: str) -> str:
    """`+$5.00` or `-$5.00`."""
    told = people.money(amount)
    return told if told.startswith("-") else f"+{told}"


def _size(amount: str) -> str:
    return amount.removeprefix("-")
