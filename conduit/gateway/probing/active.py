"""Asks providers whose breakers are open, at no cost, whether they can be reached again.

What their models then answer, calls find out: a probe that succeeds lets the first of them through.
Where an operator wants it, their models are asked for a few tokens first.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from random import random
from typing import Final, NamedTuple

from conduit.core.errors import ConduitError
from conduit.gateway.config.snapshot import Credential, Snapshot, Upstream
from conduit.gateway.health.breaker import BreakerState
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.registry import Health
from conduit.gateway.probing.discovery import NoListError, answers_at_all, models_of
from conduit.gateway.probing.probe import Probed, Question, probe
from conduit.gateway.provider import Operation
from conduit.gateway.reach.stored import Reach
from conduit.gateway.upstream import TransportError

logger = logging.getLogger(__name__)

_LOOKED_AGAIN_S: Final = 5.0
_ASKED: Final = (Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING)

AskModel = Callable[[Reach, Question], Awaitable[Probed]]
ReachOf = Callable[[Upstream, Credential | None], Reach]


class Pauses(NamedTuple):
    """Seconds between two rounds, a share of `jitter` more or less; 0 asks nobody.

    With `asks_models` each model is asked for a few tokens too, where its provider answers.
    """

    interval_s: float
    jitter: float
    asks_models: bool = False


class ActiveProbes:
    """A round of questions after each pause."""

    def __init__(
        self,
        health: Health,
        snapshot: Callable[[], Snapshot],
        reach: ReachOf,
        pauses: Callable[[], Pauses],
        ask_model: AskModel = probe,
    ) -> None:
        self._health = health
        self._snapshot = snapshot
        self._reach = reach
        self._pauses = pauses
        self._ask_model = ask_model

    async def run(self) -> None:
        while True:
            interval_s, jitter, _ = self._pauses()
            if interval_s <= 0:
                await asyncio.sleep(_LOOKED_AGAIN_S)  # the setting may change
                continue
            await asyncio.sleep(interval_s * (1 + jitter * (2 * random() - 1)))  # no secret
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

    async def _ask(self, provider: str, credential_id: str, of: Sequence[Deployment]) -> None:
        upstream = self._snapshot().upstreams.get(provider)
        if upstream is None or not upstream.enabled or upstream.lacks_credential:
            return
        credential = next((each for each in upstream.credentials if each.id == credential_id), None)
        if credential is None and upstream.credentials:
            return  # it has been removed
        error = None
        try:
            reach = self._reach(upstream, credential)
            await _reached(reach)
        except TransportError as failure:
            error = f"probe: {failure.fault.value}"
        except ConduitError as failure:
            error = f"probe: {failure.message}"
        if error is None and self._pauses().asks_models:
            await asyncio.gather(*(self._ask_paid(reach, each) for each in of))
            return
        for deployment in of:
            self._health.probed(deployment, ok=error is None, error=error)

    async def _ask_paid(self, reach: Reach, deployment: Deployment) -> None:
        """A list of models may be there while the model is not: this asks it for an answer."""
        operation = next(
            (each for each in _ASKED if each in reach.upstream.provider.type.operations), None
        )
        if operation is None:
            self._health.probed(deployment, ok=True, error=None)
            return
        found = await self._ask_model(reach, Question(deployment.model, operation))
        # A model that embeds, say, takes no chat: that it is refused tells that somebody is there.
        failed = found.error is not None and not found.rejected
        error = f"probe: {found.error}" if failed else None
        self._health.probed(deployment, ok=error is None, error=error)


async def _reached(reach: Reach) -> None:
    """Raises UpstreamFailure or TransportError."""
    try:
        await models_of(reach)
    except NoListError:
        await answers_at_all(reach)
