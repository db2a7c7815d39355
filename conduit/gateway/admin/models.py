"""Admin operations on models: what clients may call, and who would serve it at this moment."""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field, field_validator

from conduit.core.capabilities import ABILITIES
from conduit.core.errors import ModelNotFoundError
from conduit.core.money import format_usd
from conduit.core.resources.fields import Page
from conduit.core.resources.models import ModelCapabilities, ModelView
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.exchange import Candidate, Decision
from conduit.gateway.pricing import UNPRICED
from conduit.gateway.pricing.lookup import rates_for
from conduit.gateway.provider import Operation
from conduit.gateway.routing.resolve import Question, resolve
from conduit.gateway.storage.rows import page_of


class ModelQuery(ListQuery):
    """`capability` names what a model must be known to do, several between commas."""

    capability: str | None = Field(
        default=None, max_length=200, json_schema_extra={"examples": ["vision,tools"]}
    )

    @field_validator("capability")
    @classmethod
    def _are_abilities(cls, text: str | None) -> str | None:
        for name in _parts(text):
            if name not in ABILITIES:
                raise ValueError(f"{name} is none; there are {', '.join(ABILITIES)}")
        return text


def _parts(text: str | None) -> list[str]:
    return [] if text is None else text.split(",")


async def _list(call: Call[None, ModelQuery]) -> Page[ModelView]:
    admin, wanted = call.admin, _parts(call.query.capability)
    aliases = sorted(admin.configuration.snapshot.mappings)
    if wanted:
        views = [view for alias in aliases if (view := _view(admin, alias)) is not None]
        able = page_of([v for v in views if _can(v, wanted)], _id_of, call.query.window())
        return page(able, able.rows)
    found = page_of(aliases, lambda alias: alias, call.query.window())
    return page(found, [view for alias in found.rows if (view := _view(admin, alias)) is not None])


def _id_of(view: ModelView) -> str:
    return view.id


def _can(view: ModelView, wanted: Sequence[str]) -> bool:
    """Whether the model is known to do all of it; what is not known counts as missing."""
    return all(getattr(view.capabilities, name, None) is True for name in wanted)


async def _show(call: Call[None, None]) -> ModelView:
    view = _view(call.admin, call.names["model"])
    if view is None:
        raise ModelNotFoundError(
            f"no mapping serves the model {call.names['model']}",
            hint="map it with conduit mappings add",
        )
    return view


def _view(admin: AdminContext, model: str) -> ModelView | None:
    """The model as a client without a hard budget would have it; None where nothing is mapped."""
    decisions = {}
    for operation in Operation:
        decision = _decide(admin, Question(model, operation, must_be_priced=False))
        if decision is None:
            return None
        decisions[operation] = decision
    offered = [operation for operation, decision in decisions.items() if decision.candidates]
    shown = decisions[offered[0] if offered else Operation.CHAT]
    first = shown.candidates[0] if shown.candidates else None
    reasons = [f"{each.provider}/{each.model}: {each.reason}" for each in shown.why_nots]
    return _made(model, [operation.value for operation in offered], first, reasons)


def _decide(admin: AdminContext, question: Question) -> Decision | None:
    return resolve(
        admin.configuration.snapshot,
        question,
        lambda overrides, provider, vendor, model: rates_for(
            overrides, admin.book, provider, vendor, model
        ),
        admin.unknown_price(),
    )


def _made(
    model: str, operations: list[str], first: Candidate | None, reasons: list[str]
) -> ModelView:
    if first is None:
        return ModelView(id=model, available=False, reasons=reasons)
    rates = first.rates
    priced = rates is not UNPRICED
    return ModelView(
        id=model,
        available=True,
        operations=operations,
        provider=first.upstream.name,
        model=first.model,
        simulated=first.upstream.provider.type.simulated,
        input=format_usd(rates.input) if priced else None,
        output=format_usd(rates.output) if priced else None,
        price_source=rates.source if priced else None,
        context_tokens=rates.context_tokens,
        max_output_tokens=rates.max_output_tokens,
        capabilities=ModelCapabilities(**asdict(first.can)),
        reasons=reasons,
    )


OPERATIONS = (
    AdminOperation(
        "models.list",
        "GET",
        "/admin/models",
        "List what clients may call, and who serves it now",
        _list,
        Page[ModelView],
        query=ModelQuery,
    ),
    AdminOperation(
        "models.show",
        "GET",
        "/admin/models/{model:.+}",
        "Show who serves a model now, under any name that a client may use",
        _show,
        ModelView,
    ),
)
