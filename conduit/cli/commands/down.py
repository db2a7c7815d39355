"""`conduit down`: stop the gateway that `up` started."""

from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.cli.local import process
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record

noun = Noun("Stop the gateway that `up` started.")
# The gateway's own longest drain, and a little.
_LONGEST_DRAIN_S = 150.0


@verb(noun, "", "danger")
def down(call: Call) -> None:
    """Let the gateway of this machine finish its calls, then stop it."""
    gateway = process.running()
    if gateway is None:
        nothing = {"stopped": False, "process": None, "url": None}
        call.show_done(nothing, "no gateway that `conduit up` started is running")
        return
    call.confirm(f"Stop the gateway at {gateway.url}?")
    if call.options.dry_run:
        row: Record = {"dry_run": True, "signal": "SIGTERM", "process": gateway.pid}
        if call.wants_plan_as_record():
            call.show_done({**row, "url": gateway.url}, "dry run: nothing was stopped")
        else:
            call.console.data(f"SIGTERM to process {gateway.pid} ({gateway.url})")
        return
    gateway.terminate()
    timeout_s = call.left_s(_LONGEST_DRAIN_S)
    with call.console.waiting("waiting for running calls to finish"):
        ended = gateway.wait(timeout_s)
    if not ended:
        raise Failure(
            f"the gateway (process {gateway.pid}) still drains after {timeout_s:.0f} s",
            code="timeout",
            exit_code=Exit.TIMEOUT if call.options.timeout_s else Exit.REFUSED,
            hint="run conduit down again to end it without waiting",
        )
    call.show_done(
        {"stopped": True, "process": gateway.pid, "url": gateway.url},
        f"stopped the gateway at {gateway.url}",
    )
