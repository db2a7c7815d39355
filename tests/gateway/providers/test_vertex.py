import json
from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from conduit.core.errors import InvalidRequestError, UpstreamAuthError
from conduit.gateway.dialects.openai.rules import with_envelope
from conduit.gateway.provider import Operation, OutgoingRequest, TokenProvider
from conduit.gateway.providers.vertex import Vertex, VertexAnthropic, VertexOpenAI, base_url_of

REQUEST = OutgoingRequest("POST", "https://aiplatform.googleapis.com/v1/x")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


ACCOUNT = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "k1",
    "private_key": pem(KEY),
    "client_email": "conduit@p.iam.gserviceaccount.com",
    "client_id": "1",
    "token_uri": "https://oauth2.googleapis.com/token",
    "universe_domain": "googleapis.com",
}


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
    ],
)
def test_a_location_has_a_host_of_its_own(location: str, host: str) -> None:
    assert base_url_of("p", location) == f"https://{host}/v1/projects/p/locations/{location}"


@pytest.mark.parametrize(
    ("vertex", "model", "whole", "streamed"),
    [
        (
            Vertex(),
            "gemini-2.5-pro",
            "/publishers/google/models/gemini-2.5-pro:generateContent",
            "/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        (
            VertexAnthropic(),
            "claude-sonnet-4-5@20250929",
            "/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
            "/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
        ),
        (
            VertexOpenAI(),
            "meta/llama-3.3-70b-instruct-maas",
            "/endpoints/openapi/chat/completions",
            "/endpoints/openapi/chat/completions",
        ),
    ],
)
def test_a_path_says_the_publisher_the_model_and_whether_it_streams(
    vertex: Vertex, model: str, whole: str, streamed: str
) -> None:
    assert vertex.path(Operation.CHAT, model) == whole
    assert vertex.path(Operation.CHAT, model, stream=True) == streamed


def test_a_name_that_would_leave_its_place_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        Vertex().path(Operation.CHAT, "..")


def test_a_body_for_claude_has_its_version_and_no_model() -> None:
    body = with_envelope(b'{"model":"claude","max_tokens":9}', VertexAnthropic().type.quirks)
    assert json.loads(body) == {"max_tokens": 9, "anthropic_version": "vertex-2023-10-16"}


async def test_each_kind_of_credential_has_its_header() -> None:
    vertex = Vertex()
    assert await vertex.authorize(None, REQUEST) == {}
    assert await vertex.authorize("AIzaX", REQUEST) == {"x-goog-api-key": "AIzaX"}
    assert await vertex.authorize("ya29.x", REQUEST) == {"authorization": "Bearer ya29.x"}
    assert vertex.token_request("AIzaX", 0) is None
    with pytest.raises(UpstreamAuthError) as raised:
        await vertex.authorize(json.dumps(ACCOUNT), REQUEST)
    assert "PRIVATE KEY" not in str(raised.value)


def test_a_service_account_signs_what_it_asks_for() -> None:
    vertex = Vertex()
    assert isinstance(vertex, TokenProvider)
    request = vertex.token_request(json.dumps(ACCOUNT), 1_763_600_000)
    assert request is not None
    assert request.url == "https://oauth2.googleapis.com/token"
    assert request.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    header, claims, signature = request.form["assertion"].split(".")
    KEY.public_key().verify(decoded(signature), f"{header}.{claims}".encode(), PKCS1v15(), SHA256())
    assert json.loads(decoded(header)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert json.loads(decoded(claims)) == {
        "iss": "conduit@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": 1_763_600_000,
        "exp": 1_763_603_600,
    }


def test_a_users_own_login_refreshes_its_token() -> None:
    user = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "quota_project_id": "p",
    }
    request = VertexAnthropic().token_request(json.dumps(user), 0)
    assert request is not None
    assert request.url == "https://oauth2.googleapis.com/token"
    assert request.form == {
        "grant_type": "refresh_token",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
    }


@pytest.mark.parametrize(
    "credential",
    [
        "{",
        "{}",
        json.dumps(ACCOUNT | {"type": "external_account"}),
        json.dumps(ACCOUNT | {"token_uri": "http://oauth2.example.com/token"}),
        json.dumps(ACCOUNT | {"private_key": "SECRET"}),
        json.dumps(ACCOUNT | {"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}),
    ],
)
def test_a_credential_of_another_form_is_refused_without_a_word_of_it(credential: str) -> None:
    with pytest.raises(UpstreamAuthError) as raised:
        Vertex().token_request(credential, 0)
    said = f"{raised.value} {raised.value.hint}"
    assert "SECRET" not in said
    assert "PRIVATE KEY" not in said


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
