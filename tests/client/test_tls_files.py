"""What clients speak TLS with: contexts, variables, and files that cannot be used."""

import re
import ssl
from pathlib import Path

import pytest

from conduit.client.connection import Connection
from conduit.client.contexts import Choice, Context, Contexts, TlsFiles, resolve
from conduit.client.errors import Unreachable
from conduit.client.tls import context_of
from tests.fakes.certificates import Authority

URL = "https://gw.invalid"
OWN = TlsFiles("own.pem", "me.pem", "me.key")
PROD = Context(
    "prod",
    URL,
    ca_file="own.pem",
    client_certificate_file="me.pem",
    client_key_file="me.key",
)
CONTEXTS = Contexts("prod", {"prod": PROD})
VARIABLES = {"CONDUIT_CA_FILE": "env.pem", "CONDUIT_CLIENT_CERTIFICATE_FILE": "both.pem"}


@pytest.mark.parametrize(
    ("choice", "environ", "files"),
    [
        (Choice(), {}, OWN),
        (Choice(), VARIABLES, TlsFiles("env.pem", "both.pem", None)),
        (Choice(), {"CONDUIT_CA_FILE": "env.pem"}, TlsFiles("env.pem", "me.pem", "me.key")),
        (Choice(context="prod"), VARIABLES, OWN),
        (Choice(url="https://other.invalid"), {}, TlsFiles()),
        (Choice(url="https://other.invalid"), VARIABLES, TlsFiles("env.pem", "both.pem", None)),
    ],
)
def test_files_come_from_the_context_that_is_named_or_the_environment_before_it(
    choice: Choice, environ: dict[str, str], files: TlsFiles
) -> None:
    assert resolve(CONTEXTS, choice, environ).tls == files


def test_a_certificate_is_trusted_as_itself_and_no_other_of_its_authority(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).pair("gw.invalid")
    context = context_of(TlsFiles(str(certificate)))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority, rubbish = Authority(tmp_path), tmp_path / "rubbish.pem"
    rubbish.write_text("no PEM")
    certificate, key = authority.pair("me")
    other = authority.pair("other")[1]
    encrypted = authority.pair("secret", passphrase=b"secret")
    for files, said in (
        (TlsFiles("none.pem"), "none.pem: No such file or directory"),
        (TlsFiles(str(rubbish)), f"{rubbish}: it holds no certificate in PEM"),
        (TlsFiles(None, "none.pem"), "none.pem: No such file or directory"),
        (
            TlsFiles(None, str(certificate), str(other)),
            f"{certificate}: it cannot be used with its key",
        ),
        (
            TlsFiles(None, str(encrypted[0]), str(encrypted[1])),
            f"{encrypted[0]}: it cannot be used with its key",
        ),
    ):
        with pytest.raises(OSError, match=re.escape(said)) as refused:
            context_of(files)
        assert refused.value.strerror == said
        with pytest.raises(Unreachable, match="TLS cannot be spoken"):
            async with Connection(URL, "t", tls=files):
                pass
    context_of(TlsFiles(None, str(certificate), str(key)))
