"""Admin operations on who was refused at the door."""

from collections.abc import Mapping

from conduit.core.errors import NotFoundError
from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.core.networks import network_names
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.security import (
    AddressRules,
    BansLifted,
    BanView,
    LoginsView,
    SecuritySummary,
)
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.server.addresses import network_of
from conduit.gateway.server.logins import Ban, FailedLogins
from conduit.gateway.storage.rows import page_of

_BANS = "/admin/bans"
_BAN = _BANS + "/{ban}"


async def _bans(call: Call[None, ListQuery]) -> Page[BanView]:
    views = sorted(_views(call.admin.logins), key=lambda view: view.id)
    found = page_of(views, lambda view: view.id, call.query.window())
    return page(found, found.rows)


async def _ban(call: Call[None, None]) -> BanView:
    wanted = network_of(call.names["ban"])
    for view in _views(call.admin.logins):
        if view.id == wanted:
            return view
    raise _no_ban(wanted)


async def _lift(call: Call[None, None]) -> None:
    wanted = network_of(call.names["ban"])
    if not call.admin.logins.lift(wanted):
        raise _no_ban(wanted)
    call.admin.bus.publish(EventKind.BANS_LIFTED, {"network": wanted, "lifted": 1})


async def _lift_all(call: Call[None, None]) -> BansLifted:
    lifted = len(_views(call.admin.logins))
    call.admin.logins.lift_all()
    call.admin.bus.publish(EventKind.BANS_LIFTED, {"network": None, "lifted": lifted})
    return BansLifted(lifted=lifted)


def _no_ban(network: str) -> NotFoundError:
    return NotFoundError(f"no wrong keys from {network} are put off now")


def _views(logins: FailedLogins) -> list[BanView]:
    """One of each network, whichever APIs its wrong keys came to."""
    by_network: dict[str, list[Ban]] = {}
    for ban in logins.bans():
        by_network.setdefault(ban.network, []).append(ban)
    at_ms = now_ms()
    return [
        BanView(
            id=network,
            apis=[ban.api for ban in bans],
            failures=sum(ban.failures for ban in bans),
            until=str(time_text(at_ms + round(max(ban.left_s for ban in bans) * 1000))),
        )
        for network, bans in by_network.items()
    ]


async def _summary(call: Call[None, None]) -> SecuritySummary:
    admin = call.admin
    settings = {setting.name: setting.value for setting in admin.settings()}
    bans = admin.logins.bans()
    return SecuritySummary(
        since=str(time_text(admin.state().started_at_ms)),
        client_ip=call.by.address,
        logins=[
            LoginsView(
                api=api,
                refused=totals.refused,
                limited=totals.limited,
                bans=totals.bans,
                addresses=admin.logins.addresses(api),
                banned=sum(ban.api == api for ban in bans),
            )
            for api, totals in admin.logins.totals.items()
        ],
        addresses=AddressRules(
            admin_allowed=_networks(settings, "admin_allowed_ips"),
            denied=_networks(settings, "denied_ips"),
            trusted_proxies=_networks(settings, "trusted_proxies"),
        ),
        tls=settings.get("tls_certificate_file") is not None,
        admin_apart=settings.get("admin_port") is not None,
        admin_certificates=settings.get("admin_client_ca_file") is not None,
        master_keys=admin.master.in_force,
        master_key_from=admin.master.supplied_by,
    )


def _networks(settings: Mapping[str, object], name: str) -> list[str]:
    value = settings.get(name)
    return list(network_names(None if value is None else str(value)))


OPERATIONS = (
    AdminOperation(
        "security.summary",
        "GET",
        "/admin/security",
        "Sum up who was refused at the door, and who may come from where",
        _summary,
        SecuritySummary,
    ),
    AdminOperation(
        "bans.list",
        "GET",
        _BANS,
        "List the addresses whose wrong keys are put off",
        _bans,
        Page[BanView],
        query=ListQuery,
    ),
    AdminOperation(
        "bans.lift_all",
        "POST",
        "/admin/lift-bans",
        "Begin anew with every address",
        _lift_all,
        BansLifted,
    ),
    AdminOperation(
        "bans.show",
        "GET",
        _BAN,
        "Show an address whose wrong keys are put off",
        _ban,
        BanView,
    ),
    AdminOperation(
        "bans.remove",
        "DELETE",
        _BAN,
        "Begin anew with the wrong keys of an address",
        _lift,
        None,
    ),
)
