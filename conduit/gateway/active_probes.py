"""Asks providers whose breakers are open, at no cost, whether they can be reached again.

What their models then answer, calls find out: a probe that succeeds lets the first of them through.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from random import random
from typing import Final

from conduit.core.errors import ConduitError
from conduit.gateway.discovery import NoListError, answers_at_all, models_of
from conduit.gateway.health.breaker import BreakerState
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.registry import Health
from conduit.gateway.reach import Reach
from conduit.gateway.snapshot import Credential, Snapshot, Upstream
from conduit.gateway.upstream import TransportError

logger = logging.getLogger(__name__)

_EARLY: Final = 0.8
_SPREAD: Final = 0.4
_LOOKED_AGAIN_S: Final = 5.0

ReachOf = Callable[[Upstream, Credential | None], Reach]


class ActiveProbes:
    """A round of questions every `interval_s()` seconds, a fifth more or less; 0 asks nobody."""

    def __init__(
        self,
        health: Health,
        snapshot: Callable[[], Snapshot],
        reach: ReachOf,
        interval_s: Callable[[], float],
    ) -> None:
        self._health = health
        self._snapshot = snapshot
        self._reach = reach
        self._interval_s = interval_s

    async def run(self) -> None:
        while True:
            interval_s = self._interval_s()
            if interval_s <= 0:
                await asyncio.sleep(_LOOKED_AGAIN_S)  # the setting may change
                continue
            await asyncio.sleep(interval_s * (_EARLY + _SPREAD * random()))  # no secret
            try:
                await self.round()
            except Exception:  # the next round is as good
                logger.exception("probing failed")

    async def round(self) -> None:
        """Ask each provider with an open breaker once for each credential."""
        waiting: dict[tuple[str, str], list[Deployment]] = {}
        now = self._health.clock()
        for deployment in self._health.deployments():
            if deployment.breaker.state(now) is BreakerState.OPEN:
                own = deployment.credential
                waiting.setdefault((own.provider, own.id), []).append(deployment)
        await asyncio.gather(
            *(self._ask(provider, credential, of) for (provider, credential), of in waiting.items())
        )

    async def _ask(self, provider: str, credential_id: str, of: Iterable[Deployment]) -> None:
        upstream = self._snapshot().upstreams.get(provider)
        if upstream is None or not upstream.enabled or upstream.lacks_credential:
            return
        credential = next((each for each in upstream.credentials if each.id == credential_id), None)
        if credential is None and upstream.credentials:
            return  # it has been removed
        error = None
        try:
            await _reached(self._reach(upstream, credential))
        except TransportError as failure:
            error = f"probe: {failure.fault.value}"
        except ConduitError as failure:
            error = f"probe: {failure.message}"
        for deployment in of:
            self._health.probed(deployment, ok=error is None, error=error)


async def _reached(reach: Reach) -> None:
    """Raises UpstreamFailure or TransportError."""
    try:
        await models_of(reach)
    except NoListError:
        await answers_at_all(reach)
