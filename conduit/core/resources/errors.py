"""Errors as the admin API sends them."""

from pydantic import Field

from conduit.core.resources.fields import Resource


class ErrorView(Resource):
    """`param` is the field that is wrong, `hint` the next step for a person.

    `retryable`: the same call may succeed later.
    """

    code: str = Field(examples=["validation_failed"])
    message: str = Field(examples=["name: there is no such field"])
    param: str | None = Field(examples=["name"])
    hint: str | None
    request_id: str | None = Field(examples=["req_01JABCDEFGHJKMNPQRSTVWXYZ0"])
    status: int = Field(ge=400, le=599)
    retryable: bool


class ErrorEnvelope(Resource):
    """The one error shape of the admin API."""

    error: ErrorView
