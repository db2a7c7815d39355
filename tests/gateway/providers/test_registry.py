import pytest

from conduit.core.errors import NotFoundError
from conduit.gateway.provider import LocalProvider, Provider
from conduit.gateway.providers import registry


def test_types_are_sorted_and_unique() -> None:
    names = [type_.name for type_ in registry.types()]
    assert names == sorted(set(names))
    assert {"openai", "openai_compatible", "simulator", "ollama"} <= set(names)


ASK_FOR_AN_ADDRESS = {
    "azure",
    "azure_deployments",
    "cloudflare",
    "litellm",
    "openai_compatible",
    "vertex",
    "vertex_anthropic",
    "vertex_openai",
}


def test_every_type_is_a_provider_and_has_an_address_or_asks_for_one() -> None:
    for type_ in registry.types():
        provider = registry.provider_of(type_.name)
        assert isinstance(provider, Provider)
        assert provider.type is type_
        assert type_.default_base_url or type_.name in ASK_FOR_AN_ADDRESS
        if type_.default_base_url:  # otherwise no start can register it by itself
            assert bool(type_.environment) == type_.needs_credential
        assert type_.simulated is isinstance(provider, LocalProvider)


def test_an_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(NotFoundError) as caught:
        registry.provider_of("nobody")
    assert "nobody" in caught.value.message
    assert "openai_compatible" in (caught.value.hint or "")
