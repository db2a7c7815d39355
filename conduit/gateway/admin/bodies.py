"""Admin operations on the kept bodies of requests."""

from base64 import b64encode
from datetime import timedelta
from typing import Literal, cast

from conduit.core import people
from conduit.core.errors import NotFoundError, UnavailableError
from conduit.core.ids import at_ms_of, now_ms
from conduit.core.resources.bodies import (
    AttemptBodies,
    BodiesStatus,
    MessageView,
    RequestBodies,
)
from conduit.core.resources.fields import time_text
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.storage import requests
from conduit.gateway.storage.bodies import (
    BodyStoreError,
    StoredCall,
    StoredMessage,
    day_at,
    day_of,
)
from conduit.gateway.storage.engine import reading

_HOW = "conduit config set log_bodies true, or for one key conduit keys update NAME --log-bodies on"


async def _show(call: Call[None, None]) -> RequestBodies:
    admin, request_id = call.admin, call.names["request"]
    try:
        kept = await admin.bodies.find(request_id)
    except BodyStoreError as error:
        raise UnavailableError(str(error)) from error
    except ValueError:
        raise NotFoundError(f"there is no request {request_id}") from None
    if kept is None:
        raise NotFoundError(await _why_not(admin, request_id))
    return _view(kept)


async def _why_not(admin: AdminContext, request_id: str) -> str:
    """Why nothing is kept of a request. Raises NotFoundError where there is no such request."""
    async with reading(admin.database) as connection:
        await requests.find(connection, request_id)
    state = await status_of(admin)
    first = day_at(now_ms()) - timedelta(days=state.retention_days - 1)
    if day_of(request_id) < first:
        reason = f"they stay for {people.counted(state.retention_days, 'day')}, and it is older"
    elif not state.log_bodies:
        reason = (
            "log_bodies is off, and its key does not have it on, or it was refused before its body "
            f"was read; to keep those of later requests: {_HOW}"
        )
    else:
        reason = (
            "it came before log_bodies was on or was refused before its body was read, its key "
            "says otherwise, or they were purged"
        )
        if state.dropped:
            reason += f"; {state.dropped} were dropped, as more came than could be written"
    return f"no bodies of {request_id} are kept: {reason}"


def _view(kept: StoredCall) -> RequestBodies:
    return RequestBodies(
        id=kept.id,
        at=str(time_text(at_ms_of(kept.id))),
        key_id=kept.key_id,
        path=kept.path,
        status=kept.status,
        request=_message(kept, kept.request),
        attempts=[
            AttemptBodies(
                id=attempt.id,
                provider=attempt.provider,
                model=attempt.model,
                url=attempt.url,
                request=_message(kept, attempt.request),
                status=attempt.status,
                response=None if attempt.response is None else _message(kept, attempt.response),
            )
            for attempt in kept.attempts
        ],
        response=None if kept.response is None else _message(kept, kept.response),
    )


def _message(kept: StoredCall, message: StoredMessage) -> MessageView:
    body = kept.bodies[message.body]
    encoding: Literal["utf-8", "base64"] = "utf-8"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        encoding, text = "base64", b64encode(body).decode()
    return MessageView(
        headers=dict(message.headers),
        body=text,
        encoding=encoding,
        bytes=message.size,
        truncated=message.truncated,
    )


async def status_of(admin: AdminContext) -> BodiesStatus:
    """What is kept altogether, and how writing it goes."""
    settings = {view.name: view.value for view in admin.settings()}
    state = await admin.bodies.state()
    return BodiesStatus(
        log_bodies=bool(settings["log_bodies"]),
        retention_days=cast("int", settings["log_bodies_retention_days"]),
        bytes=state.bytes,
        days=state.days,
        oldest=None if state.oldest is None else state.oldest.isoformat(),
        written=state.written,
        dropped=state.dropped,
        waiting=state.waiting,
        failure=state.failure,
    )


OPERATIONS = (
    AdminOperation(
        "requests.bodies",
        "GET",
        "/admin/requests/{request}/bodies",
        "Show the bodies of a request, where they are kept",
        _show,
        RequestBodies,
    ),
)
