"""The way of a request through a gateway: its stages, filled with the gateway's parts."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from msgspec import structs

from conduit.core.limits import limits_in
from conduit.core.networks import network_names
from conduit.gateway import settings_rules
from conduit.gateway.entrance import Entrance
from conduit.gateway.exchange import Candidate
from conduit.gateway.ledger.records import RequestRecord
from conduit.gateway.parts import Gateway
from conduit.gateway.pipeline import Stages
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.lookup import rates_for
from conduit.gateway.routing.resolve import PriceOf
from conduit.gateway.server.body import BodyLimits
from conduit.gateway.stages import count
from conduit.gateway.stages.admit import Admit, HoldRules, cost_at
from conduit.gateway.stages.attempts import Attempts
from conduit.gateway.stages.authenticate import Authenticate
from conduit.gateway.stages.call import Call
from conduit.gateway.stages.decode import decode, input_tokens_of, most_input_tokens_of
from conduit.gateway.stages.drain import Drain
from conduit.gateway.stages.keep import DecodeAndKeep
from conduit.gateway.stages.limit import RateLimits
from conduit.gateway.stages.recall import AnswerFromCache
from conduit.gateway.stages.record import Record
from conduit.gateway.stages.relay import RelayAnswer
from conduit.gateway.stages.replay import ReplayReply
from conduit.gateway.stages.resolve import Resolve
from conduit.gateway.stages.settle import Settle
from conduit.gateway.stages.shed import Shed


def _without_pasted_secrets(gateway: Gateway) -> Callable[[RequestRecord], None]:
    """Writes records. A model that there is not may be a key that stands in the wrong field, and
    so may the name of the client's program.
    """
    write, secrets = gateway.ledger.record, gateway.secrets

    def write_record(record: RequestRecord) -> None:
        if record.provider is None and record.alias is not None:
            record = structs.replace(record, alias=secrets.scrub(record.alias))
        agent = record.user_agent
        if agent is not None and (clean := secrets.scrub_name(agent)) != agent:
            record = structs.replace(record, user_agent=clean)
        if record.session is not None:
            record = structs.replace(record, session=secrets.scrub(record.session))
        if record.end_user is not None:
            record = structs.replace(record, end_user=secrets.scrub(record.end_user))
        write(record)

    return write_record


def make_stages(gateway: Gateway) -> Stages:
    """The steps of a request over the parts of a gateway."""
    settings = gateway.settings
    settle = Settle(gateway.ledger, gateway.health)
    limits = RateLimits(gateway.limiter)
    admit = Admit(
        gateway.ledger,
        HoldRules(
            settings.held_money_wait_s,
            settings.default_max_output_tokens,
            strict=settings.strict_holds,
        ),
        most_input_tokens_of if settings.strict_holds else input_tokens_of,
        limits.check,
        priced_now(gateway),
    )
    record = Record(
        _without_pasted_secrets(gateway),
        gateway.bus.publish,
        gateway.metrics.observe,
        gateway.bodies.offer,
    )
    resolve = Resolve(
        price_of(gateway),
        record.started,
        is_bounded=gateway.ledger.is_bounded,
        unknown=settings_rules.unknown_price(settings),
        unpriced=gateway.notifications.note_unpriced,
    )
    resolve.limits = limits_in(settings.rate_limits)
    attempts = Attempts(
        settings_rules.retry_rules(settings), gateway.health, resolve.decide, cost_at
    )
    attempts.rotation = gateway.rotation
    keeping = DecodeAndKeep(
        by_default=settings.log_bodies, limit_bytes=settings.log_body_limit_bytes
    )
    return Stages(
        authenticate=Authenticate(
            gateway.keyring.cached, gateway.keyring.find, network_names(settings.denied_ips)
        ),
        shed=Shed(gateway.shedder.refuse_ordinary),
        admit=admit,
        decode=keeping,
        resolve=resolve,
        replay=ReplayReply(gateway.turns, admit.refuse_spent, limits.take_request),
        limit=limits.take,
        recall=AnswerFromCache(gateway.cache, settings.first_event_timeout_s),
        next_attempt=attempts,
        hold=admit.hold,
        settled=settle.settled,
        call=Call(
            gateway.endpoints.of,
            gateway.tokens.headers,
            RelayAnswer(gateway.ledger, settle, settings.answer_limit_bytes),
            settings_rules.deadlines(settings),
            Drain(settings.hang_up_drains, settings.hang_up_drain_s),
            settings.shortest_attempt_s,
        ),
        recorded=record.recorded,
    )


def counting_stages(gateway: Gateway, stages: Stages) -> Stages:
    """The same steps for a call whose tokens are to be counted only, which costs nothing."""
    deadlines = settings_rules.deadlines(gateway.settings)
    resolve = Resolve(price_of(gateway), count.nothing_to_admit, costs=False)
    retrying = settings_rules.retry_rules(gateway.settings)
    return replace(
        stages,
        admit=count.nothing_to_admit,
        decode=decode,
        resolve=resolve,
        replay=count.nothing_to_replay,
        limit=count.nothing_to_limit,
        recall=count.nothing_to_recall,
        next_attempt=Attempts(retrying, gateway.health, resolve.decide, cost_at),
        hold=count.nothing_to_hold,
        settled=count.nothing_to_settle,
        call=count.Count(
            gateway.endpoints.of,
            gateway.tokens.headers,
            deadlines,
            RateLimits(gateway.limiter).headers,
        ),
        recorded=count.nothing_to_record,
    )


def price_of(gateway: Gateway) -> PriceOf:
    def price_of(
        overrides: Mapping[tuple[str, str], Rates], provider: str, vendor: str | None, model: str
    ) -> Rates | None:
        return rates_for(overrides, gateway.book, provider, vendor, model)

    return price_of


def priced_now(gateway: Gateway) -> Callable[[Candidate], Candidate]:
    """Finds the price of a candidate anew, by the snapshot of this moment: a request keeps the one
    with which it began, and a planned price may have taken effect since.
    """
    find = price_of(gateway)

    def priced_now(candidate: Candidate) -> Candidate:
        upstream = candidate.upstream
        rates = find(
            gateway.configuration.snapshot.rates,
            upstream.name,
            upstream.provider.type.prices,
            candidate.model,
        )
        # What has no price, or no longer, keeps what was decided for such.
        if rates is None or rates == candidate.rates:
            return candidate
        return replace(candidate, rates=rates)

    return priced_now


def make_entrance(gateway: Gateway) -> Entrance:
    """The way in for requests, by the settings of this moment."""
    settings = gateway.settings
    stages = make_stages(gateway)
    return Entrance(
        stages=stages,
        counting=counting_stages(gateway, stages),
        live=gateway.live,
        snapshot=gateway.configuration.unsealed,
        addresses=gateway.addresses,
        body_limits=BodyLimits(settings.body_limit_bytes, settings.body_timeout_s),
        client_stall_timeout_s=settings.client_stall_timeout_s,
        shedder=gateway.shedder,
        max_hops=settings.max_hops,
        limit_headers=RateLimits(gateway.limiter).headers,
    )
