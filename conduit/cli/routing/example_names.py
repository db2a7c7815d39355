"""A name that can be pasted after `conduit chat -m`, of an alias that may end in a star."""

import shlex
from collections.abc import Sequence

from conduit.cli.call import Call
from conduit.cli.chat.models import may_chat
from conduit.client.api import Record
from conduit.client.blocking import Timeouts
from conduit.client.errors import ClientError
from conduit.core.aliases import is_one_model, name_asking_for

_OFFER_S = 3.0


def first_question(call: Call, mapping: Record) -> str | None:
    """The command that asks what a mapping serves; None where no name of it is known."""
    name = example_name(call, mapping)
    return None if name is None else f'conduit chat -m {shlex.quote(name)} "hello"'


def example_name(call: Call, mapping: Record) -> str | None:
    """A name that clients may use for an alias: what a provider offers in the place of a star."""
    alias: str = mapping["alias"]
    if not alias.endswith("*"):
        return alias
    start = alias[:-1]
    for target in mapping["targets"]:
        asked: str = target["model"]
        if is_one_model(asked):  # whatever stands for the star is sent there
            return start + asked.rpartition("/")[2]
        for model in filter(may_chat, _offered(call, target["provider"])):
            if (name := name_asking_for(model, alias, asked)) is not None:
                return name
    return None


def _offered(call: Call, provider: str) -> Sequence[str]:
    """The models of a provider that answers soon."""
    timeouts = Timeouts(connect_s=_OFFER_S, total_s=_OFFER_S, retries=0)
    try:
        gateway = call.gateway_at(call.target, timeouts)
        return [str(row["model"]) for row in gateway.call("providers.models", provider)["data"]]
    except ClientError:
        return ()
