"""TLS of the blocking transport: certificates are checked, against own authorities if told so."""

import datetime
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conduit.client.blocking import Gateway, Target, Timeouts
from conduit.client.contexts import TlsFiles
from conduit.client.errors import Unreachable

QUICK = Timeouts(connect_s=5, total_s=5, retries=0)


class Whoami(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Whoami)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_unknown_certificate_is_refused(url: str) -> None:
    with pytest.raises(Unreachable, match="certificate is not trusted") as refused:
        Gateway(Target(url, "mk"), QUICK).call("whoami")
    assert "--ca-file" in str(refused.value.hint)


def test_own_authorities_are_trusted_when_named(url: str, certificate: Path) -> None:
    assert Gateway(Target(url, "mk", TlsFiles(str(certificate))), QUICK).call("whoami") == {}


def test_authorities_that_cannot_be_read_are_told(url: str) -> None:
    with pytest.raises(Unreachable, match=r"/nowhere\.pem: No such file or directory"):
        Gateway(Target(url, "mk", TlsFiles("/nowhere.pem")), QUICK).call("whoami")
