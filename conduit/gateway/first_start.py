"""What `conduit up` sets up by itself: master key, providers it finds, models, a first key."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from conduit.core.aliases import name_asking_for, taken_by
from conduit.core.announcement import AnnouncedProvider
from conduit.core.errors import InvalidRequestError, UpstreamFailure
from conduit.core.ids import new_id, now_ms
from conduit.core.keys import digest_of, displayed_start, make_master_key, make_virtual_key
from conduit.gateway.config.configuration import Configuration, host_of
from conduit.gateway.config.snapshot import Snapshot
from conduit.gateway.probing.discovery import NoListError, lists_models, models_of
from conduit.gateway.provider import ProviderType
from conduit.gateway.providers.registry import types
from conduit.gateway.reach.endpoints import Endpoints
from conduit.gateway.reach.stored import Authorize, Reach
from conduit.gateway.storage import credentials, keys, mappings, master_keys, providers
from conduit.gateway.storage.credentials import StoredCredential
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.keys import StoredKey
from conduit.gateway.storage.mappings import StoredMapping
from conduit.gateway.storage.master_keys import FIRST_SLOT, StoredMasterKey
from conduit.gateway.storage.providers import StoredProvider
from conduit.gateway.storage.revisions import Author
from conduit.gateway.upstream import TransportError

FIRST_KEY_NAME = "first"
SIMULATOR = "simulator"
_MOST_MODELS = 2000
_MOST_ASKED = 3
"""Providers that may be asked, one after the other, for an example."""
_EXAMPLES_WITHIN_S = 2.0
"""How long a start may wait for that."""
_UP = Author("conduit up", "up")


@dataclass(slots=True)
class Found:
    """What a start found and made. The two keys are set only when they have just been made."""

    master_key: str | None = field(default=None, repr=False)
    virtual_key: str | None = field(default=None, repr=False)
    key_name: str | None = None
    origins: dict[str, str] = field(default_factory=dict)  # provider name → how it was found
    warnings: list[str] = field(default_factory=list)
    examples: tuple[str, ...] = ()


async def ensure_master_key(engine: Database) -> str | None:
    """Make and store a master key where there is none; the new key, or None."""
    async with writing(engine) as connection:
        if await master_keys.usable(connection, now_ms()):
            return None
        key = make_master_key()
        await master_keys.put(
            connection, StoredMasterKey(FIRST_SLOT, digest_of(key), now_ms(), None)
        )
    return key


async def ensure_first_key(engine: Database) -> str | None:
    """Make a first virtual key for every model where there is no key; the new key, or None."""
    async with writing(engine, by=_UP) as connection:
        if await keys.count(connection):
            return None
        key, at_ms = make_virtual_key(), now_ms()
        await keys.insert(
            connection,
            StoredKey(
                id=new_id("key"),
                name=FIRST_KEY_NAME,
                digest=digest_of(key),
                start=displayed_start(key),
                allowed_models=["*"],
                enabled=True,
                expires_at_ms=None,
                created_at_ms=at_ms,
                updated_at_ms=at_ms,
                deleted_at_ms=None,
                last_used_at_ms=None,
                version=1,
            ),
        )
    return key


class Discovery:
    """Registers the providers that this machine's environment speaks of, and their models."""

    def __init__(
        self,
        engine: Database,
        configuration: Configuration,
        endpoints: Endpoints,
        authorize: Authorize,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._engine = engine
        self._configuration = configuration
        self._endpoints = endpoints
        self._authorize = authorize
        self._environment = environment

    async def run(self, *, simulator: bool) -> Found:
        """Register what is new; the simulator where nothing else is, or where asked for."""
        found = Found()
        async with reading(self._engine) as connection:
            known = {each.type for each in await providers.everything(connection)}
        fresh = [kind for kind in types() if kind.name not in known]
        for kind in fresh:
            variable = self._variable(kind)
            if variable is not None:
                await self._register(kind, variable)
                found.origins[kind.name] = f"env {variable}"
            elif await self._runs_here(kind):
                await self._register(kind, None)
                found.origins[kind.name] = f"running at {kind.default_base_url}"
        if SIMULATOR not in known and (simulator or not (known or found.origins)):
            await self._register(next(kind for kind in fresh if kind.name == SIMULATOR), None)
            found.origins[SIMULATOR] = "built in"
        await self._configuration.reload()
        for name in found.origins:
            await self._map_models(name, found)
        await self._configuration.reload()
        with suppress(TimeoutError):
            async with asyncio.timeout(_EXAMPLES_WITHIN_S):
                found.examples = await self._examples()
        return found

    def _variable(self, kind: ProviderType) -> str | None:
        """The variable that holds a credential; none where nobody has said to what address."""
        if kind.default_base_url is None:
            return None
        return next((name for name in kind.environment if self._environment.get(name)), None)

    async def _runs_here(self, kind: ProviderType) -> bool:
        """Whether a keyless provider answers at its own address on this machine."""
        if not kind.runs_here or kind.default_base_url is None or kind.models_path is None:
            return False
        endpoint = self._endpoints.at(kind.default_base_url, allow_private=True)
        return await lists_models(endpoint, kind.models_path)

    async def _register(self, kind: ProviderType, variable: str | None) -> None:
        at_ms = now_ms()
        base_url = kind.default_base_url or ""
        provider = StoredProvider(
            id=new_id("prov"),
            name=kind.name,
            type=kind.name,
            base_url=base_url,
            allow_private=not base_url.startswith("https://") and not kind.simulated,
            enabled=True,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            version=1,
        )
        async with writing(self._engine, by=_UP) as connection:
            await providers.insert(connection, provider)
            if variable is not None:
                await credentials.insert(connection, _reference(provider, variable, at_ms))

    async def _examples(self) -> tuple[str, ...]:
        """Names that the first wildcard takes whose provider tells its models; none where an alias
        names a model by itself.
        """
        snapshot = self._configuration.snapshot
        if any(not alias.endswith("*") for alias in snapshot.mappings):
            return ()
        wanted = [
            (alias, target) for alias, each in snapshot.mappings.items() for target in each.targets
        ]
        for alias, target in wanted[:_MOST_ASKED]:
            upstream = snapshot.upstreams.get(target.provider)
            if upstream is None or not upstream.enabled or upstream.lacks_credential:
                continue
            with suppress(TransportError, UpstreamFailure, NoListError, InvalidRequestError):
                offered = await models_of(
                    Reach(upstream, self._endpoints.of(upstream), self._authorize)
                )
                names = (name_asking_for(model, alias, target.model) for model in offered)
                taken = [n for n in names if n and taken_by(n, snapshot.mappings) == alias]
                if taken:
                    return tuple(taken)
        return ()

    async def _map_models(self, name: str, found: Found) -> None:
        """Every model of the provider becomes an alias of the same name, unless there is one."""
        upstream = self._configuration.snapshot.upstreams.get(name)
        if upstream is None:
            return
        try:
            endpoint = self._endpoints.of(upstream)
            models = await models_of(Reach(upstream, endpoint, self._authorize))
        except (TransportError, UpstreamFailure, NoListError) as error:
            found.warnings.append(
                f"the models of provider {name} could not be listed ({error}): "
                f"map them with conduit mappings add ALIAS --to {name}/MODEL"
            )
            return
        taken = self._configuration.snapshot.mappings.keys()
        async with writing(self._engine, by=_UP) as connection:
            for model in models[:_MOST_MODELS]:
                if model not in taken:
                    await mappings.insert(connection, _same_name(model, name))
        await self._configuration.reload()


def announced_providers(snapshot: Snapshot, found: Found) -> tuple[AnnouncedProvider, ...]:
    """The providers in force, as the terminal shows them."""
    return tuple(
        AnnouncedProvider(
            name=each.name,
            type=each.provider.type.name,
            found=found.origins.get(each.name, "stored"),
            simulated=each.provider.type.simulated,
            models=sum(
                any(target.provider == each.name for target in mapping.targets)
                for mapping in snapshot.mappings.values()
            ),
        )
        for each in snapshot.upstreams.values()
    )


def _reference(provider: StoredProvider, variable: str, at_ms: int) -> StoredCredential:
    """A credential that names the variable; its secret stays where it is."""
    return StoredCredential(
        id=new_id("cred"),
        provider_id=provider.id,
        name="default",
        kind="env",
        reference=variable,
        sealed=None,
        hint=None,
        host=host_of(provider.base_url),
        enabled=True,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        version=1,
    )


def _same_name(model: str, provider: str) -> StoredMapping:
    """An alias of the model's own name."""
    at_ms = now_ms()
    target = {"provider": provider, "model": model, "order": 0, "weight": 1, "params": {}}
    return StoredMapping(
        id=new_id("map"),
        alias=model,
        strategy="simple",
        targets=[target],
        fallbacks=[],
        enabled=True,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
        version=1,
    )
