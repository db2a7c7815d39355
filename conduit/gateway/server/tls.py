"""TLS of the gateway's own: the certificate that its listeners show, read anew on demand."""

import logging
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conduit.core.settings import GatewaySettings, SettingsError, reason_of

if TYPE_CHECKING:
    from cryptography import x509

_log = logging.getLogger(__name__)

_MISMATCH: Final = "KEY_VALUES_MISMATCH"
_ENDS_SOON: Final = timedelta(days=7)


class Tls:
    """The certificate and key in force, and what listeners speak with them.

    `clients` is for the listener of the clients, `administrators` for that of administration,
    where a certificate is asked for that the authority in `client_ca_file` has signed.
    """

    def __init__(
        self, certificate_file: Path, key_file: Path | None, client_ca_file: Path | None = None
    ) -> None:
        """Raises SettingsError for files that cannot be used."""
        self._certificate_file = certificate_file
        self._key_file = key_file
        self.clients = self._context()
        self.administrators = self.clients
        if client_ca_file is not None:
            self.administrators = self._context()
            _ask_for_certificates(self.administrators, client_ca_file)

    @property
    def certificate_file(self) -> Path:
        """Where the certificate is."""
        return self._certificate_file

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know of the two files."""
        found = (_open_to_others(self._key_file or self._certificate_file), self._ends())
        return tuple(each for each in found if each is not None)

    def reload(self) -> None:
        """Let new connections get the certificate that is in the files now.

        Raises SettingsError where they cannot be used; then the former one stays.
        """
        self._context()  # a context that has taken a wrong pair would have none any more
        for context in {self.clients, self.administrators}:
            self._load_into(context)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        self._load_into(context)
        return context

    def _load_into(self, context: ssl.SSLContext) -> None:
        _refuse_unreadable("tls_certificate_file", self._certificate_file)
        if self._key_file is not None:
            _refuse_unreadable("tls_key_file", self._key_file)
        try:
            context.load_cert_chain(self._certificate_file, self._key_file, _no_passphrase)
        except (OSError, ValueError) as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError | ValueError) -> SettingsError:
        """What is wrong with two files that can be read."""
        certificate, key = self._certificate_file, self._key_file or self._certificate_file
        if isinstance(error, ssl.SSLError) and error.reason == _MISMATCH:
            message = f"tls_key_file {key}: it is not the key of {certificate}"
            return SettingsError(message, "tls_key_file")
        if _first_certificate(certificate) is None:
            message = f"tls_certificate_file {certificate}: it holds no certificate in PEM"
            return SettingsError(message, "tls_certificate_file")
        reason = str(error) if isinstance(error, _EncryptedKeyError) else "it holds no key in PEM"
        return SettingsError(f"tls_key_file {key}: {reason}", "tls_key_file")

    def _ends(self) -> str | None:
        found = _first_certificate(self._certificate_file)
        if found is None:
            return None
        ends = found.not_valid_after_utc
        left = ends - datetime.now(UTC)
        if left > _ENDS_SOON:
            return None
        when = "has ended on" if left < timedelta(0) else "ends on"
        return f"the certificate in {self._certificate_file} {when} {ends:%Y-%m-%d}"


class _EncryptedKeyError(ValueError):
    """A key that wants a passphrase, which nobody could type."""


def tls_of(settings: GatewaySettings) -> Tls | None:
    """The TLS that the settings ask for. Raises SettingsError."""
    if settings.tls_certificate_file is None:
        return None
    return Tls(settings.tls_certificate_file, settings.tls_key_file, settings.admin_client_ca_file)


def reload_or_tell(tls: Tls) -> None:
    """Read the files again; the log tells what cannot be used of them, and what should be known."""
    try:
        tls.reload()
    except SettingsError as error:
        _log.error("the certificate stays as it is: %s", error)
        return
    for warning in tls.warnings:
        _log.warning("%s", warning)


def _ask_for_certificates(context: ssl.SSLContext, ca_file: Path) -> None:
    """Let nobody in without a certificate of an authority in the file."""
    setting = "admin_client_ca_file"
    _refuse_unreadable(setting, ca_file)
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ValueError) as error:
        message = f"{setting} {ca_file}: it holds no certificate in PEM"
        raise SettingsError(message, setting) from error
    context.verify_mode = ssl.CERT_REQUIRED


def _refuse_unreadable(setting: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SettingsError(f"{setting} {path}: {reason_of(error)}", setting) from error


def _no_passphrase() -> str:
    raise _EncryptedKeyError("it is encrypted: take its passphrase off, and guard the file")


def _first_certificate(path: Path) -> "x509.Certificate | None":
    from cryptography import x509  # noqa: PLC0415  # deferred: not every gateway speaks TLS

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _open_to_others(path: Path) -> str | None:
    if os.name != "posix":
        return None  # what stands there of others means nothing
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:  # gone since it was read
        return None
    if not mode & stat.S_IRWXO:
        return None
    return f"the key in {path} is open to every user ({mode:o}): chmod o= {path}"
