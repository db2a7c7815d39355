"""The bodies of a request that were kept."""

from typing import Literal

from pydantic import Field

from conduit.core.resources.fields import Resource, Time


class MessageView(Resource):
    """A request or an answer without secrets, and with those of its headers that may be kept.

    `encoding` says how `body` is to be read: as it stands, or in base64 where the bytes are no
    UTF-8. `bytes` is how many there were; `truncated` that only the first of them were kept.
    """

    headers: dict[str, str]
    body: str
    encoding: Literal["utf-8", "base64"]
    bytes: int
    truncated: bool


class AttemptBodies(Resource):
    """What was sent to a provider, after translation, and what came back; null for no answer."""

    id: str
    provider: str
    model: str
    url: str
    request: MessageView
    status: int | None
    response: MessageView | None


class RequestBodies(Resource):
    """`request` is the client's, `response` what it was answered; null where it had left."""

    id: str
    at: Time
    key_id: str
    path: str
    status: int
    request: MessageView
    attempts: list[AttemptBodies]
    response: MessageView | None


class BodiesStatus(Resource):
    """What the kept bodies take, and how writing them goes.

    `log_bodies` is the setting; keys may say otherwise. `written` and `dropped` count requests
    since the start, `failure` is why the last could not be written.
    """

    log_bodies: bool
    retention_days: int
    bytes: int
    days: int
    oldest: str | None = Field(examples=["2026-11-28", None])
    written: int
    dropped: int
    waiting: int
    failure: str | None
