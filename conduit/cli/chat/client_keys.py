"""The virtual key that a command calls the gateway with, as a client would."""

from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.cli.inputs import SecretSource, read_secret
from conduit.client.contexts import sendable_key


def virtual_key(call: Call, source: SecretSource) -> str:
    """The key that options name, else the environment's or the context's. Raises Failure."""
    given = read_secret(source)
    key = sendable_key(given, "the virtual key") if given else call.where.virtual_key
    if key is None:
        raise Failure(
            f"no virtual key is known for {call.where.url}",
            code="no_credentials",
            exit_code=Exit.NOT_PERMITTED,
            hint="CONDUIT_API_KEY, --key-file, or make one: conduit keys create NAME",
        )
    return key
