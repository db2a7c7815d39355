"""`conduit-tui --show-virtual-key`: the key of its chats, with what the gateway knows of it."""

from conduit.client.api import Record
from conduit.client.blocking import Gateway, Timeouts
from conduit.client.blocking import Target as Address
from conduit.client.errors import ApiError
from conduit.core.keys import digest_of
from conduit.tui.chat import chat_key
from conduit.tui.state.session import Target


def shown(target: Target) -> tuple[str, list[str]]:
    """The key and its details: the one that is known for the gateway, else one made now.

    Raises ClientError.
    """
    address = Address(target.admin_url, target.master_key, target.tls)
    gateway = Gateway(address, Timeouts(retries=0))
    if target.virtual_key is not None:
        known = _checked(gateway, target.virtual_key)
        return target.virtual_key, chat_key.details_of(known, target.core_url)
    if target.read_only:
        message = f"context {target.name!r} is read-only, and knows no virtual key"
        raise ApiError("permission_denied", message, status=403)
    made = gateway.call("keys.create", body=chat_key.new_chat_key())
    details = chat_key.details_of(made, target.core_url)
    if chat_key.keep(target, made["secret"]):
        details.append(f"kept     for context {target.name}")
    else:
        details.append("kept     nowhere: it is shown this once")
    return made["secret"], details


def _checked(gateway: Gateway, secret: str) -> Record:
    """What the gateway knows of a key, which is looked up by its digest and not sent."""
    return gateway.call("keys.check", body={"digest": digest_of(secret).hex()})
