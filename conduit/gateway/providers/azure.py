"""Azure OpenAI (Foundry): the v1 interface, and the dated one with a path for each deployment.

An endpoint may lie behind a gateway of the operator's own: whatever stands before `/openai` in the
base URL is kept. The model is the deployment's name, `model-router` too, whose answers name the
model that was chosen.

Sources: learn.microsoft.com/azure/foundry/openai/api-version-lifecycle and
learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from conduit.core.errors import InvalidRequestError, UpstreamAuthError
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

API_VERSION: Final = "2024-10-21"
"""The newest dated version that is no preview."""

_AUTHORITY: Final = "https://login.microsoftonline.com"
_VERSION = re.compile(r"20\d\d-\d\d-\d\d(?:-preview)?")
_ACCESS_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9.-]+")
_FORMS: Final = (
    "API_KEY",
    '{"tenant_id", "client_id", "client_secret", "authority"?, "scope"?}',
)
# Reasoning models refuse `max_tokens`, and the others take both.
_QUIRKS: Final = Quirks(output_cap_field="max_completion_tokens")


class _ServicePrincipal(msgspec.Struct, forbid_unknown_fields=True):
    """A service principal; the names in `_AS_PRINTED` are those of `az ad sp create-for-rbac`."""

    tenant_id: str
    client_id: str
    client_secret: str
    authority: str = _AUTHORITY
    scope: str | None = None


_AS_PRINTED: Final = {"tenant": "tenant_id", "appId": "client_id", "password": "client_secret"}


class Azure:
    """The v1 interface: OpenAI's own paths below `https://RESOURCE.openai.azure.com/openai/v1`."""

    type: Final = ProviderType(
        name="azure",
        title="Azure OpenAI",
        dialect=openai_chat.NAME,
        default_base_url=None,
        environment=("AZURE_OPENAI_API_KEY",),
        credential_forms=_FORMS,
        prices="azure",
        quirks=_QUIRKS,
        base_url_form="https://RESOURCE.openai.azure.com/openai/v1",
    )
    scope: Final = "https://ai.azure.com/.default"

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return PATHS[operation]

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return _headers(credential)

    def token_request(self, credential: str, now_s: int) -> TokenRequest | None:
        return _token_request(credential, self.scope)


class AzureDeployments:
    """The dated interface below `https://RESOURCE.openai.azure.com/openai`.

    A model is a deployment's name, or `NAME@VERSION` for another version than `API_VERSION`.
    """

    type: Final = ProviderType(
        name="azure_deployments",
        title="Azure OpenAI (deployments, dated API)",
        dialect=openai_chat.NAME,
        default_base_url=None,
        environment=("AZURE_OPENAI_API_KEY",),
        credential_forms=_FORMS,
        prices="azure",
        quirks=_QUIRKS,
        models_path=f"/models?api-version={API_VERSION}",
        base_url_form="https://RESOURCE.openai.azure.com/openai",
    )
    scope: Final = "https://cognitiveservices.azure.com/.default"

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        deployment, _, version = model.partition("@")
        version = version or API_VERSION
        if _VERSION.fullmatch(version) is None:
            raise InvalidRequestError(f'"{version}" is no version of the API', param="model")
        start = f"/deployments/{path_segment(deployment)}"
        return f"{start}{PATHS[operation]}?api-version={version}"

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return _headers(credential)

    def token_request(self, credential: str, now_s: int) -> TokenRequest | None:
        return _token_request(credential, self.scope)


def _headers(credential: str | None) -> Mapping[str, str]:
    if credential is None:
        return {}
    credential = credential.strip()
    if credential.startswith("{"):
        raise UpstreamAuthError(
            "The credential is a service principal, and no token was got for it"
        )
    if _ACCESS_TOKEN.fullmatch(credential):
        return bearer(credential)
    return {"api-key": credential}


def _token_request(credential: str, scope: str) -> TokenRequest | None:
    if not credential.lstrip().startswith("{"):
        return None
    principal = _principal(credential)
    authority = principal.authority.rstrip("/")
    if urlsplit(authority).scheme != "https" or _TENANT.fullmatch(principal.tenant_id) is None:
        raise _malformed("the authority must be https, and the tenant a name or an id")
    return TokenRequest(
        f"{authority}/{principal.tenant_id}/oauth2/v2.0/token",
        {
            "grant_type": "client_credentials",
            "client_id": principal.client_id,
            "client_secret": principal.client_secret,
            "scope": principal.scope or scope,
        },
    )


def _principal(credential: str) -> _ServicePrincipal:
    try:
        fields = msgspec.json.decode(credential, type=dict[str, str])
        fields.pop("displayName", None)
        return msgspec.convert(
            {_AS_PRINTED.get(name, name): value for name, value in fields.items()},
            type=_ServicePrincipal,
        )
    except msgspec.DecodeError:  # its text may hold what was written
        raise _malformed(f"it is not {_FORMS[1]}") from None


def _malformed(detail: str) -> UpstreamAuthError:
    return UpstreamAuthError(
        f"The credential cannot be used with Azure: {detail}", hint=f"store it as {_FORMS[1]}"
    )


PROVIDERS: Final[tuple[Provider, ...]] = (Azure(), AzureDeployments())
