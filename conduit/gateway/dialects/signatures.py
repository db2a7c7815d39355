"""Signatures of thinking, on their way through a client that speaks another dialect.

A signature can be read by the provider that made it alone, and comes back with the next turn of a
conversation. In its own dialect it is written as it is; in another, with the name of its own before
it, so that it can be told from one that the client's own kind of provider has made.
"""

from base64 import b64encode

_PREFIX = "conduit:"
MADE_ID = "_conduit_"
"""What stands in ids that were made here, of things that no provider knows."""

UNSIGNED = f"{_PREFIX}unsigned:"
"""In the place of a signature that a format requires, for thinking that nobody has signed."""

_ROOT = b"conduit"
_MARKS = (_PREFIX.encode(), MADE_ID.encode())
_AS_BASE64 = b64encode(_PREFIX.encode())[:10]
"""As they stand in a request; as base64 where a format's signatures are bytes.

`gemini/signatures.py` writes nothing before the prefix that would shift it within the base64."""


def written(signature: str, signed_by: str, dialect: str) -> str:
    """How a signature by `signed_by` is written for a client of `dialect`."""
    return signature if signed_by == dialect else f"{_PREFIX}{signed_by}:{signature}"


def read(text: str, dialect: str) -> tuple[str, str]:
    """(signature, signed_by) of what a client of `dialect` sends back."""
    if text.startswith(_PREFIX):
        signed_by, colon, signature = text.removeprefix(_PREFIX).partition(":")
        if colon:
            return signature, signed_by
    return text, dialect


def made_here(body: bytes) -> bool:
    """Whether a client's request may hold what an answer of another dialect's provider left in it.

    Such a request must not be sent on as it is, even to a provider of the client's own dialect: it
    is to be decoded and encoded, which leaves out what that provider cannot read.
    """
    # One look for what two of them have in common: a long request takes long to be looked through.
    return (_ROOT in body and any(mark in body for mark in _MARKS)) or _AS_BASE64 in body
