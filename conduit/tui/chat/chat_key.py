"""The virtual key that the interface makes for its chats: limited, labelled, and its own."""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from conduit.client import contexts
from conduit.client.api import Record
from conduit.client.contexts import ContextError
from conduit.core import people
from conduit.tui.state.gateway import GatewayLink
from conduit.tui.state.session import Target

NAME = "conduit-tui"
BUDGET_USD = "5"
GOOD_FOR_DAYS = 30
WORDS = f"${BUDGET_USD} in all, {GOOD_FOR_DAYS} days"


def new_chat_key() -> Record:
    """What is asked of the gateway; the name says whose it is, and no two are the same."""
    expires_at = datetime.now(UTC) + timedelta(days=GOOD_FOR_DAYS)
    return {
        "name": f"{NAME}-{secrets.token_hex(3)}",
        "expires_at": expires_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "budget": {"limit": BUDGET_USD, "period": "total"},
        "tags": {"made-by": NAME},
    }


async def make(link: GatewayLink, target: Target) -> tuple[str, str]:
    """Make a key: it, and what to say of it. It is kept with its context. Raises ClientError."""
    made = await link.change("keys.create", body=new_chat_key())
    is_kept = await asyncio.to_thread(keep, target, made["secret"])
    until = f"kept for context {target.name}" if is_kept else "for as long as this runs"
    return made["secret"], f"made key {made['name']} ({WORDS}), {until}"


def keep(target: Target, secret: str) -> bool:
    """Store the key with its context, for the next time and for `conduit chat`; says whether.

    Without a context, or with one of another address, nothing is stored.
    """
    try:
        context = contexts.load().by_name.get(target.name)
        if context is None or context.url != target.core_url:
            return False
        contexts.store_secrets(
            context.name, context.url, virtual_key=secret, admin_url=context.admin_url
        )
    except (ContextError, OSError):
        return False  # it is good for as long as this runs
    return True


def details_of(key: Mapping[str, Any], url: str) -> list[str]:
    """What the gateway knows of a key, a line each."""
    lines = [f"name     {key['name']}", f"gateway  {url}"]
    lines.append(f"state    {key.get('state', '-')}")
    for budget in key.get("budgets") or ():
        spent = f"{people.money(budget.get('spent'))} of {people.money(budget['limit'])}"
        lines.append(f"budget   {spent}, {budget['period']}")
    expires_at = key.get("expires_at")
    lines.append(f"expires  {people.moment(expires_at) if expires_at else 'never'}")
    lines.append(f"models   {', '.join(key.get('allowed_models') or ())}")
    return lines
