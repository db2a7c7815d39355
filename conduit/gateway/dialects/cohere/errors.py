"""Errors of Cohere's API, whose body is `{"message": …}`, as our own."""

from collections.abc import Mapping
from typing import Final

from conduit.core.errors import ConduitError
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai import errors as openai_errors
from conduit.gateway.dialects.openai.errors import Scrub, reported_error, scrub

# docs.cohere.com/reference/errors: the request was cancelled on its way, and may be sent again.
_CANCELLED: Final = 499


def decode_error(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets_scrub: Scrub = scrub
) -> ConduitError:
    """What a provider's error answer means for our caller."""
    if status == _CANCELLED:
        return reported_error(read_json(body), secrets_scrub=secrets_scrub)
    return openai_errors.decode_error(status, headers, body, secrets_scrub=secrets_scrub)
