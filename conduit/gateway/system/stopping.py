"""Whether a gateway is given the time that it takes to stop."""

from collections.abc import Mapping
from typing import Final

from conduit.core.settings import GatewaySettings

ENDING_S: Final = 5.0
"""Calls that had to be ended are settled within it."""

_IN_KUBERNETES: Final = "KUBERNETES_SERVICE_HOST"
_USUAL_IN_KUBERNETES_S: Final = 30.0


def grace_warning(settings: GatewaySettings, environment: Mapping[str, str]) -> str | None:
    """Why streams may be cut at a stop, and what to do about it; None where there is time enough.

    How long Kubernetes waits a pod cannot find out: unless it is told, the usual time is assumed.
    """
    takes_s = settings.drain_accept_s + settings.drain_s + ENDING_S
    given_s, setting = settings.stop_grace_s, "stop_grace_s"
    if given_s is None and _IN_KUBERNETES in environment:
        given_s, setting = _USUAL_IN_KUBERNETES_S, "terminationGracePeriodSeconds, unless it is set"
    if given_s is None or given_s >= takes_s:
        return None
    return (
        f"a stop takes up to {takes_s:g} s (drain_accept_s, drain_s and {ENDING_S:g}), and the "
        f"gateway is killed after {given_s:g} s ({setting}): give it more time and say so in "
        "stop_grace_s, or lower drain_s"
    )
