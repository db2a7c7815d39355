import pytest

from conduit.gateway.config.snapshot import Snapshot, Target
from conduit.gateway.exchange import Decision
from conduit.gateway.pricing import Rates
from conduit.gateway.provider import Operation
from conduit.gateway.routing.allowed import may_use
from conduit.gateway.routing.resolve import Question, find_mapping, resolve
from tests.gateway.exchanges import RATES, grant, mapping, snapshot, upstream


def price_of(overrides: object, provider: str, vendor: str | None, model: str) -> Rates | None:
    return None if model == "unpriced" else RATES


def decide(
    configuration: Snapshot, alias: str = "fast", *, must_be_priced: bool = False
) -> Decision | None:
    question = Question(alias, Operation.CHAT, must_be_priced)
    return resolve(configuration, question, price_of)


def test_targets_are_tried_by_order_and_then_as_they_stand() -> None:
    targets = [
        Target("one", "third", order=2),
        Target("one", "first"),
        Target("one", "second"),
    ]
    decision = decide(snapshot([mapping("fast", *targets)]))
    assert decision is not None
    assert [each.model for each in decision.candidates] == ["first", "second", "third"]


def test_an_exact_alias_goes_before_the_longest_wildcard() -> None:
    target = Target("one", "m")
    configuration = snapshot(
        [mapping("gpt-*", target), mapping("gpt-4*", target), mapping("gpt-4o", target)]
    )
    found = {
        name: getattr(find_mapping(configuration, name), "alias", None)
        for name in ("gpt-4o", "gpt-4o-mini", "gpt-3", "claude")
    }
    assert found == {
        "gpt-4o": "gpt-4o",
        "gpt-4o-mini": "gpt-4*",
        "gpt-3": "gpt-*",
        "claude": None,
    }
    assert decide(configuration, "claude") is None


def test_a_target_model_of_a_star_is_the_name_the_client_asked_for() -> None:
    for alias, name in (("gpt-*", "gpt-9"), ("openai/*", "openai/gpt-9"), ("*", "any")):
        decision = decide(snapshot([mapping(alias, Target("one", "*"))]), name)
        assert decision is not None
        assert decision.candidates[0].model == name


@pytest.mark.parametrize(
    ("alias", "model", "name", "asked_for"),
    [
        ("openai/*", "{*}", "openai/gpt-9", "gpt-9"),
        ("quick-*", "vendor/{*}-mini", "quick-gpt-9", "vendor/gpt-9-mini"),
        ("*", "{*}", "gpt-9", "gpt-9"),
        ("fast", "{*}", "fast", "fast"),
    ],
)
def test_what_a_star_took_stands_in_a_target_model(
    alias: str, model: str, name: str, asked_for: str
) -> None:
    decision = decide(snapshot([mapping(alias, Target("one", model))]), name)
    assert decision is not None
    assert decision.candidates[0].model == asked_for


@pytest.mark.parametrize(
    ("upstreams", "target", "reason"),
    [
        ([], Target("one", "m"), "no such provider"),
        ([upstream(enabled=False)], Target("one", "m"), "disabled"),
        ([upstream(type_name="openai")], Target("one", "m"), "no usable credential"),
        ([upstream(expects_credential=True)], Target("one", "m"), "no usable credential"),
        ([upstream()], Target("one", "unpriced"), "no price"),
    ],
)
def test_each_target_left_out_has_its_reason(
    upstreams: list[object], target: Target, reason: str
) -> None:
    configuration = snapshot([mapping("fast", target)], upstreams)  # type: ignore[arg-type]  # parametrized
    decision = decide(configuration, must_be_priced=True)
    assert decision is not None
    assert not decision.candidates
    assert reason in decision.why_nots[0].reason


def test_a_model_without_a_price_serves_where_no_budget_has_to_hold() -> None:
    decision = decide(snapshot([mapping("fast", Target("one", "unpriced"))]))
    assert decision is not None
    assert decision.candidates[0].rates.input == 0


@pytest.mark.parametrize(
    ("patterns", "alias", "expected"),
    [
        (("*",), "anything/at:all", True),
        (("gpt-*",), "gpt-4o", True),
        (("gpt-*",), "claude", False),
        (("*/free",), "vendor/model/free", True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4?",), "gpt-4o", False),
        (("gpt-[4]",), "gpt-4", False),
        (("gpt-[4]",), "gpt-[4]", True),
        ((), "gpt-4o", False),
    ],
)
def test_only_a_star_is_special_in_a_pattern(
    patterns: tuple[str, ...], alias: str, *, expected: bool
) -> None:
    assert may_use(grant(allowed_models=patterns), alias) is expected
