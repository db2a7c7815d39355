"""Amazon Bedrock as a provider: its paths, its regions, its credentials."""

import json
from datetime import UTC, datetime

import pytest

from conduit.core.errors import UpstreamAuthError
from conduit.gateway.provider import Operation, OutgoingRequest
from conduit.gateway.providers._sigv4 import AccessKey, Scope, signed_headers
from conduit.gateway.providers.bedrock import Bedrock
from conduit.gateway.upstream import Deadlines
from conduit.gateway.upstream.aiohttp_client import AiohttpUpstreams
from conduit.gateway.upstream.http1 import Http1Upstreams
from tests.fakes.scripted import ScriptedServer

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BEDROCK = Bedrock(clock=lambda: NOW)
ID, SECRET = "AKIDEXAMPLE000000000", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
URL = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse"
REQUEST = OutgoingRequest("POST", URL, b'{"messages":[]}')


def signed(region: str, request: OutgoingRequest = REQUEST, token: str | None = None) -> object:
    scope = Scope(region, "bedrock", NOW)
    key = AccessKey(ID, SECRET, token)
    return signed_headers(request.method, request.url, request.body, key, scope)


@pytest.mark.parametrize(
    ("model", "segment"),
    [
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1%3A0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fab12",
        ),
        ("a b/../ü?#", "a%20b%2F..%2F%C3%BC%3F%23"),
    ],
)
def test_a_model_is_one_segment_of_the_path(model: str, segment: str) -> None:
    assert BEDROCK.path(Operation.CHAT, model) == f"/model/{segment}/converse"
    streamed = BEDROCK.path(Operation.CHAT, model, stream=True)
    assert streamed == f"/model/{segment}/converse-stream"


@pytest.mark.parametrize("key", ["ABSKQmVkcm9ja0FQSUtleQ==", "bedrock-api-key-YmVkcm9jaw=="])
async def test_an_api_key_is_a_bearer_token(key: str) -> None:
    found = await BEDROCK.authorize(f" {key}\n", REQUEST)
    assert found == {"authorization": f"Bearer {key}"}


async def test_without_a_credential_nothing_is_added() -> None:
    assert await BEDROCK.authorize(None, REQUEST) == {}


@pytest.mark.parametrize(
    ("credential", "region", "token"),
    [
        (f"{ID}:{SECRET}", "eu-west-1", None),
        (f"{ID}:{SECRET}:IQoJ/b3==", "eu-west-1", "IQoJ/b3=="),
        (json.dumps({"access_key_id": ID, "secret_access_key": SECRET}), "eu-west-1", None),
        (
            json.dumps(
                {
                    "access_key_id": ID,
                    "secret_access_key": SECRET,
                    "session_token": "t",
                    "region": "ap-south-1",
                }
            ),
            "ap-south-1",
            "t",
        ),
        (
            json.dumps({"access_key_id": ID, "secret_access_key": SECRET, "session_token": None}),
            "eu-west-1",
            None,
        ),
    ],
)
async def test_an_access_key_signs_the_request(
    credential: str, region: str, token: str | None
) -> None:
    assert await BEDROCK.authorize(credential, REQUEST) == signed(region, token=token)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.eu-central-1.api.aws", "eu-central-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("bedrock-runtime-fips.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"),
        ("vpce-0a-1b.bedrock-runtime.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
    ],
)
async def test_the_region_is_that_of_the_base_url(host: str, region: str) -> None:
    request = OutgoingRequest("POST", f"https://{host}/model/m/converse", b"{}")
    assert await BEDROCK.authorize(f"{ID}:{SECRET}", request) == signed(region, request)


async def test_behind_another_address_its_prefix_is_signed_and_the_region_is_the_credentials() -> (
    None
):
    request = OutgoingRequest("POST", "https://gate.example:8443/aws/model/m%3A0/converse", b"{}")
    fields = {"access_key_id": ID, "secret_access_key": SECRET, "region": "us-west-2"}
    found = await BEDROCK.authorize(json.dumps(fields), request)
    assert found == signed("us-west-2", request)


@pytest.mark.parametrize(
    "host", ["gate.example", "bedrock-runtime.us-east-1.amazonaws.com.evil.io"]
)
async def test_a_signature_needs_a_region(host: str) -> None:
    request = OutgoingRequest("POST", f"https://{host}/model/m/converse", b"{}")
    with pytest.raises(UpstreamAuthError, match="region"):
        await BEDROCK.authorize(f"{ID}:{SECRET}", request)


@pytest.mark.parametrize(
    "credential",
    [
        f"short:{SECRET}",
        f"{ID}:{SECRET} with blanks",
        "{",
        '{"access_key_id": 1, "secret_access_key": "x"}',
        '{"access_key_id": "AKIDEXAMPLE000000000"}',
        json.dumps({"access_key_id": ID, "secret_access_key": SECRET, SECRET: "x"}),
    ],
)
async def test_a_malformed_credential_is_sent_nowhere_and_not_shown(credential: str) -> None:
    with pytest.raises(UpstreamAuthError) as caught:
        await BEDROCK.authorize(credential, REQUEST)
    shown = caught.value.message + (caught.value.hint or "")
    assert SECRET not in shown
    assert ID not in shown


@pytest.mark.parametrize("client", [AiohttpUpstreams, Http1Upstreams])
async def test_what_is_signed_is_what_is_sent(
    client: type[AiohttpUpstreams | Http1Upstreams],
) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    upstreams = client()
    async with ScriptedServer(answer) as server:
        path = BEDROCK.path(Operation.CHAT, "arn:aws:x/y.z-v1:0")
        endpoint = upstreams.endpoint(server.base_url(), allow_private=True)
        response = await endpoint.send(path, b"{}", {}, Deadlines())
        response.close()
        await upstreams.close()
    lines = server.heads[0].split(b"\r\n")
    assert lines[0] == b"POST /v1/model/arn%3Aaws%3Ax%2Fy.z-v1%3A0/converse HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in lines
