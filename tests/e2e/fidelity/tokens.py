"""The token endpoints of Microsoft Entra and Google, over TLS, behind an egress proxy."""

import json
import ssl
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes.certificates import Authority
from tests.fakes.proxying import ProxyServer

ENTRA: Final = "login.microsoftonline.com"
GOOGLE: Final = "oauth2.googleapis.com"
TENANT: Final = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
SECRET: Final = "s3cr3t~of.the-principal"
KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ACCOUNT: Final = "conduit@conduit-test.iam.gserviceaccount.com"

PRINCIPAL: Final = {"tenant_id": TENANT, "client_id": "c1", "client_secret": SECRET}
SERVICE_ACCOUNT: Final = {
    "type": "service_account",
    "project_id": "conduit-test",
    "private_key_id": "k1",
    "private_key": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "client_email": ACCOUNT,
    "token_uri": f"https://{GOOGLE}/token",
}
USER: Final = {
    "type": "authorized_user",
    "client_id": "id.apps.googleusercontent.com",
    "client_secret": "d-secret",
    "refresh_token": "1//refresh",
}


@dataclass(slots=True)
class TokenEndpoints:
    """Gives a token to those who ask as they must; `asked` are the names that asked, in order.

    `give` learns of each token before it goes out. `environment` leads a gateway here.
    """

    give: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(request.host)
        wrong = (
            _wrong_principal(request.path, form) if request.host == ENTRA else _wrong_google(form)
        )
        if wrong is not None:
            error = {"error": "invalid_client", "error_description": f"{wrong} {form}"}
            return web.json_response(error, status=401)
        token = f"token-{len(self.asked)}-of-{request.host}"
        self.give(token)
        answer = {"token_type": "Bearer", "expires_in": 3599, "access_token": token}
        return web.json_response(answer)


def _wrong_principal(path: str, form: Mapping[str, str]) -> str | None:
    scopes = ("https://ai.azure.com/.default", "https://cognitiveservices.azure.com/.default")
    right = {
        "grant_type": "client_credentials",
        "client_id": PRINCIPAL["client_id"],
        "client_secret": SECRET,
    }
    if path != f"/{TENANT}/oauth2/v2.0/token":
        return "AADSTS90002: no such tenant."
    if form.get("scope") not in scopes:
        return "AADSTS70011: The provided value for the input parameter 'scope' is not valid."
    if {name: value for name, value in form.items() if name != "scope"} != right:
        return "AADSTS7000215: Invalid client secret provided."
    return None


def _wrong_google(form: Mapping[str, str]) -> str | None:
    if form.get("grant_type") == "refresh_token":
        given = {name: form.get(name) for name in ("client_id", "client_secret", "refresh_token")}
        return None if given == {name: USER[name] for name in given} else "Unauthorized"
    if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
        return "unsupported grant"
    head, claims, signature = form["assertion"].split(".")
    try:
        KEY.public_key().verify(
            _bytes(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256()
        )
    except InvalidSignature:
        return "Invalid JWT Signature."
    told = json.loads(_bytes(claims))
    right: dict[str, Any] = {
        "iss": ACCOUNT,
        "aud": f"https://{GOOGLE}/token",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
    }
    if {name: told.get(name) for name in right} != right or told["exp"] - told["iat"] > 3600:
        return "Invalid JWT."
    return None if json.loads(_bytes(head)).get("alg") == "RS256" else "Invalid JWT algorithm."


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@asynccontextmanager
async def token_endpoints(
    folder: Path, give: Callable[[str], None]
) -> AsyncIterator[TokenEndpoints]:
    """Both endpoints on one port, and the proxy that leads to it whatever host it is asked for."""
    authority = Authority(folder)
    trusted = folder / "authority.pem"
    trusted.write_text(authority.pem)
    contexts = {host: authority.server_context(host) for host in (ENTRA, GOOGLE)}

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts[name or ENTRA]

    context = authority.server_context(ENTRA)
    context.sni_callback = choose
    endpoints = TokenEndpoints(give)
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoints.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        async with ProxyServer(runner.addresses[0][1]) as proxy:
            endpoints.environment = {
                "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
                "NO_PROXY": "127.0.0.1",
                "CONDUIT_PROXY_FROM_ENVIRONMENT": "true",
                "SSL_CERT_FILE": str(trusted),
            }
            yield endpoints
    finally:
        await runner.cleanup()
