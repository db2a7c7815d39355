"""`encrypted_content` of reasoning items, the one opaque field that every client sends back.

In it stand, each with the name of the dialect whose provider made it: the signature of thinking,
the data of redacted thinking, and the signature of the tool call that is the next item.
"""

from typing import Final, Literal, NamedTuple

from conduit.gateway.dialects import signatures

_DIALECT: Final = "openai_responses"
_REDACTED: Final = "redacted:"
_CALL: Final = "call:"


class Seal(NamedTuple):
    kind: Literal["thinking", "redacted", "call"]
    text: str
    signed_by: str


def write_seal(seal: Seal) -> str:
    mark = {"thinking": "", "redacted": _REDACTED, "call": _CALL}[seal.kind]
    return signatures.written(mark + seal.text, seal.signed_by or _DIALECT, _DIALECT)


def read_seal(text: str) -> Seal:
    signature, signed_by = signatures.read(text, _DIALECT)
    if signed_by != _DIALECT and signature.startswith(_REDACTED):
        return Seal("redacted", signature.removeprefix(_REDACTED), signed_by)
    if signed_by != _DIALECT and signature.startswith(_CALL):
        return Seal("call", signature.removeprefix(_CALL), signed_by)
    return Seal("thinking", signature, signed_by)


def is_made(item_id: object) -> bool:
    return isinstance(item_id, str) and signatures.MADE_ID in item_id
