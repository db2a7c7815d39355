"""The master key."""

from pydantic import Field

from conduit.core.resources.fields import Resource, Time

DEFAULT_GRACE_S = 86_400
MOST_GRACE_S = 30 * 86_400


class MasterKeyRotation(Resource):
    """For how long the present key stays good beside the new one; 0 ends it at once."""

    grace_s: int = Field(default=DEFAULT_GRACE_S, ge=0, le=MOST_GRACE_S)


class RotatedMasterKey(Resource):
    """The only answer that ever holds a master key; `former_expires_at` ends the one before it."""

    secret: str = Field(repr=False)
    former_expires_at: Time | None
