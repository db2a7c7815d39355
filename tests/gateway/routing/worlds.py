"""Worlds that chance makes: providers, mappings, prices, troubles, and a request to them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from msgspec import structs

from conduit.core.errors import (
    ConduitError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from conduit.core.policies import FALLBACK_CAUSES
from conduit.gateway.config.snapshot import (
    AliasMapping,
    Credential,
    Fallback,
    Policy,
    Snapshot,
    Target,
)
from conduit.gateway.dialects.prompt import Prompt, upper_tokens
from conduit.gateway.exchange import Assumed, Attempt, Decision, Exchange
from conduit.gateway.health.deployments import Effect
from conduit.gateway.health.registry import Health, Speed
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.unknown import UnknownPrice, default_rates
from conduit.gateway.provider import Operation
from conduit.gateway.routing.explain import Explainer, Supposed
from conduit.gateway.routing.lacking import Needs
from conduit.gateway.routing.resolve import Question
from conduit.gateway.routing.rotation import Rotation
from conduit.gateway.routing.strategies import STRATEGIES
from conduit.gateway.stages.admit import cost_at
from conduit.gateway.stages.attempts import Attempts
from conduit.gateway.stages.resolve import Resolve
from conduit.gateway.stages.retries import RetryRules
from tests.gateway.exchanges import DOLLAR, exchange, grant, upstream

PROVIDERS: Final = ("p", "q", "r")
MODELS: Final = ("m", "n")
ALIASES: Final = ("fast", "other", "third")

ERRORS: Final[dict[str, Callable[[], ConduitError]]] = {
    "error": lambda: UpstreamFailure("it failed"),
    "rate_limit": lambda: UpstreamRateLimitedError("too many"),
    "timeout": lambda: UpstreamTimeoutError("too late"),
    "context_window": lambda: UpstreamRejectedError("no", code="context_length_exceeded"),
    "content_filter": lambda: UpstreamRejectedError("no", code="content_filter"),
    "": lambda: UpstreamRejectedError("another model would not help"),
}

_IMAGE: Final = {"type": "image_url", "image_url": {"url": "https://a.b/c"}}
_TOOL: Final = {"type": "function", "function": {"name": "f", "parameters": {}}}
_SCHEMA: Final = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}


@dataclass
class World:
    """What there is, and a request of which an explanation and the stages are asked."""

    snapshot: Snapshot
    health: Health
    fields: dict[str, Any]
    supposed: Supposed
    prices: dict[tuple[str, str], Rates]
    unknown: UnknownPrice
    has_hard_budget: bool
    bounded: str | None
    turns: dict[str, int]
    max_attempts: int = 3

    def price_of(
        self, overrides: object, provider: str, vendor: str | None, model: str
    ) -> Rates | None:
        return self.prices.get((provider, model))

    def rotation(self) -> Rotation:
        """Another one, which has come as far."""
        made = Rotation()
        for alias, turns in self.turns.items():
            for _ in range(turns):
                made.take(Decision(alias, (), (), self.snapshot.mappings[alias]))
        return made

    def explainer(self) -> Explainer:
        return Explainer(
            self.snapshot,
            self.health,
            self.price_of,
            self.unknown,
            rotation=self.rotation(),
            max_attempts=self.max_attempts,
        )

    def asked(self) -> Exchange:
        made = exchange(self.snapshot, **self.fields)
        made.grant(grant(has_hard_budget=self.has_hard_budget))
        return made

    def reality(self, draw: Callable[[], float]) -> "Reality":
        return Reality(self, draw)


class Reality:
    """The stages that route real requests; nothing is sent, so all of them meet the same health."""

    def __init__(self, world: World, draw: Callable[[], float]) -> None:
        self._resolve = Resolve(
            world.price_of,
            lambda exchange: None,
            is_bounded=lambda alias: alias == world.bounded,
            unknown=world.unknown,
        )
        rules = RetryRules(queue_s=0.0, max_attempts=world.max_attempts)
        self._attempts = Attempts(
            rules, world.health, self._resolve.decide, cost_at, sleep=_at_once, draw=draw
        )
        self._attempts.rotation = world.rotation()

    async def first(self, asked: Exchange) -> tuple[str, str] | ConduitError:
        """Where the request goes first."""
        try:
            self._resolve(asked)
            attempt = await self._attempts(asked)
        except ConduitError as error:
            return error
        assert attempt is not None
        return target(attempt)

    async def course(self, asked: Exchange, fails: Callable[[Exchange], str]) -> Exchange:
        """The request with every call failing for the cause that is given, until it ends."""
        try:
            self._resolve(asked)
            while (attempt := await self._attempts(asked)) is not None:
                asked.attempts.append(attempt)
                error = ERRORS[fails(asked)]()
                attempt.failed(error, AttemptOutcome.REFUSED, Assumed.NOTHING)
        except ConduitError as error:
            asked.error = error
        return asked


async def _at_once(seconds: float) -> None:
    pass


def target(attempt: Attempt) -> tuple[str, str]:
    return attempt.candidate.upstream.name, attempt.candidate.model


def a_world(seed: int, credentials: int | None = None) -> World:
    """With so many credentials of each provider, or one or two."""
    random = Random(seed)
    fields, supposed = _a_request(random)
    windows = _windows(fields, supposed)
    mappings = {alias: _a_mapping(random, alias, windows) for alias in ALIASES}
    count = random.randint(1, 2)
    upstreams = _upstreams(count if credentials is None else credentials)
    upstreams["q"] = replace(upstreams["q"], enabled=random.random() < 0.7)
    snapshot = Snapshot(1, upstreams, mappings, {})
    bounded = random.choice([None, None, "fast", "other"])
    has_hard_budget = random.random() < 0.2
    must_be_priced = has_hard_budget or bounded == "fast"
    return World(
        snapshot,
        _troubled(random, snapshot),
        fields,
        supposed._replace(
            question=structs.replace(supposed.question, must_be_priced=must_be_priced)
        ),
        _prices(random, windows),
        random.choice(
            [
                UnknownPrice(),
                UnknownPrice(),
                UnknownPrice("refuse"),
                UnknownPrice("default", default_rates(DOLLAR, 3 * DOLLAR)),
            ]
        ),
        has_hard_budget,
        bounded,
        {alias: random.randint(0, 4) for alias in ALIASES},
        random.choice([1, 2, 3, 3, 5]),
    )


def _a_request(random: Random) -> tuple[dict[str, Any], Supposed]:
    """The fields of one, and what the command line would say of it."""
    needs = {name: random.random() < 0.15 for name in ("vision", "tools", "schema")}
    text = random.choice(["hello", "7 " * random.randint(1, 500), "words and more of them " * 40])
    parts = [{"type": "text", "text": text}, *([_IMAGE] if needs["vision"] else [])]
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": parts}], "user": "ann"}
    if needs["tools"]:
        fields["tools"] = [_TOOL]
    if needs["schema"]:
        fields["response_format"] = _SCHEMA
    max_tokens = random.choice([None, 1, 100, 4000])
    if max_tokens is not None:
        fields["max_tokens"] = max_tokens
    tokens = upper_tokens(exchange(Snapshot(1, {}, {}, {}), **fields).call.units)
    asks = Needs(Operation.CHAT, None, *("caps" if needs[name] else None for name in needs))
    question = Question("fast", Operation.CHAT, must_be_priced=False)
    return fields, Supposed(question, asks, tokens, session="key_1/ann", max_tokens=max_tokens)


def _windows(fields: dict[str, Any], supposed: Supposed) -> list[int | None]:
    """Some that have room for the request by a token, and some that lack one.

    None lies between the two estimates that a real prompt is measured by.
    """
    prompt = Prompt(exchange(Snapshot(1, {}, {}, {}), **fields).call)
    answer = supposed.max_tokens or 0
    return [
        *[None] * 8,
        supposed.tokens + answer,
        10 * (supposed.tokens + answer),
        prompt.tokens + answer - 1,
        max(prompt.tokens // 2, 1),
    ]


def _a_mapping(random: Random, alias: str, windows: list[int | None]) -> AliasMapping:
    strategy = random.choice([*sorted(STRATEGIES), "round-robin", "lowest-cost"])
    targets = tuple(
        Target(
            random.choice((*PROVIDERS, *PROVIDERS, *PROVIDERS, "gone")),
            random.choice(MODELS),
            random.choice([0] * 6 + [1, 2]),
            random.choice([0, 1, 1, 1, 1, 1, 3]),
            random.choice([{}, {}, {"max_tokens": 50}, {"max_completion_tokens": 900}]),
            _capabilities(random, windows),
        )
        for _ in range(random.choice([1, 2, 4, 6]))
    )
    fallbacks = tuple(
        Fallback(random.choice(FALLBACK_CAUSES), random.choice((*ALIASES, *ALIASES, "gone")))
        for _ in range(random.choice([0, 2, 4, 6]))
    )
    policy = Policy(
        sticky=random.choice(["off"] * 4 + ["user"]),
        breakers=random.choice([True, True, False]),
        unknown_price=random.choice([None, None, None, "free", "refuse"]),
    )
    return AliasMapping(alias, alias, strategy, targets, fallbacks, 0, policy)


def _capabilities(random: Random, windows: list[int | None]) -> dict[str, Any]:
    can: dict[str, Any] = {
        name: False for name in ("vision", "tools", "schema") if random.random() < 0.15
    }
    window = random.choice(windows)
    return can if window is None else {**can, "context_tokens": window}


def _prices(random: Random, windows: list[int | None]) -> dict[tuple[str, str], Rates]:
    """Of most models; the price of an answer does not follow from that of a prompt."""
    return {
        (provider, model): Rates(
            input=random.choice([1, 2, 5]) * DOLLAR,
            output=random.choice([1, 4, 20]) * DOLLAR,
            context_tokens=random.choice([None, None, *windows]),
            version="test",
            source="override",
        )
        for provider in PROVIDERS
        for model in MODELS
        if random.random() < 0.85
    }


def _upstreams(count: int) -> dict[str, Any]:
    return {
        name: upstream(
            name,
            credentials=tuple(
                Credential(f"{name}{index}", f"{name}{index}", f"s{index}", weight=index + 1)
                for index in range(count)
            ),
        )
        for name in PROVIDERS
    }


def _troubled(random: Random, snapshot: Snapshot) -> Health:
    health = Health(clock=lambda: 1000.0, draw=lambda: 0.5)
    for _ in range(random.choice([0, 0, 2, 9])):
        provider = snapshot.upstreams[random.choice(PROVIDERS)]
        credential = random.choice(provider.credentials)
        deployment = health.of(provider, credential, random.choice(MODELS))
        effect, times = random.choice(list(Effect)), random.randint(1, 12)
        for number in range(times):
            begun = health.begin(deployment, credential, is_retry=False)
            if number % 3 < 2:  # some of them are in flight still
                health.end(begun, effect, speed=Speed(10.0 * times, 5.0), error="x")
    return health
