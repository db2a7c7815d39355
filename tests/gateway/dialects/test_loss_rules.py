"""One rule for what a provider has no word for, whichever provider it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import conduit.gateway.dialects
from conduit.gateway.conversation import ChatRequest, Sampling
from conduit.gateway.dialects.loss_rules import RULES
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError
from conduit.gateway.provider import ProviderType
from conduit.gateway.providers.registry import types
from scripts.fidelity import outcome, served
from scripts.fidelity_probes import PROBES

_FIELDS = {"n": "choices"}
_RULED = [type_ for type_ in types() if type_.quirks.fields is not None]


def _reported() -> Iterator[str]:
    """The names that the encoders give to what their format lacks, as they stand in the source."""
    for path in Path(conduit.gateway.dialects.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="lack"), args=[ast.Constant(value=str(name))]
                ):
                    yield name
                case ast.Call(func=ast.Attribute(attr="lack_if"), keywords=keywords):
                    yield from (keyword.arg for keyword in keywords if keyword.arg is not None)
                case ast.AnnAssign(
                    target=ast.Name(id="_LACKING"), value=ast.Tuple(elts=list(names))
                ):
                    for item in names:
                        assert isinstance(item, ast.Constant)
                        assert RULES[str(item.value)].asked is not None
                        yield str(item.value)
                case _:
                    pass


def test_every_lack_has_a_rule_and_every_rule_says_why() -> None:
    names = set(_reported())
    assert len(names) > 20
    assert names <= RULES.keys()
    assert all(rule.reason for rule in RULES.values())


@pytest.mark.parametrize(
    "type_", [each for each in types() if each.quirks.fields], ids=lambda type_: type_.name
)
def test_a_vendor_s_own_rules_keep_to_them(type_: ProviderType) -> None:
    fields = type_.quirks.fields
    assert fields is not None
    outcomes = dict.fromkeys(fields.dropped, "drop") | dict.fromkeys(fields.refused, "refuse")
    for name, said in outcomes.items():
        rule = RULES.get(_FIELDS.get(name, name))
        assert rule is None or rule.outcome == said, name


@pytest.mark.parametrize(
    ("client", "wish"), [(client, wish) for client, probes in PROBES.items() for wish in probes]
)
def test_a_wish_is_left_out_by_all_or_refused_by_all(client: str, wish: str) -> None:
    left_out: set[str] = set()
    refused: set[str] = set()
    for provider in served():
        if provider != client:
            found = outcome(client, provider, dict(PROBES[client][wish]))
            if isinstance(found, str):
                refused.add(found)
            else:
                left_out.update(found.dropped)
    assert not left_out & refused


def test_a_lack_is_reported_or_refused_as_its_rule_says() -> None:
    losses = Losses("theirs", "ours")
    sampling = Sampling(seed=0, top_k=3, presence_penalty=0.0)
    request = ChatRequest("m", (), sampling=sampling, parallel_tool_calls=False)
    losses.lack_of(request, ("seed", "top_k", "presence_penalty", "parallel_tool_calls", "user"))
    losses.lack_if(detail="low", name=None)
    assert losses.dropped == ("seed", "top_k", "parallel_tool_calls", "detail")
    with pytest.raises(InexpressibleError) as caught:
        losses.lack_if(audio=True)
    assert (caught.value.feature, caught.value.reason) == ("audio", RULES["audio"].reason)


def test_a_field_of_another_dialect_is_left_out_unless_its_rule_refuses_it() -> None:
    losses = Losses("theirs", "ours")
    assert losses.own({"odd": 1, "store": False, "empty": None, "id": "x", "off": False}) == {}
    assert losses.dropped == ("odd", "off")
    with pytest.raises(InexpressibleError) as caught:
        losses.own({"logit_bias": {"1": 2}})
    assert caught.value.feature == "logit_bias"
    assert Losses("ours", "ours").own({"logit_bias": {"1": 2}}) == {"logit_bias": {"1": 2}}
