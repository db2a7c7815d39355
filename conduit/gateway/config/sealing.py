"""Seals secrets at rest: each under a key of its own, which the key of the installation wraps.

The form is `c1.<key id>.<version>.<wrapped key>.<box>`, both AES-256-GCM with their own nonce. What
is sealed is bound to its table, row, field and version: moved elsewhere, it does not open. What is
bytes has the same parts without dots and base64, and without the version, which its row has.
"""

import base64
import binascii
import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEY_FILE_NAME = "sealing.key"
SYSTEMD_NAME = "conduit-sealing-key"
_FORM = "c1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_LONGEST_KEY_FILE = 256
_ID_BYTES = 8
_WRAPPED_BYTES = _NONCE_BYTES + _KEY_BYTES + 16


class SealingKeyError(Exception):
    """The sealing key cannot be used where it is; the message says why."""


class MissingSealingKeyError(SealingKeyError):
    """There is no file of the sealing key."""


class SealedError(Exception):
    """An envelope does not open: another key, another place, or damage."""


class OtherKeyError(SealedError):
    """The envelope is whole, for all that can be told, and needs another key than this one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret is kept."""

    table: str
    row: str
    field: str

    def bound_to(self, version: int) -> bytes:
        return f"{self.table}|{self.row}|{self.field}|{version}".encode()


@dataclass(frozen=True, slots=True)
class SealingKey:
    """The installation's key. `id` tells envelopes of different keys apart."""

    id: str
    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, key: bytes) -> "SealingKey":
        return cls(hashlib.sha256(b"conduit sealing key" + key).hexdigest()[:8], key)

    def written(self) -> str:
        """The key as it stands in its file, for those who have to keep it out of sight."""
        return base64.b64encode(self._key).decode("ascii")

    def seal(self, secret: str, place: Place, version: int) -> str:
        """An envelope that only opens at `place`; `version` is that of the row when it was made."""
        bound_to = place.bound_to(version)
        own_key = secrets.token_bytes(_KEY_BYTES)
        wrapped = _encrypt(self._key, own_key, bound_to)
        box = _encrypt(own_key, secret.encode("utf-8"), bound_to)
        return ".".join((_FORM, self.id, str(version), _text(wrapped), _text(box)))

    def open(self, envelope: str, place: Place) -> str:
        """The secret of an envelope. Raises SealedError."""
        try:
            form, key_id, version, wrapped, box = envelope.split(".")
            if form != _FORM:
                raise SealedError("the envelope has a form that this release does not know")
            if key_id != self.id:
                raise OtherKeyError("the envelope was sealed with another key")
            bound_to = place.bound_to(int(version))
            own_key = _decrypt(self._key, _bytes(wrapped), bound_to)
            return _decrypt(own_key, _bytes(box), bound_to).decode("utf-8")
        except (ValueError, binascii.Error) as error:
            raise SealedError("the envelope is damaged") from error

    def seal_bytes(self, plain: bytes, place: Place, version: int) -> bytes:
        """An envelope of bytes; `version` is asked for again when it is opened."""
        bound_to = place.bound_to(version)
        own_key = secrets.token_bytes(_KEY_BYTES)
        wrapped = _encrypt(self._key, own_key, bound_to)
        return self.id.encode("ascii") + wrapped + _encrypt(own_key, plain, bound_to)

    def open_bytes(self, envelope: bytes, place: Place, version: int) -> bytes:
        """The bytes of an envelope. Raises SealedError."""
        key_id, rest = envelope[:_ID_BYTES], envelope[_ID_BYTES:]
        if len(rest) <= _WRAPPED_BYTES + _NONCE_BYTES:
            raise SealedError("the envelope is damaged")
        if key_id != self.id.encode("ascii"):
            raise OtherKeyError("the envelope was sealed with another key")
        bound_to = place.bound_to(version)
        own_key = _decrypt(self._key, rest[:_WRAPPED_BYTES], bound_to)
        return _decrypt(own_key, rest[_WRAPPED_BYTES:], bound_to)


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    # Deferred: most starts have nothing sealed, and this import costs as much as the rest of one.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def _decrypt(key: bytes, box: bytes, bound_to: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # deferred, as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        return AESGCM(key).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], bound_to)
    except InvalidTag as error:
        raise SealedError("the envelope was not made here, or has been changed") from error


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the installation keeps its sealing key: a value, or a file.

    `may_be_made`: the file is the gateway's own, and is made where there is none. `guarded`: what
    put the file there keeps it from others, so that its owner and mode say nothing.
    """

    path: Path | None = None
    value: str | None = field(default=None, repr=False)
    may_be_made: bool = False
    guarded: bool = False

    def load(self, *, make: bool) -> SealingKey:
        """The key, made where there is none if both sides allow it.

        Raises MissingSealingKeyError where there is none, otherwise SealingKeyError.
        """
        if self.value is not None:
            return _key_in(self.value.encode(), "the setting sealing_key")
        if self.path is None:
            raise MissingSealingKeyError("no sealing key was given")
        if make and self.may_be_made:
            return load_or_make_sealing_key(self.path)
        return load_sealing_key(self.path, guarded=self.guarded)


def key_source(
    folder: Path, value: str | None, file: Path | None, environ: Mapping[str, str]
) -> KeySource:
    """The place that counts: a setting, then systemd's credential, then the data folder."""
    if value is not None:
        return KeySource(value=value)
    if file is not None:
        return KeySource(file.expanduser())
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        passed = Path(directory) / SYSTEMD_NAME
        if passed.exists():
            return KeySource(passed, guarded=True)
    return KeySource(folder / KEY_FILE_NAME, may_be_made=True)


def load_or_make_sealing_key(path: Path) -> SealingKey:
    """The key in a file that only this process's user may read; made where there is none.

    Raises SealingKeyError for a file that others may read, that another user owns, or that holds
    no key.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return load_sealing_key(path)
    except OSError as error:
        raise SealingKeyError(f"{path} cannot be made: {error.strerror or error}") from error
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key would be refused at every later start
        raise SealingKeyError(f"{path} cannot be written: {error.strerror or error}") from error
    return SealingKey.of(key)


def load_sealing_key(path: Path, *, guarded: bool = False) -> SealingKey:
    """The key in a file, as above; none is made. Of a `guarded` one, only the content counts.

    Raises MissingSealingKeyError where there is no file, otherwise SealingKeyError.
    """
    try:
        with open(path, "rb") as file:
            if not guarded:
                _refuse_exposed(path, os.fstat(file.fileno()))
            text = file.read(_LONGEST_KEY_FILE)
    except FileNotFoundError as error:
        raise MissingSealingKeyError(f"{path} is missing") from error
    except OSError as error:
        raise SealingKeyError(f"{path} cannot be read: {error.strerror or error}") from error
    return _key_in(text, str(path))


def _key_in(text: bytes, where: str) -> SealingKey:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SealingKeyError(
            f"{where} holds no sealing key (32 bytes in base64): restore it from your backup"
        )
    return SealingKey.of(key)


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    if os.name != "posix":  # Windows keeps permissions elsewhere
        return
    if not stat.S_ISREG(status.st_mode):
        raise SealingKeyError(f"{path} is not a file")
    if status.st_uid != os.geteuid():
        raise SealingKeyError(f"{path} belongs to another user")
    if status.st_mode & 0o077:
        raise SealingKeyError(f"{path} can be read by others: chmod 600 {path}")
