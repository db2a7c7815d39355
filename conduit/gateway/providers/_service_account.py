"""Signatures of Google's service accounts: loaded by who has one, as it needs a large library."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def rs256_signature(private_key: str, message: bytes) -> bytes:
    """The signature of a message by RS256 (RFC 7518, 3.3), with the key in PEM's form.

    Raises ValueError, which tells nothing of the key's text.
    """
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("its private_key cannot be read") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("its private_key is not an RSA key")
    return key.sign(message, PKCS1v15(), SHA256())
