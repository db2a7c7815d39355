"""The Provider protocol and its value types.

A provider is a dialect plus a base URL, authentication, capabilities and quirks. It is pure: bytes
in, values out. The `call` stage is the only sender.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import quote

import msgspec

from conduit.core.errors import InvalidRequestError


class Operation(StrEnum):
    """What a client asks for. The names stand in records, metrics and types of providers."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    MODERATION = "moderation"

    @property
    def writes(self) -> bool:
        """Whether a model writes the answer, so that output tokens are made, and may be capped."""
        return self is Operation.CHAT or self is Operation.COMPLETION


USUAL_OPERATIONS: Final = frozenset({Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING})
"""What a server in OpenAI's manner offers unless its type says otherwise."""


@dataclass(frozen=True)
class FieldRules:
    """Which fields of a request in OpenAI's format a vendor takes otherwise, or not at all.

    Each is there because the vendor, or its maintainers, say so; the README of the vendor's fixture
    folder names the page. Names are those of a client's fields:

    - `renamed`: a field, and the vendor's own name for it.
    - `dropped`: fields that the vendor refuses or ignores and that do not change what is asked for;
      they are left out and reported.
    - `refused`: fields that do change it; the request is refused unless they say what holds anyway,
      such as `n: 1`.
    - `roles`, `message_renamed`, `message_dropped`: the same for the messages. A message's field
      that is renamed gives way to one that has that name already.
    - `tool_call_ids`: the only form, as a regular expression, in which ids of tool calls may be;
      others are replaced by one of `tool_call_id_length` letters and digits made from them.
    - `null_content`: whether the content of an assistant's message may be null.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    roles: Mapping[str, str] = field(default_factory=dict)
    message_renamed: Mapping[str, str] = field(default_factory=dict)
    message_dropped: frozenset[str] = frozenset()
    tool_call_ids: str | None = None
    tool_call_id_length: int = 9
    null_content: bool = True

    @cached_property
    def message_marks(self) -> tuple[bytes, ...]:
        """What stands in the JSON of messages if a rule may concern them; empty for no rules."""
        names = [*self.roles, *self.message_renamed, *self.message_dropped]
        if self.tool_call_ids is not None:
            names += ["tool_calls", "tool_call_id"]
        marks = tuple(f'"{name}"'.encode() for name in names)
        return marks if self.null_content else (*marks, b"null")


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a vendor departs from its dialect, as data.

    `asks_stream_usage`: whether `stream_options.include_usage` may be sent. `output_cap_field`: the
    name under which an output cap is sent when the gateway adds one. `request_id_header`: a header
    in which the vendor takes the caller's own id for a request. `schema`: whether an answer may be
    asked for by a JSON schema, as far as the vendor as a whole goes. `fields`: what becomes of a
    request's fields; None where all are taken as they are. `model_in_body` is False where the model
    stands in the path alone, and `added` are fields that every body must have. `merged` are
    objects of which a target's own fields are set one by one, beside those of the request.
    """

    asks_stream_usage: bool = True
    output_cap_field: str = "max_tokens"
    request_id_header: str | None = None
    schema: bool = True
    fields: FieldRules | None = None
    model_in_body: bool = True
    added: Mapping[str, Any] = field(default_factory=dict)
    merged: frozenset[str] = frozenset()


class OutgoingRequest(msgspec.Struct, frozen=True):
    """What a signature is made of: the request as it will leave, its URL to the last byte."""

    method: str
    url: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ProviderType:
    """One kind of provider, as every front-end, document and completion sees it.

    `dialect` names the wire format. `default_base_url` is None where an operator must give one,
    and `base_url_form` shows what it looks like where that is not plain.
    `environment` names the variables in which a credential is looked for at first start, and
    `credential_forms` says what one may look like where it is more than a key.
    `prices` is the vendor's name in the shipped price book, None where it has no prices there.
    `models_path` is where its models are listed, None where they are not. `runs_here` says that a
    start looks for it at its default address on this machine. `bills_cancelled` says that a call
    which is broken off is billed as if it were not.
    """

    name: str
    title: str
    dialect: str
    default_base_url: str | None
    environment: tuple[str, ...] = ()
    credential_forms: tuple[str, ...] = ()
    needs_credential: bool = True
    operations: frozenset[Operation] = USUAL_OPERATIONS
    prices: str | None = None
    simulated: bool = False
    quirks: Quirks = field(default_factory=Quirks)
    models_path: str | None = "/models"
    runs_here: bool = False
    base_url_form: str | None = None
    bills_cancelled: bool = False


@runtime_checkable
class Provider(Protocol):
    """What a module in `providers/` offers for each type it registers."""

    @property
    def type(self) -> ProviderType: ...

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        """The path below the base URL, beginning with a slash, encoded as it is to be sent."""
        ...

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        """Headers that authenticate one request; may refresh a token, or sign the request.

        Raises UpstreamAuthError for a credential with which nothing can be authenticated.
        """
        ...


@runtime_checkable
class CountingProvider(Provider, Protocol):
    """A provider that counts the tokens of a chat call without answering it, for nothing."""

    def count_path(self, model: str) -> str:
        """Where a model's tokens are counted, as `path` says where it is called."""
        ...


class TokenRequest(msgspec.Struct, frozen=True):
    """A request for an access token: a form (RFC 6749), to be sent by POST to a URL of its own."""

    url: str
    form: Mapping[str, str]


@runtime_checkable
class TokenProvider(Provider, Protocol):
    """A provider some of whose credentials are exchanged for access tokens that live for a while.

    The provider writes the request; one cache above it sends it and keeps the token, which goes
    into the header `authorization` as a bearer token in the place of `authorize`'s headers.
    """

    def token_request(self, credential: str, now_s: int) -> TokenRequest | None:
        """How to come by a token at that time (Unix seconds); None where the credential is used as
        it is.

        Raises UpstreamAuthError for a credential of which nothing can be made.
        """
        ...


@runtime_checkable
class LocalProvider(Provider, Protocol):
    """A provider that answers inside the process, in its dialect's own bytes."""

    @property
    def models(self) -> tuple[str, ...]: ...

    def answer(self, operation: Operation, body: bytes) -> "LocalAnswer":
        """The answer to an encoded request body."""
        ...


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """An HTTP-shaped answer made in the process: status, headers, pieces of the body in time."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


def path_segment(model: str) -> str:
    """A model's name as one segment of a path, whatever stands in it.

    A client may choose the name, where an alias ends in `*`. Raises InvalidRequestError for names
    that a URL would not keep.
    """
    if model in ("", ".", ".."):
        raise InvalidRequestError(f'"{model}" is no name of a model', param="model")
    return quote(model, safe="-_.~@")
