"""What a request needs and a candidate surely lacks, told before anything is held or sent.

"Surely" is False among the capabilities; what is not known is left to the provider to say.
"""

from typing import Final, NamedTuple

from conduit.core.errors import UnsupportedParameterError
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.exchange import Candidate
from conduit.gateway.provider import Operation

_NOTHING: Final = (b"null", b"[]", b"{}")


class Lack(NamedTuple):
    """A field of the client's, by its own words, and what the model does not do."""

    field: str
    reason: str


def lack_of(call: ClientCall, candidate: Candidate) -> Lack | None:
    """The first thing that the call needs and the candidate lacks; None where nothing is known."""
    can = candidate.can
    if call.operation is Operation.EMBEDDING:
        return Lack("model", "makes no embeddings") if can.embeddings is False else None
    if call.operation is not Operation.CHAT:
        return None
    if can.vision is False and call.units.images:
        return Lack(_named(call, "image"), "takes no images")
    if can.tools is False and (tools := _tools_field(call)) is not None:
        return Lack(tools, "calls no tools")
    if can.schema is False and not _can_emulate_schema(call, candidate) and _asks_for_schema(call):
        return Lack(_named(call, "answer_format"), "keeps to no JSON schema")
    return None


def refusal_of(lack: Lack, candidate: Candidate) -> UnsupportedParameterError:
    """The answer to a client whose request no candidate can serve."""
    return UnsupportedParameterError(
        f'"{lack.field}" cannot be served: the model {candidate.model!r} of the provider '
        f"{candidate.upstream.name!r} {lack.reason}",
        param=lack.field,
    )


def _named(call: ClientCall, feature: str) -> str:
    names = DIALECTS[call.dialect].FIELD_NAMES
    return str(names.get(feature, feature))


def _tools_field(call: ClientCall) -> str | None:
    if call.request is not None:
        return _named(call, "tools") if call.request.tools else None
    for name in ("tools", "functions"):
        raw = call.fields.get(name)
        if raw is not None and bytes(raw) not in _NOTHING:
            return name
    return None


def _can_emulate_schema(call: ClientCall, candidate: Candidate) -> bool:
    """A forced tool stands in for a schema, unless the client's words are sent as they are."""
    sent_as_it_is = call.dialect == candidate.upstream.provider.type.dialect
    return not sent_as_it_is and candidate.can.tools is not False


def _asks_for_schema(call: ClientCall) -> bool:
    if call.request is not None:
        return call.request.answer_format.kind == "json_schema"
    wanted = call.read("response_format")
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema"
