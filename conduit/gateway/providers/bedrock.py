"""Amazon Bedrock, by its Converse interface."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from conduit.core.errors import UpstreamAuthError
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.provider import Operation, OutgoingRequest, Provider, ProviderType
from conduit.gateway.providers._sigv4 import AccessKey, Scope, signed_headers

_SERVICE: Final = "bedrock"
# As they are for the public endpoints (FIPS and dual stack too) and for those within a VPC.
_HOST = re.compile(
    r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\."
    r"(?:vpce\.)?(?:amazonaws\.com|api\.aws|amazonaws\.com\.cn|api\.amazonwebservices\.com\.cn)$"
)
_ACCESS_KEY = re.compile(r"(\w{16,128}):([^:\s]+)(?::(\S+))?", re.ASCII)
_KEY_FIELDS: Final = frozenset({"access_key_id", "secret_access_key", "session_token", "region"})


class Bedrock:
    """Amazon Bedrock's runtime in one region; `clock` gives the time in UTC.

    A credential is an API key of Bedrock's own, or an access key, with which every request is
    signed. The region is that of the base URL; where the base URL is not Amazon's, it must stand in
    the credential.
    """

    type: Final = ProviderType(
        name="bedrock",
        title="Amazon Bedrock",
        dialect="bedrock_converse",
        default_base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
        environment=("AWS_BEARER_TOKEN_BEDROCK",),
        credential_forms=(
            "API_KEY",
            "ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]",
            '{"access_key_id", "secret_access_key", "session_token"?, "region"?}',
        ),
        operations=frozenset({Operation.CHAT}),
        prices="aws",
        models_path=None,  # the host that lists them is another one, which has other permissions
        bills_cancelled=True,
    )

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        """The model's id or ARN is one segment of the path, whatever stands in it."""
        return f"/model/{quote(model, safe='-_.~')}/{'converse-stream' if stream else 'converse'}"

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        if credential is None:
            return {}
        found = _access_key(credential.strip())
        if found is None:
            return {"authorization": f"Bearer {credential.strip()}"}
        key, region = found
        scope = Scope(region or _region(request.url), _SERVICE, self._clock())
        return signed_headers(request.method, request.url, request.body, key, scope)


def _access_key(credential: str) -> tuple[AccessKey, str | None] | None:
    """The access key and the region in a credential; None where it is an API key."""
    if credential.startswith("{"):
        return _from_json(read_json(credential.encode()))
    if ":" not in credential:  # Bedrock's own keys are base64 with a word before it
        return None
    match = _ACCESS_KEY.fullmatch(credential)
    if match is None:
        raise _malformed("it is not ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]")
    return AccessKey(*match.groups()), None


def _from_json(fields: Any) -> tuple[AccessKey, str | None]:  # noqa: ANN401  # JSON
    if not isinstance(fields, dict) or not all(
        isinstance(value, str | None) for value in fields.values()
    ):
        raise _malformed("it is not a JSON object of texts")
    if fields.keys() - _KEY_FIELDS:  # not named: what stands in the wrong place may be the secret
        raise _malformed(f"only {', '.join(sorted(_KEY_FIELDS))} may be in it")
    access_key_id, secret = fields.get("access_key_id"), fields.get("secret_access_key")
    if not access_key_id or not secret:
        raise _malformed('"access_key_id" and "secret_access_key" must be in it')
    key = AccessKey(access_key_id, secret, fields.get("session_token") or None)
    return key, fields.get("region") or None


def _region(url: str) -> str:
    match = _HOST.search(urlsplit(url).hostname or "")
    if match is None:
        raise _malformed("the base URL names no region of AWS, so the credential must")
    return match[1]


_WITH_REGION: Final = 'store it as {"access_key_id": …, "secret_access_key": …, "region": …}'


def _malformed(detail: str) -> UpstreamAuthError:
    return UpstreamAuthError(
        f"The credential cannot be used with Amazon Bedrock: {detail}", hint=_WITH_REGION
    )


PROVIDERS: Final[tuple[Provider, ...]] = (Bedrock(),)
