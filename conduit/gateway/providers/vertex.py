"""Google's Vertex AI (Agent Platform): Gemini, Claude, and partners' models in OpenAI's format.

The base URL holds project and location, as `base_url_of` writes it; with an API key of express mode
it is `https://aiplatform.googleapis.com/v1`.

Sources: learn/locations, partner-models/claude, start/openai and start/express-mode below
docs.cloud.google.com/vertex-ai/generative-ai/docs, and
developers.google.com/identity/protocols/oauth2/service-account.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from conduit.core.errors import UpstreamAuthError
from conduit.gateway.dialects.openai.http import PATHS, bearer
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.provider import (
    Operation,
    OutgoingRequest,
    Provider,
    ProviderType,
    Quirks,
    TokenRequest,
    path_segment,
)

ANTHROPIC_VERSION: Final = "vertex-2023-10-16"

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"
_ASSERTION_LIFE_S: Final = 3600
_CHAT: Final = frozenset({Operation.CHAT})
_FORMS: Final = (
    "the JSON of a service account's key",
    "the JSON that gcloud auth application-default login writes",
    "API_KEY of express mode",
)
_BASE_URL_FORM: Final = (
    "https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION"
)


def base_url_of(project: str, location: str) -> str:
    """The base URL of a project's models at a location: a region, "global", "us" or "eu"."""
    match location:
        case "global":
            host = "aiplatform.googleapis.com"
        case "us" | "eu":
            host = f"aiplatform.{location}.rep.googleapis.com"
        case _:
            host = f"{location}-aiplatform.googleapis.com"
    return f"https://{host}/v1/projects/{project}/locations/{location}"


class _Vertex:
    """What the three have in common: how they authenticate."""

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        if credential is None:
            return {}
        credential = credential.strip()
        if credential.startswith("{"):
            raise UpstreamAuthError("The credential is a key file, and no token was got for it")
        if credential.startswith("ya29."):  # an access token that somebody else renews
            return bearer(credential)
        return {"x-goog-api-key": credential}

    def token_request(self, credential: str, now_s: int) -> TokenRequest | None:
        if not credential.lstrip().startswith("{"):
            return None
        return _token_request(credential, now_s)


class Vertex(_Vertex):
    """Gemini on Vertex AI."""

    type: Final = ProviderType(
        name="vertex",
        title="Vertex AI (Gemini)",
        dialect="gemini",
        default_base_url=None,
        credential_forms=_FORMS,
        operations=_CHAT,
        prices="google",
        models_path=None,
        base_url_form=_BASE_URL_FORM,
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/publishers/google/models/{path_segment(model)}:{method}"


class VertexAnthropic(_Vertex):
    """Claude on Vertex AI: Anthropic's messages, the model in the path."""

    type: Final = ProviderType(
        name="vertex_anthropic",
        title="Vertex AI (Claude)",
        dialect="anthropic_messages",
        default_base_url=None,
        credential_forms=_FORMS[:2],
        operations=_CHAT,
        prices="google",
        quirks=Quirks(model_in_body=False, added={"anthropic_version": ANTHROPIC_VERSION}),
        models_path=None,
        base_url_form=_BASE_URL_FORM,
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        method = "streamRawPredict" if stream else "rawPredict"
        return f"/publishers/anthropic/models/{path_segment(model)}:{method}"


class VertexOpenAI(_Vertex):
    """Partners' and open models on Vertex AI; a model is named `PUBLISHER/MODEL`."""

    type: Final = ProviderType(
        name="vertex_openai",
        title="Vertex AI (OpenAI-compatible)",
        dialect=openai_chat.NAME,
        default_base_url=None,
        credential_forms=_FORMS[:2],
        operations=_CHAT,
        prices="google",
        models_path=None,
        base_url_form=_BASE_URL_FORM,
    )

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return f"/endpoints/openapi{PATHS[operation]}"


class _KeyFile(msgspec.Struct):
    """The fields of Google's two kinds of credential files that a token is asked for with."""

    type: str
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    token_uri: str = _TOKEN_URI
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""


def _token_request(credential: str, now_s: int) -> TokenRequest:
    try:
        key = msgspec.json.decode(credential, type=_KeyFile)
    except msgspec.DecodeError:  # its text may hold what was written
        raise _malformed("it is not the JSON of a key file") from None
    if urlsplit(key.token_uri).scheme != "https":
        raise _malformed("its token_uri is not https")
    match key.type:
        case "service_account":
            grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
            form = {"grant_type": grant, "assertion": _assertion(key, now_s)}
        case "authorized_user":
            form = {
                "grant_type": "refresh_token",
                "client_id": key.client_id,
                "client_secret": key.client_secret,
                "refresh_token": key.refresh_token,
            }
        case _:
            raise _malformed("its type is neither service_account nor authorized_user")
    return TokenRequest(key.token_uri, form)


def _assertion(key: _KeyFile, now_s: int) -> str:
    """A JSON web token (RFC 7523), signed by RS256 with the service account's key."""
    header = {"alg": "RS256", "typ": "JWT", "kid": key.private_key_id}
    claims = {
        "iss": key.client_email,
        "scope": _SCOPE,
        "aud": key.token_uri,
        "iat": now_s,
        "exp": now_s + _ASSERTION_LIFE_S,
    }
    signed = b".".join(_base64(msgspec.json.encode(part)) for part in (header, claims))
    # Deferred: most gateways have no such account, and the library is large.
    from conduit.gateway.providers._service_account import rs256_signature  # noqa: PLC0415

    try:
        signature = rs256_signature(key.private_key, signed)
    except ValueError as error:
        raise _malformed(str(error)) from None
    return b".".join((signed, _base64(signature))).decode()


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _malformed(detail: str) -> UpstreamAuthError:
    return UpstreamAuthError(
        f"The credential cannot be used with Vertex AI: {detail}",
        hint="store the JSON of a service account's key as it was downloaded",
    )


PROVIDERS: Final[tuple[Provider, ...]] = (Vertex(), VertexAnthropic(), VertexOpenAI())
