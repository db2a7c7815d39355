"""The dialects that there are."""

from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.providers import registry


def test_a_dialect_stands_under_its_own_name() -> None:
    assert {name: module.NAME for name, module in DIALECTS.items()} == {
        name: name for name in DIALECTS
    }
    assert list(DIALECTS) == sorted(DIALECTS)


def test_every_provider_speaks_a_dialect_that_there_is() -> None:
    assert {type_.dialect for type_ in registry.types()} <= DIALECTS.keys()
