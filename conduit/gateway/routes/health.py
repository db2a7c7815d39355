"""`/health/live`, `/health/ready` and `/metrics`."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests should be sent here, and every reason why not.

    `degraded` is what does not work although requests are served, `revision` that of the
    configuration in force.
    """

    reasons: tuple[str, ...]
    degraded: tuple[str, ...] = ()
    revision: int = 0

    @property
    def ready(self) -> bool:
        return not self.reasons


def routes(readiness: Callable[[], Readiness]) -> list[web.RouteDef]:
    async def live(request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(request: web.Request) -> web.Response:
        state = readiness()
        status = "ready" if state.ready else "not_ready"
        told = {
            "status": status,
            "reasons": list(state.reasons),
            "degraded": list(state.degraded),
            "revision": state.revision,
        }
        return web.json_response(told, status=200 if state.ready else 503)

    return [web.get("/health/live", live), web.get("/health/ready", ready)]


def metrics_routes(metrics: Callable[[], tuple[bytes, str]]) -> list[web.RouteDef]:
    """Of what tells more than health does."""

    async def show_metrics(request: web.Request) -> web.Response:
        body, content_type = metrics()
        return web.Response(body=body, headers={"content-type": content_type})

    return [web.get("/metrics", show_metrics)]
