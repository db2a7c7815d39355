"""The provider types that there are, found by looking into this package."""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType

import conduit.gateway.providers as package
from conduit.core.errors import NotFoundError
from conduit.gateway.provider import Provider, ProviderType


@cache
def _providers() -> Mapping[str, Provider]:
    """Every module beside this one offers `PROVIDERS`; there is no second list."""
    found: dict[str, Provider] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name == "registry" or module.name.startswith("_"):
            continue
        for provider in import_module(f"{package.__name__}.{module.name}").PROVIDERS:
            if provider.type.name in found:
                raise RuntimeError(f'provider type "{provider.type.name}" is registered twice')
            found[provider.type.name] = provider
    return MappingProxyType(dict(sorted(found.items())))


def types() -> tuple[ProviderType, ...]:
    """All provider types, by name."""
    return tuple(provider.type for provider in _providers().values())


def provider_of(name: str) -> Provider:
    """The provider of a type; raises NotFoundError with the names that there are."""
    provider = _providers().get(name)
    if provider is None:
        known = ", ".join(_providers())
        raise NotFoundError(f'no provider type "{name}"', hint=f"known types: {known}")
    return provider
