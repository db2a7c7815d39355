"""`conduit security`: who was refused at the door, and who may come from where."""

from typing import Any

from conduit.cli.call import Call
from conduit.cli.commands import events
from conduit.cli.console import Tone
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people
from conduit.core.events import EventKind

noun = Noun("Security: who was refused at the door, and who may come from where.")
KINDS = (
    EventKind.AUTH_FAILED,
    EventKind.BANS_LIFTED,
    EventKind.MASTER_KEY_ROTATED,
    EventKind.KEY_CREATED,
    EventKind.KEY_UPDATED,
    EventKind.KEY_ROTATED,
    EventKind.KEY_DELETED,
    EventKind.CREDENTIAL_CREATED,
    EventKind.CREDENTIAL_UPDATED,
    EventKind.CREDENTIAL_DELETED,
)


def _networks(path: str, nobody: str) -> Any:
    return lambda row: ", ".join(row["addresses"][path]) or nobody


def _master_key(row: Record) -> str:
    if row["master_key_from"] is not None:
        return str(row["master_key_from"])
    return people.counted(row["master_keys"], "key") + " in force"


def _banned_tone(row: Record) -> Tone:
    return "warn" if row["banned"] else "good"


SUMMARY = View(
    columns=(
        Column("since", "since", lambda row: people.moment(row["since"])),
        Column("you come from", "client_ip"),
        Column(
            "may administer", "addresses.admin_allowed", _networks("admin_allowed", "any address")
        ),
        Column("denied", "addresses.denied", _networks("denied", "no address")),
        Column(
            "trusted proxies", "addresses.trusted_proxies", _networks("trusted_proxies", "none")
        ),
        Column("HTTPS", "tls"),
        Column("administration apart", "admin_apart"),
        Column("its certificates", "admin_certificates"),
        Column("master key", "master_keys", _master_key),
        Column("its origin", "master_key_from", wide=True),
    ),
    id_path="since",
)
LOGINS = View(
    columns=(
        Column("api", "api", firm=True),
        Column("wrong keys", "refused", lambda row: people.count(row["refused"]), right=True),
        Column("put off", "limited", lambda row: people.count(row["limited"]), right=True),
        Column("bans", "bans", lambda row: people.count(row["bans"]), right=True),
        Column("banned now", "banned", tone=_banned_tone, right=True),
        Column("addresses", "addresses", lambda row: people.count(row["addresses"]), right=True),
    ),
    id_path="api",
)


@verb(noun, "summary", "output")
def summary(call: Call) -> None:
    """Sum up wrong keys since the gateway's start, and who may come from where."""
    shown = call.fetch("security.summary")
    shape = call.options.shape
    if not call.printer.is_for_people or shape.is_chosen:
        call.printer.record(shown, SUMMARY)
        return
    call.printer.record({name: shown[name] for name in shown if name != "logins"}, SUMMARY)
    call.console.data("")
    call.printer.rows(shown["logins"], LOGINS, next_cursor=lambda: None)


@verb(noun, "events", "output")
def list_events(
    call: Call,
    since: events.After = None,
    limit: events.Most = 50,
) -> None:
    """List the remembered events of failed logins and of changes to keys and credentials.

    To follow them: conduit events tail --type auth.failed.
    """
    events.show_remembered(call, tuple(kind.value for kind in KINDS), since=since, limit=limit)
