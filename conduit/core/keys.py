"""The format of virtual and master keys: make, check, hash, without a gateway.

A virtual key is `condt_` + 43 base-62 characters (256 random bits) + 6 base-62 characters of the
CRC-32 of all that precedes. A master key is the same after `condt_mk_`. The checksum lets a scanner
or the gateway reject a mistyped key without a look-up. Keys are stored as SHA-256: they carry 256
random bits, so a slow hash would protect nothing.
"""

import hashlib
import re
import secrets
import string
import zlib

VIRTUAL_PREFIX = "condt_"
MASTER_PREFIX = "condt_mk_"
DISPLAYED_CHARACTERS = 6
MASTER_KEY_MINIMUM_BYTES = 32
_KNOWN_BAD_MASTER_KEYS = ("changeme", "change-me", "master", "password", "secret", "sk-1234")
_FEWEST_CHARACTERS_BESIDE = 16
_FEWEST_DIFFERENT_CHARACTERS = 8

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_CHARACTERS = 43
_CHECKSUM_CHARACTERS = 6
_VIRTUAL = re.compile(r"condt_[0-9A-Za-z]{49}")
_MASTER = re.compile(r"condt_mk_[0-9A-Za-z]{49}")


def _base62(number: int, width: int) -> str:
    characters = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        characters.append(_BASE62[digit])
    return "".join(reversed(characters))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), _CHECKSUM_CHARACTERS)


def _make(prefix: str) -> str:
    body = prefix + _base62(int.from_bytes(secrets.token_bytes(32), "big"), _BODY_CHARACTERS)
    return body + _checksum(body)


def make_virtual_key() -> str:
    """A new virtual key of 55 characters."""
    return _make(VIRTUAL_PREFIX)


def make_master_key() -> str:
    """A new master key of 58 characters."""
    return _make(MASTER_PREFIX)


def _checks_out(text: str) -> bool:
    return _checksum(text[:-_CHECKSUM_CHARACTERS]) == text[-_CHECKSUM_CHARACTERS:]


def is_virtual_key(text: str) -> bool:
    """Whether form and checksum are those of a virtual key; says nothing of its existence."""
    return _VIRTUAL.fullmatch(text) is not None and _checks_out(text)


def is_master_key(text: str) -> bool:
    """Whether form and checksum are those of a master key that we made."""
    return _MASTER.fullmatch(text) is not None and _checks_out(text)


def digest_of(key: str) -> bytes:
    """The 32-byte SHA-256 under which a key is stored and looked up."""
    return hashlib.sha256(key.encode("utf-8")).digest()


def displayed_start(key: str) -> str:
    """What may be shown of a key: its prefix and the first six random characters."""
    return key[: len(VIRTUAL_PREFIX) + DISPLAYED_CHARACTERS]


def refuse_weak_master_key(text: str) -> None:
    """Raise ValueError for a key that is too short, too common or not plain text."""
    if not text.isascii() or any(character.isspace() for character in text):
        raise ValueError("a master key is plain ASCII without spaces")
    if len(text) < MASTER_KEY_MINIMUM_BYTES:
        raise ValueError(
            f"a master key has at least {MASTER_KEY_MINIMUM_BYTES} characters: "
            "make one with conduit auth init"
        )
    beside = text.lower()
    for word in _KNOWN_BAD_MASTER_KEYS:
        beside = beside.replace(word, "")
    if len(beside) < _FEWEST_CHARACTERS_BESIDE or len(set(text)) < _FEWEST_DIFFERENT_CHARACTERS:
        raise ValueError("this master key can be guessed: make one with conduit auth init")
