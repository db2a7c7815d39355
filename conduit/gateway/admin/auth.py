"""Admin operations on the master key."""

from conduit.core.errors import ConflictError
from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.core.keys import digest_of, make_master_key
from conduit.core.resources.auth import MasterKeyRotation, RotatedMasterKey
from conduit.core.resources.fields import time_text
from conduit.gateway.admin.access import MasterDigest
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.storage import master_keys
from conduit.gateway.storage.engine import writing


async def _rotate(call: Call[MasterKeyRotation, None]) -> RotatedMasterKey:
    """The present key is good until the grace is over; one before it ends at once."""
    admin, grace_ms = call.admin, call.body.grace_s * 1000
    if admin.master.supplied_by is not None:
        raise ConflictError(
            f"the master key comes from {admin.master.supplied_by}, where only its owner can "
            "replace it",
            hint="make one with conduit auth init, put it there, and restart the gateway",
        )
    secret, at_ms = make_master_key(), now_ms()
    ends_at_ms = at_ms + grace_ms if grace_ms else None
    async with admin.master.rotating:  # what is adopted last is what was stored last
        async with writing(admin.database) as connection:
            stored = await master_keys.rotate(connection, digest_of(secret), at_ms, ends_at_ms)
        admin.master.adopt(MasterDigest(each.digest, each.expires_at_ms) for each in stored)
    facts = {"former_expires_at_ms": ends_at_ms}
    admin.bus.publish(EventKind.MASTER_KEY_ROTATED, facts)
    return RotatedMasterKey(secret=secret, former_expires_at=time_text(ends_at_ms))


OPERATIONS = (
    AdminOperation(
        "auth.rotate_master",
        "POST",
        "/admin/auth/rotate-master",
        "Give the gateway a new master key",
        _rotate,
        RotatedMasterKey,
        body=MasterKeyRotation,
        secret=True,
        errors=(ConflictError,),
    ),
)
