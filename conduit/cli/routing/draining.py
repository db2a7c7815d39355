"""A provider put out of use without a request being cut off: no new ones, and a wait for the rest.

It is disabled, so that new requests go elsewhere; those that run there finish.
"""

import time

from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.cli.routing.deployments import deployments_of, in_flight
from conduit.client.api import Record
from conduit.core import people

_EVERY_S = 0.5


def drain(call: Call, before: Record, wait_s: float | None) -> Record | None:
    """The provider once nothing runs there any more; None where nothing was to be sent.

    Without `wait_s` nobody waits. Raises Failure when it is over.
    """
    name, provider = before["name"], before
    if before["enabled"]:
        changed = call.change(
            "providers.update", before["id"], body={"enabled": False}, before=before
        )
        if changed is None:
            return None
        provider = changed
    elif call.options.dry_run:
        call.console.say(f"provider {name} is disabled already: nothing would be sent", "dim")
        return None
    if wait_s is not None:
        _wait(call, name, wait_s)
    return provider


def _wait(call: Call, name: str, wait_s: float) -> None:
    """Until nothing is in flight at the provider, seen twice.

    A request that was routed there just before may begin just after the first look.
    """
    deadline = time.monotonic() + wait_s
    told = None
    quiet = 0
    while quiet < 2:
        count = in_flight(deployments_of(call, name))
        quiet = quiet + 1 if not count else 0
        if quiet == 2:
            return
        if count and count != told:
            call.console.say(f"{people.counted(count, 'call')} in flight at {name}", "dim")
            told = count
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Failure(
                f"{people.counted(count, 'call')} still in flight at {name} after {wait_s:g} s; "
                "it is disabled, and they go on",
                code="timeout",
                exit_code=Exit.TIMEOUT,
                hint=f"conduit requests list --filter 'provider:{name}'",
            )
        time.sleep(min(_EVERY_S, left_s))
