"""What a request needs and a candidate surely lacks, told before anything is held or sent.

"Surely" is False among the capabilities; what is not known is left to the provider to say.
"""

from dataclasses import replace
from typing import Final, NamedTuple

from conduit.core.errors import UnsupportedParameterError
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.exchange import Candidate, Decision, WhyNot
from conduit.gateway.provider import Operation

_NOTHING: Final = (b"null", b"[]", b"{}")


class Needs(NamedTuple):
    """What a request asks of a model: each the client's own field that asks for it, or None.

    `dialect` is the client's; None where it is not known, as in a question of an operator.
    """

    operation: Operation = Operation.CHAT
    dialect: str | None = None
    vision: str | None = None
    tools: str | None = None
    schema: str | None = None


class Lack(NamedTuple):
    """A field of the client's, by its own words, and what the model does not do."""

    field: str
    reason: str


def needs_of(call: ClientCall) -> Needs:
    """What a call asks for."""
    if call.operation is not Operation.CHAT:
        return Needs(call.operation, call.dialect)
    return Needs(
        call.operation,
        call.dialect,
        _named(call, "image") if call.units.images else None,
        _tools_field(call),
        _named(call, "answer_format") if _asks_for_schema(call) else None,
    )


def lack_of(needs: Needs, candidate: Candidate) -> Lack | None:
    """The first thing that is needed and the candidate lacks; None where nothing is known."""
    can = candidate.can
    if needs.operation is Operation.EMBEDDING:
        return Lack("model", "makes no embeddings") if can.embeddings is False else None
    if needs.operation is not Operation.CHAT:
        return None
    if needs.vision is not None and can.vision is False:
        return Lack(needs.vision, "takes no images")
    if needs.tools is not None and can.tools is False:
        return Lack(needs.tools, "calls no tools")
    if needs.schema is not None and can.schema is False and not _can_emulate(needs, candidate):
        return Lack(needs.schema, "keeps to no JSON schema")
    return None


def able(decision: Decision, needs: Needs) -> Decision:
    """The decision without the candidates that surely lack what is needed, which may be all."""
    lacks = [(each, lack_of(needs, each)) for each in decision.candidates]
    if all(lack is None for _, lack in lacks):
        return decision
    why_nots = [
        WhyNot(candidate.upstream.name, candidate.model, f"the model {lack.reason}")
        for candidate, lack in lacks
        if lack is not None
    ]
    return replace(
        decision,
        candidates=tuple(candidate for candidate, lack in lacks if lack is None),
        why_nots=(*decision.why_nots, *why_nots),
    )


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


def _can_emulate(needs: Needs, candidate: Candidate) -> bool:
    """A forced tool stands in for a schema, unless the client's words are sent as they are."""
    sent_as_it_is = needs.dialect in (None, candidate.upstream.provider.type.dialect)
    return not sent_as_it_is and candidate.can.tools is not False


def _asks_for_schema(call: ClientCall) -> bool:
    if call.request is not None:
        return call.request.answer_format.kind == "json_schema"
    wanted = call.read("response_format")
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema"
