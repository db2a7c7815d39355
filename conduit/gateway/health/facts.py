"""How deployments stand at one moment, for those who want to look at them."""

from collections.abc import Iterator, Mapping

import msgspec

from conduit.core.ids import now_ms
from conduit.gateway.config.snapshot import Credential, Upstream
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.registry import OUT_WORDS, THROTTLED_WORDS, Health


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
    ttft_ms, tokens_per_s = deployment.speeds_at(now)
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


class LeftOutFacts(msgspec.Struct, frozen=True, order=True):
    """Why calls leave a credential out for a while: the whole of it, or for one `model`."""

    model: str | None
    state: str
    reason: str
    until_ms: int


def credentials_left_out(
    health: Health, upstreams: Mapping[str, Upstream]
) -> dict[str, list[LeftOutFacts]]:
    """What their providers' answers hold against credentials now, by their ids; what concerns the
    whole credential first. Those against which nothing is held are not there.
    """
    now, at_ms = health.clock(), now_ms()
    found: dict[str, set[LeftOutFacts]] = {}
    for deployment in health.deployments() if health.rules.breakers else ():
        own = deployment.credential
        for model, state, words, until in _held_against(deployment, now):
            upstream = upstreams.get(own.provider)
            each = None if upstream is None else _credential_of(upstream, own.id)
            # What is known of a secret that another one has taken the place of says nothing.
            if upstream is not None and each is not None and own.serves(upstream, each):
                until_ms = at_ms + int((until - now) * 1000)
                found.setdefault(own.id, set()).add(LeftOutFacts(model, state, words, until_ms))
    return {own: sorted(facts, key=_gravest_first) for own, facts in found.items()}


def _gravest_first(facts: LeftOutFacts) -> tuple[bool, str, str]:
    return facts.model is not None, facts.model or "", facts.state


def _held_against(
    deployment: Deployment, now: float
) -> Iterator[tuple[str | None, str, str, float]]:
    """The model, the state, the sentence of it, and until when."""
    for model, out in ((None, deployment.credential.out), (deployment.model, deployment.out)):
        if out.reason is not None and out.at(now):
            yield model, out.reason, OUT_WORDS[out.reason], out.until
    if now < deployment.throttled_until:
        yield deployment.model, "throttled", THROTTLED_WORDS, deployment.throttled_until


def _credential_of(upstream: Upstream, id: str) -> Credential | None:
    return next((each for each in upstream.credentials if each.id == id), None)
