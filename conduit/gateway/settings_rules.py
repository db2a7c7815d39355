"""What the settings say, in the words of the parts that go by it."""

from conduit.core.money import parse_usd
from conduit.core.settings import GatewaySettings
from conduit.gateway.bodies.store import Retention
from conduit.gateway.cache.store import Limits
from conduit.gateway.health.breaker import BreakerRules
from conduit.gateway.health.registry import HealthRules
from conduit.gateway.notifications.unusual import UnusualRules
from conduit.gateway.pricing.unknown import UnknownPrice, default_rates
from conduit.gateway.record_retention import KeptRecords
from conduit.gateway.shedding import SheddingLimits
from conduit.gateway.stages.retries import RetryRules
from conduit.gateway.upstream import Deadlines


def cache_limits(settings: GatewaySettings) -> Limits:
    """How much the cache of answers may hold."""
    return Limits(
        settings.cache_limit_bytes, settings.cache_entry_limit_bytes, settings.cache_max_entries
    )


def shedding_limits(settings: GatewaySettings) -> SheddingLimits:
    """When new requests are refused because there is too much to do."""
    return SheddingLimits(
        descriptors_percent=settings.shed_descriptors_percent,
        memory_percent=settings.shed_memory_percent,
        loop_lag_ms=settings.shed_loop_lag_ms,
        loop_lag_for_s=settings.shed_loop_lag_for_s,
        in_flight=settings.max_in_flight,
        reserved_percent=settings.reserved_slots_percent,
        retry_most_s=settings.shed_retry_after_s,
    )


def retention(settings: GatewaySettings) -> Retention:
    """How long kept bodies are kept."""
    return Retention(settings.log_bodies_retention_days, settings.log_bodies_disk_limit_bytes)


def kept_records(settings: GatewaySettings) -> KeptRecords:
    """How many request records are kept, and for how long."""
    return KeptRecords(settings.log_retention_days, settings.log_records_limit)


def unusual_spending(settings: GatewaySettings) -> UnusualRules:
    """From which spending in an hour on somebody is told."""
    floor = parse_usd(settings.unusual_spend_floor_usd)
    return UnusualRules(settings.unusual_spend_factor, floor)


def retry_rules(settings: GatewaySettings) -> RetryRules:
    """How often a request is tried again."""
    return RetryRules(
        max_attempts=settings.max_attempts,
        budget_ratio=settings.retry_budget_ratio,
        budget_floor=settings.retry_budget_floor,
        base_s=settings.retry_base_s,
        cap_s=settings.retry_cap_s,
        retry_after_most_s=settings.retry_after_most_s,
        retry_after_share=settings.retry_after_share,
        queue_s=settings.throttle_wait_s,
        queue_length=settings.throttle_queue,
        total_s=settings.total_timeout_s,
        shortest_s=settings.shortest_attempt_s,
    )


def health_rules(settings: GatewaySettings) -> HealthRules:
    """When what fails is left out."""
    breaker = BreakerRules(
        consecutive=settings.breaker_failures,
        ratio=settings.breaker_ratio,
        ratio_calls=settings.breaker_ratio_calls,
        window_s=settings.breaker_window_s,
        open_s=settings.breaker_open_s,
        open_most_s=settings.breaker_open_most_s,
        jitter=settings.breaker_jitter,
        successes=settings.breaker_successes,
    )
    return HealthRules(
        settings.breakers, breaker, settings.breaker_pool_ratio, settings.throttle_factor
    )


def deadlines(settings: GatewaySettings) -> Deadlines:
    """How long each step of a call to a provider may take."""
    return Deadlines(
        pool_s=settings.pool_timeout_s,
        connect_s=settings.connect_timeout_s,
        first_event_s=settings.first_event_timeout_s,
        gap_s=settings.gap_timeout_s,
        total_s=settings.total_timeout_s,
    )


def unknown_price(settings: GatewaySettings) -> UnknownPrice:
    """What becomes of calls to a model without a price."""
    if settings.default_price is None:
        return UnknownPrice(settings.unknown_price)
    read, _, written = settings.default_price.partition("/")
    return UnknownPrice(settings.unknown_price, default_rates(parse_usd(read), parse_usd(written)))
