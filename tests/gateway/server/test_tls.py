"""The certificate of the gateway's own: what is refused, what is warned of, what is read anew."""

import logging
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from conduit.core.settings import SettingsError
from conduit.core.settings_sources import load
from conduit.gateway.server.tls import Tls, reload_or_tell, tls_of
from tests.fakes.certificates import Authority

HOST = "gateway.test"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def shown_by(tls: Tls, authority: Authority) -> object:
    """The number of the certificate that a new connection gets."""
    wires = [ssl.MemoryBIO() for _ in range(4)]
    server = tls.clients.wrap_bio(wires[0], wires[1], server_side=True)
    client = authority.client_context().wrap_bio(wires[2], wires[3], server_hostname=HOST)
    for _ in range(6):
        for end, out, into in ((client, wires[3], wires[0]), (server, wires[1], wires[2])):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
            into.write(out.read())
    found = client.getpeercert()
    assert found is not None
    return found["serialNumber"]


def test_without_a_certificate_there_is_no_tls() -> None:
    assert tls_of(load({})[0]) is None


def test_a_key_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tls_key_file is set without tls_certificate_file"):
        load({"tls_key_file": tmp_path / "x.key"})


def test_only_new_versions_and_http_1_are_spoken(authority: Authority) -> None:
    context = Tls(*authority.pair(HOST)).clients
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    assert shown_by(Tls(*authority.pair(HOST)), authority)


def test_one_file_may_hold_both(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.pair(HOST)
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    tls = Tls(both, None)
    assert shown_by(tls, authority)
    assert tls.certificate_file == both


def test_files_that_cannot_be_used_are_one_clear_line(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.pair(HOST)
    other, _ = authority.pair("other.test")
    nothing, rubbish = tmp_path / "nothing.pem", tmp_path / "rubbish.pem"
    rubbish.write_text("no PEM")
    for files, said in (
        ((nothing, key), f"tls_certificate_file {nothing}: No such file or directory"),
        ((certificate, nothing), f"tls_key_file {nothing}: No such file or directory"),
        ((tmp_path, key), f"tls_certificate_file {tmp_path}: Is a directory"),
        ((other, key), f"tls_key_file {key}: it is not the key of {other}"),
        ((rubbish, key), f"tls_certificate_file {rubbish}: it holds no certificate in PEM"),
        ((certificate, rubbish), f"tls_key_file {rubbish}: it holds no key in PEM"),
        ((certificate, None), f"tls_key_file {certificate}: it holds no key in PEM"),
    ):
        with pytest.raises(SettingsError) as refused:
            Tls(*files)
        assert str(refused.value) == said
        assert "\n" not in said


def test_an_encrypted_key_is_refused_and_nobody_is_asked(authority: Authority) -> None:
    with pytest.raises(SettingsError, match="it is encrypted: take its passphrase off"):
        Tls(*authority.pair(HOST, passphrase=b"secret"))


def test_a_key_that_everybody_can_read_is_warned_of(authority: Authority) -> None:
    certificate, key = authority.pair(HOST)
    assert not any("open to every user" in each for each in Tls(certificate, key).warnings)
    key.chmod(0o644)
    assert f"the key in {key} is open to every user (644): chmod o= {key}" in (
        Tls(certificate, key).warnings
    )


def test_a_certificate_that_ends_soon_is_warned_of(authority: Authority) -> None:
    certificate, key = authority.pair(HOST)  # an hour
    assert any("ends on" in each for each in Tls(certificate, key).warnings)


def test_new_connections_get_the_certificate_that_is_in_the_files_now(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = Tls(*authority.pair(HOST))
    first = shown_by(tls, authority)
    certificate, key = authority.pair(HOST)
    reload_or_tell(tls)
    second = shown_by(tls, authority)
    assert first != second
    with caplog.at_level(logging.ERROR):
        for path, wrong in ((certificate, authority.pair("other.test")[0]), (key, certificate)):
            kept = path.read_bytes()
            path.write_bytes(wrong.read_bytes())
            caplog.clear()
            reload_or_tell(tls)
            assert "the certificate stays as it is: " in caplog.text
            assert shown_by(tls, authority) == second
            path.write_bytes(kept)
        certificate.unlink()
        key.unlink()
        reload_or_tell(tls)
        assert tls.warnings == ()  # asked for by whoever looks at the status
    assert shown_by(tls, authority) == second
