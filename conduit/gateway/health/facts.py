"""How deployments stand at one moment, for those who want to look at them."""

import msgspec

from conduit.core.ids import now_ms
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.registry import Health
from conduit.gateway.snapshot import Credential


class DeploymentFacts(msgspec.Struct, frozen=True):
    """How a deployment stands at one moment, for the admin API; times in epoch milliseconds."""

    provider: str
    model: str
    credential: str
    state: str
    reason: str | None
    until_ms: int | None
    breaker: str
    opened_in_a_row: int
    in_flight: int
    cap: int | None
    calls: int
    failures: int
    recent_calls: int
    recent_failures: int
    ttft_ms: int | None
    tokens_per_s_milli: int | None
    last_error: str | None
    last_error_at_ms: int | None


def facts_of(
    health: Health, deployment: Deployment, credential: Credential | None = None
) -> DeploymentFacts:
    """How it stands now. `credential` is as the snapshot has it, for its caps."""
    now = health.clock()
    blocked = health.blocked(deployment, credential, now)
    good, bad = deployment.breaker.counts(now)
    most = deployment.credential.most_in_flight(credential)
    ttft_ms, tokens_per_s = deployment.ttft_ms.at(now), deployment.tokens_per_s.at(now)
    return DeploymentFacts(
        provider=deployment.credential.provider,
        model=deployment.model,
        credential=deployment.credential.name,
        state="ready" if blocked is None else blocked.state,
        reason=None if blocked is None else blocked.reason,
        until_ms=None
        if blocked is None or blocked.until <= now
        else now_ms() + int((blocked.until - now) * 1000),
        breaker=deployment.breaker.state(now).value,
        opened_in_a_row=deployment.breaker.opened_in_a_row,
        in_flight=deployment.in_flight,
        cap=None if most is None else int(most),
        calls=deployment.calls,
        failures=deployment.failures,
        recent_calls=good + bad,
        recent_failures=bad,
        ttft_ms=None if ttft_ms is None else int(ttft_ms),
        tokens_per_s_milli=None if tokens_per_s is None else int(tokens_per_s * 1000),
        last_error=deployment.last_error,
        last_error_at_ms=deployment.last_error_at_ms,
    )
