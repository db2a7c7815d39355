"""Admin operations that tell of the running gateway."""

from msgspec.structs import asdict

from conduit.core.aliases import is_one_model
from conduit.core.errors import UnavailableError
from conduit.core.ids import now_ms
from conduit.core.limits import Limit
from conduit.core.money import format_usd
from conduit.core.resources.fields import time_text
from conduit.core.resources.limits import RateLimitView
from conduit.core.resources.status import (
    Caller,
    FindingView,
    LedgerCheck,
    LedgerView,
    LimiterView,
    SheddingView,
    StatusView,
)
from conduit.gateway.admin.bodies import status_of
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.keys import limit_views
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.probes import rates_in_force
from conduit.gateway.ledger.entries import LedgerState
from conduit.gateway.limits.scopes import gateway_scope
from conduit.gateway.shedding import SheddingState
from conduit.gateway.storage import keys, mappings, providers
from conduit.gateway.storage.engine import outages_reported, reading


async def _status(call: Call[None, None]) -> StatusView:
    admin = call.admin
    warnings: list[str] = []
    try:
        with outages_reported():
            counts = await _stored(admin)
    except UnavailableError as error:
        # What is asked for while the database is away is above all this answer.
        warnings.append(f"{error}; what is counted is what is in memory")
        snapshot = admin.configuration.snapshot
        in_memory = (len(snapshot.upstreams), len(snapshot.mappings), admin.keyring.known)
        counts = dict(zip(("providers", "mappings", "keys"), in_memory, strict=True))
    state = admin.state()
    return StatusView(
        version=state.version,
        boot=state.boot,
        started_at=str(time_text(state.started_at_ms)),
        uptime_s=max(0, now_ms() - state.started_at_ms) // 1000,
        ready=state.ready,
        draining=state.draining,
        revision=admin.configuration.snapshot.revision,
        database=state.database,
        **counts,
        in_flight=state.in_flight,
        event_seq=state.event_seq,
        ledger=_ledger_view(admin.ledger.state()),
        bodies=await status_of(admin),
        rss_bytes=state.rss_bytes,
        shedding=_shedding_view(state.shedding),
        worker=state.worker,
        workers=state.workers,
        limiter=LimiterView(**asdict(state.limiter)),
        limits=await _limits(admin, state.rate_limits),
        warnings=[
            *state.warnings,
            *admin.configuration.warnings,
            *unpriced_warnings(admin),
            *warnings,
        ],
    )


def unpriced_warnings(admin: AdminContext) -> list[str]:
    """What is mapped and has no price, and what becomes of calls to it."""
    unknown = admin.unknown_price()
    missing: dict[str, list[str]] = {}
    for mapping in admin.configuration.snapshot.mappings.values():
        policy = unknown.policy_for(mapping.policy.unknown_price)
        for target in mapping.targets:
            named = f"{target.provider}/{target.model}"
            if policy == "default" or not is_one_model(target.model):
                continue
            if rates_in_force(admin, target.provider, target.model) is None:
                missing.setdefault(policy, []).append(named)
    found = [
        f"no price is known for {_some(names)}: calls are {_UNPRICED[policy]} "
        "(conduit prices set PROVIDER/MODEL)"
        for policy, names in missing.items()
    ]
    if unknown.policy == "default" and unknown.default is None:
        found.append("unknown_price is default, and default_price is not set: calls are refused")
    return found


_UNPRICED = {"free": "charged nothing", "refuse": "refused"}
_NAMED = 3


def _some(names: list[str]) -> str:
    different = list(dict.fromkeys(names))
    more = len(different) - _NAMED
    listed = ", ".join(different[:_NAMED])
    return f"{listed} and {more} more" if more > 0 else listed


async def _limits(admin: AdminContext, limits: tuple[Limit, ...]) -> list[RateLimitView]:
    """Those of the gateway; as they stand in memory while the books cannot be asked."""
    scope = gateway_scope(limits)
    try:
        with outages_reported():
            standings = (await admin.limiter.look(scope))[scope.id]
    except UnavailableError:
        standings = admin.limiter.standings(scope)
    return limit_views(standings)


async def _stored(admin: AdminContext) -> dict[str, int]:
    """How many records of each kind there are."""
    async with reading(admin.database) as connection:
        return {
            "providers": await providers.count(connection),
            "mappings": await mappings.count(connection),
            "keys": await keys.count(connection),
        }


def _ledger_view(state: LedgerState) -> LedgerView:
    return LedgerView(
        available=state.available,
        reason=state.reason,
        sync=state.sync,
        open_holds=state.open_holds,
        held=format_usd(state.held_nanodollars),
        waiting=state.waiting,
        journal_bytes_unapplied=state.journal_bytes_unapplied,
    )


def _shedding_view(state: SheddingState | None) -> SheddingView | None:
    if state is None:
        return None
    return SheddingView(
        reasons=list(state.reasons),
        refused={str(reason): count for reason, count in state.refused.items()},
        slots=state.slots,
        loop_lag_p99_ms=round(state.loop_lag_p99_ms, 1),
        descriptors_percent=_rounded(state.use.descriptors_percent),
        memory_percent=_rounded(state.use.memory_percent),
    )


def _rounded(percent: float | None) -> float | None:
    return None if percent is None else round(percent, 1)


async def _whoami(_call: Call[None, None]) -> Caller:
    return Caller()


async def _check_ledger(call: Call[None, None]) -> LedgerCheck:
    report = await call.admin.check_ledger()
    findings = [
        FindingView(
            invariant=finding.invariant,
            title=finding.title,
            ok=finding.ok,
            detail=finding.detail,
            violations=list(finding.violations),
        )
        for finding in report.findings
    ]
    return LedgerCheck(
        ok=all(finding.ok for finding in findings),
        findings=findings,
        counts=dict(report.counts),
    )


OPERATIONS = (
    AdminOperation(
        "status.show", "GET", "/admin/status", "Show the state of the gateway", _status, StatusView
    ),
    AdminOperation("whoami", "GET", "/admin/whoami", "Show who is asking", _whoami, Caller),
    AdminOperation(
        "ledger.check",
        "GET",
        "/admin/ledger/check",
        "Check the invariants of the ledger",
        _check_ledger,
        LedgerCheck,
    ),
)
