"""Admin operations on the health of providers: what is known, and the operator's hand in it."""

from collections import Counter
from collections.abc import Iterator

from conduit.core.aliases import is_one_model
from conduit.core.errors import NotFoundError
from conduit.core.resources.fields import Name, Page, Time, time_ms, time_text
from conduit.core.resources.health import (
    BreakerOpening,
    BreakerOrder,
    DeploymentView,
    HealthChange,
    HealthSummary,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.config.snapshot import AliasMapping, Credential
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.facts import DeploymentFacts, facts_of
from conduit.gateway.storage.health_history import StoredHealthChange, WantedChanges
from conduit.gateway.storage.rows import page_of

_PATH = "/admin/health"
_BREAKERS = "/admin/breakers"


class HealthQuery(ListQuery):
    provider: Name | None = None


class HistoryQuery(HealthQuery):
    since: Time | None = None


async def _summary(call: Call[None, None]) -> HealthSummary:
    admin = call.admin
    states: Counter[str] = Counter()
    for deployment, credential in _deployments(admin):
        states[facts_of(admin.health, deployment, credential).state] += 1
    down = [alias for alias in admin.configuration.snapshot.mappings if _is_down(admin, alias)]
    total = sum(states.values())
    return HealthSummary(
        status="down" if down else "ok" if states["ready"] == total else "degraded",
        deployments=total,
        ready=states["ready"],
        by_state=dict(sorted(states.items())),
        in_flight=admin.health.active,
        retries=admin.health.retries,
        waiting=sum(each.waiters for each in admin.health.deployments()),
        aliases_down=sorted(down),
    )


async def _list(call: Call[None, HealthQuery]) -> Page[DeploymentView]:
    admin, wanted = call.admin, call.query
    meant = {
        _name_of(deployment): (deployment, credential)
        for deployment, credential in _deployments(admin)
        if wanted.provider in (None, deployment.credential.provider)
    }
    found = page_of(sorted(meant), str, wanted.window())
    chosen = [meant[name] for name in found.rows]
    return page(found, [deployment_view(facts_of(admin.health, *each)) for each in chosen])


def _name_of(deployment: Deployment) -> str:
    return f"{deployment.name}#{deployment.credential.name}"


async def _history(call: Call[None, HistoryQuery]) -> Page[HealthChange]:
    query = call.query
    since_ms = 0 if query.since is None else time_ms(query.since)
    wanted = WantedChanges(query.provider, since_ms)
    found = await call.admin.health_history.page(wanted, query.window())
    return page(found, [_change(each) for each in found.rows])


async def _open(call: Call[BreakerOpening, None]) -> Page[DeploymentView]:
    return _ordered(call.admin, call.body, "open")


async def _close(call: Call[BreakerOrder, None]) -> Page[DeploymentView]:
    return _ordered(call.admin, call.body, "close")


async def _reset(call: Call[BreakerOrder, None]) -> Page[DeploymentView]:
    return _ordered(call.admin, call.body, "reset")


def _ordered(admin: AdminContext, order: BreakerOrder, verb: str) -> Page[DeploymentView]:
    """Raises NotFoundError where no target is meant."""
    meant = [
        (deployment, credential)
        for deployment, credential in _deployments(admin)
        if deployment.credential.provider == order.provider
        and order.model in (None, deployment.model)
        and order.credential in (None, deployment.credential.name)
    ]
    if not meant:
        target = order.provider if order.model is None else f"{order.provider}/{order.model}"
        raise NotFoundError(
            f"nothing is routed to {target}", hint="conduit health providers lists the targets"
        )
    for deployment, _ in meant:
        if verb == "open":
            assert isinstance(order, BreakerOpening), "its body says for how long"
            admin.health.open_breaker(deployment, order.for_s)
        elif verb == "close":
            admin.health.close_breaker(deployment)
        else:
            admin.health.reset(deployment)
    return Page[DeploymentView](
        data=[deployment_view(facts_of(admin.health, each, own)) for each, own in meant],
        next_cursor=None,
    )


def _deployments(admin: AdminContext) -> Iterator[tuple[Deployment, Credential | None]]:
    """Every target that mappings name or that calls went to, with its credential."""
    snapshot, health = admin.configuration.snapshot, admin.health
    seen: set[Deployment] = set()
    for mapping in snapshot.mappings.values():
        for deployment, credential in _of_mapping(admin, mapping):
            if deployment not in seen:
                seen.add(deployment)
                yield deployment, credential
    for deployment in health.deployments():
        upstream = snapshot.upstreams.get(deployment.credential.provider)
        if deployment not in seen and upstream is not None:
            own = {each.id: each for each in upstream.credentials}
            yield deployment, own.get(deployment.credential.id)


def _of_mapping(
    admin: AdminContext, mapping: AliasMapping
) -> Iterator[tuple[Deployment, Credential | None]]:
    for target in mapping.targets:
        upstream = admin.configuration.snapshot.upstreams.get(target.provider)
        if upstream is None or not upstream.enabled or upstream.lacks_credential:
            continue
        if not is_one_model(target.model):
            continue  # which models that is, calls tell
        for credential in upstream.credentials or (None,):
            yield admin.health.of(upstream, credential, target.model), credential


def _is_down(admin: AdminContext, alias: str) -> bool:
    """Whether an alias has targets, and none of them takes a call now."""
    mapping = admin.configuration.snapshot.mappings[alias]
    if not mapping.policy.breakers:
        return False
    found = list(_of_mapping(admin, mapping))
    now = admin.health.clock()
    return bool(found) and all(
        admin.health.blocked(deployment, credential, now) is not None
        for deployment, credential in found
    )


def deployment_view(facts: DeploymentFacts) -> DeploymentView:
    speed = facts.tokens_per_s_milli
    return DeploymentView.model_validate(
        {
            "provider": facts.provider,
            "model": facts.model,
            "credential": facts.credential,
            "state": facts.state,
            "reason": facts.reason,
            "until": time_text(facts.until_ms),
            "breaker": facts.breaker,
            "opened_in_a_row": facts.opened_in_a_row,
            "in_flight": facts.in_flight,
            "cap": facts.cap,
            "calls": facts.calls,
            "failures": facts.failures,
            "recent_calls": facts.recent_calls,
            "recent_failures": facts.recent_failures,
            "ttft_ms": facts.ttft_ms,
            "tokens_per_s": None if speed is None else speed / 1000,
            "last_error": facts.last_error,
            "last_error_at": time_text(facts.last_error_at_ms),
        }
    )


def _change(change: StoredHealthChange) -> HealthChange:
    return HealthChange(
        at=str(time_text(change.at_ms)),
        provider=change.provider,
        model=change.model,
        credential=change.credential,
        before=change.before,
        after=change.after,
        reason=change.reason,
        until=time_text(change.until_ms),
    )


OPERATIONS = (
    AdminOperation(
        "health.summary", "GET", _PATH, "Sum up how providers are doing", _summary, HealthSummary
    ),
    AdminOperation(
        "health.deployments",
        "GET",
        _PATH + "/deployments",
        "List the targets of all mappings with their health",
        _list,
        Page[DeploymentView],
        query=HealthQuery,
    ),
    AdminOperation(
        "health.history",
        "GET",
        _PATH + "/history",
        "List what has changed in the health of providers, the newest first",
        _history,
        Page[HealthChange],
        query=HistoryQuery,
    ),
    AdminOperation(
        "breakers.open",
        "POST",
        _BREAKERS + "/open",
        "Send nothing to some targets for a while",
        _open,
        Page[DeploymentView],
        body=BreakerOpening,
        errors=(NotFoundError,),
    ),
    AdminOperation(
        "breakers.close",
        "POST",
        _BREAKERS + "/close",
        "Send to some targets again",
        _close,
        Page[DeploymentView],
        body=BreakerOrder,
        errors=(NotFoundError,),
    ),
    AdminOperation(
        "breakers.reset",
        "POST",
        _BREAKERS + "/reset",
        "Forget every trouble of some targets and of their credentials",
        _reset,
        Page[DeploymentView],
        body=BreakerOrder,
        errors=(NotFoundError,),
    ),
)
