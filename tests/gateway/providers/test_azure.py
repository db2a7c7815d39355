import json

import pytest

from conduit.core.errors import InvalidRequestError, UpstreamAuthError
from conduit.gateway.provider import Operation, OutgoingRequest, TokenProvider
from conduit.gateway.providers.azure import API_VERSION, Azure, AzureDeployments

REQUEST = OutgoingRequest("POST", "https://example.openai.azure.com/openai/v1/chat/completions")
PRINCIPAL = {"tenant_id": "t-1", "client_id": "c-1", "client_secret": "s-1"}
KINDS = [Azure(), AzureDeployments()]


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        (Operation.CHAT, "/chat/completions"),
        (Operation.COMPLETION, "/completions"),
        (Operation.EMBEDDING, "/embeddings"),
    ],
)
def test_a_deployment_stands_in_the_path_of_the_dated_interface_alone(
    operation: Operation, path: str
) -> None:
    assert Azure().path(operation, "mine") == path
    dated = AzureDeployments().path(operation, "mine")
    assert dated == f"/deployments/mine{path}?api-version={API_VERSION}"


def test_a_deployment_may_name_its_version() -> None:
    path = AzureDeployments().path(Operation.CHAT, "my/one@2025-04-01-preview", stream=True)
    assert path == "/deployments/my%2Fone/chat/completions?api-version=2025-04-01-preview"


@pytest.mark.parametrize("model", ["mine@", "mine@1", "mine@2025-04-01&x=1", "..", ""])
def test_a_name_that_would_leave_its_place_is_refused(model: str) -> None:
    if model == "mine@":
        assert AzureDeployments().path(Operation.CHAT, model).endswith(API_VERSION)
        return
    with pytest.raises(InvalidRequestError):
        AzureDeployments().path(Operation.CHAT, model)


@pytest.mark.parametrize("azure", KINDS)
async def test_a_key_and_a_token_have_headers_of_their_own(azure: Azure) -> None:
    assert await azure.authorize(None, REQUEST) == {}
    assert await azure.authorize("0f" * 16, REQUEST) == {"api-key": "0f" * 16}
    token = "eyJ0eXAi.eyJhdWQi.c2ln"
    assert await azure.authorize(token, REQUEST) == {"authorization": f"Bearer {token}"}
    assert azure.token_request("0f" * 16, 0) is None


@pytest.mark.parametrize("azure", KINDS)
async def test_a_service_principal_never_leaves_as_a_key(azure: Azure) -> None:
    with pytest.raises(UpstreamAuthError) as raised:
        await azure.authorize(json.dumps(PRINCIPAL), REQUEST)
    assert "s-1" not in str(raised.value)


@pytest.mark.parametrize("azure", KINDS)
@pytest.mark.parametrize(
    "credential",
    [
        PRINCIPAL,
        {"tenant": "t-1", "appId": "c-1", "password": "s-1", "displayName": "conduit"},
    ],
)
def test_a_service_principal_asks_for_a_token(azure: Azure, credential: dict[str, str]) -> None:
    assert isinstance(azure, TokenProvider)
    request = azure.token_request(json.dumps(credential), 0)
    assert request is not None
    assert request.url == "https://login.microsoftonline.com/t-1/oauth2/v2.0/token"
    assert request.form == {
        "grant_type": "client_credentials",
        "client_id": "c-1",
        "client_secret": "s-1",
        "scope": azure.scope,
    }


def test_another_cloud_has_another_authority_and_scope() -> None:
    other = {"authority": "https://login.microsoftonline.us/", "scope": "https://x/.default"}
    request = Azure().token_request(json.dumps(PRINCIPAL | other), 0)
    assert request is not None
    assert request.url == "https://login.microsoftonline.us/t-1/oauth2/v2.0/token"
    assert request.form["scope"] == "https://x/.default"


@pytest.mark.parametrize(
    "credential",
    [
        "{",
        "{}",
        json.dumps(PRINCIPAL | {"client_secret": 1}),
        json.dumps(PRINCIPAL | {"clent_secret": "s-1"}),
        json.dumps(PRINCIPAL | {"authority": "http://login.example.com"}),
        json.dumps(PRINCIPAL | {"tenant_id": "t/../x"}),
    ],
)
def test_a_credential_of_another_form_is_refused_without_a_word_of_it(credential: str) -> None:
    with pytest.raises(UpstreamAuthError) as raised:
        Azure().token_request(credential, 0)
    assert "s-1" not in f"{raised.value} {raised.value.hint}"
    assert raised.value.__cause__ is None
