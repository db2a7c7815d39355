"""A kept request sent again, to the same model or another one."""

from collections.abc import Mapping
from typing import Any

from conduit.client.chat import Patience
from conduit.client.replay import NotReplayableError, Replay, replay_of
from conduit.core import people
from conduit.tui.chat.dialogs import key_taken
from conduit.tui.state.traffic import Finished, Record
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Misfit, Values
from conduit.tui.widgets.frame import FrameScreen

_SCRUBBED = "what looked like a secret was taken out of the kept body, and was not sent"


async def replayed(screen: FrameScreen, entry: Finished, bodies: Record) -> str | None:
    """Ask for the model, send it, and tell how it ended: the id of the new request, or None."""
    conduit = screen.conduit
    target = conduit.target
    try:
        replay_of(dict(bodies), None)
    except NotReplayableError as error:
        conduit.tell(f"{entry.key} cannot be sent again: {error}", severity="warning")
        return None
    key = target.virtual_key or await key_taken(conduit)
    if key is None:
        return None

    async def send(values: Values) -> Mapping[str, Any]:
        if conduit.target is not target:
            raise Misfit("model", "another gateway is looked at now")
        return await _sent(screen, _wanted(bodies, values["model"]), key)

    await conduit.link.load_missing("mappings")
    rows = screen.store.table("mappings").rows.values()
    aliases = sorted(row["alias"] for row in rows if row["enabled"])
    hint = "who is asked, such as fast"
    fields = [Field("model", "Model", entry.alias or "", hint=hint, required=True, choices=aliases)]
    dialog = FormDialog(f"send {entry.key} again, which is billed", fields, send, verb="Send")
    done = await conduit.push_screen_wait(dialog)
    return None if done is None else done["id"]


def _wanted(bodies: Record, model: str) -> Replay:
    try:
        return replay_of(dict(bodies), model)
    except NotReplayableError as error:
        raise Misfit("model", str(error)) from error


async def _sent(screen: FrameScreen, wanted: Replay, key: str) -> Record:
    from conduit.client.chatting import asked_again  # noqa: PLC0415  # deferred: aiohttp

    target = screen.conduit.target
    answer = await asked_again(target.core_url, wanted, key, patience=Patience(), tls=target.tls)
    request_id = answer.headers.get("x-request-id")
    took = people.milliseconds(answer.duration_ms)
    hint = _SCRUBBED if wanted.is_scrubbed else None
    screen.conduit.tell(f"sent again as {request_id}: {answer.status} after {took}", hint=hint)
    return {"id": request_id}
