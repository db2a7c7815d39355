"""How much a model is to think, between Anthropic's fields and the internal form.

Sources: platform.claude.com/docs "Extended thinking", "Adaptive thinking" and "Effort". Models up
to 4.5 take a budget of at least 1024 tokens, less than `max_tokens`; later ones think adaptively,
steered by `output_config.effort`.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import Reasoning
from conduit.gateway.dialects.anthropic.models import Model
from conduit.gateway.dialects.fields import (
    LARGEST_INTEGER,
    Fields,
    read_object_field,
    read_text,
    wrong,
)
from conduit.gateway.dialects.losses import Losses

LEAST_BUDGET: Final = 1024
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
_DISPLAYS: Final[Mapping[str, bool]] = {"summarized": True, "omitted": False}
_ENABLED: Final[Mapping[str, bool]] = {
    "enabled": True,
    "adaptive": True,
    "disabled": False,
    "between_tools": False,
}
_PLACED_TYPES: Final = frozenset({"enabled", "adaptive", "disabled"})
_FIELDS: Final = frozenset({"type", "budget_tokens", "display"})


def decode_reasoning(fields: Fields, effort: str | None, extras: dict[str, Any]) -> Reasoning:
    """What the `thinking` of a client's request asks for; forms without a place go to extras."""
    thinking = read_object_field(fields, "thinking")
    if thinking is None:
        return Reasoning(effort=effort)
    kind = read_text(thinking, "type", "thinking.")
    display = read_text(thinking, "display", "thinking.")
    if kind not in _PLACED_TYPES or thinking.keys() - _FIELDS or display not in (None, *_DISPLAYS):
        extras["thinking"] = thinking
    return Reasoning(
        enabled=_ENABLED.get(kind or ""),
        effort=effort,
        budget_tokens=_budget(thinking) if kind == "enabled" else None,
        shown=_DISPLAYS.get(display or ""),
    )


def _budget(thinking: Fields) -> int:
    budget = thinking.get("budget_tokens")
    if isinstance(budget, bool) or not isinstance(budget, int):
        raise wrong("thinking.budget_tokens", "must be an integer")
    if not LEAST_BUDGET <= budget <= LARGEST_INTEGER:
        raise wrong("thinking.budget_tokens", f"must be at least {LEAST_BUDGET}")
    return budget


def own_thinking(wanted: Reasoning) -> dict[str, Any] | None:
    """`thinking` as a client of this dialect has written it."""
    if wanted.enabled is None:
        return None
    if not wanted.enabled:
        return {"type": "disabled"}
    if wanted.budget_tokens is None:
        return {"type": "adaptive", **_display(wanted)}
    return {"type": "enabled", "budget_tokens": wanted.budget_tokens, **_display(wanted)}


class Thought:
    """What a request of another dialect comes to: `thinking`, `effort` and the output cap.

    `is_on` says that thinking was asked for, which rules out some sampling.
    """

    __slots__ = ("effort", "is_on", "max_tokens", "thinking")

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.thinking: dict[str, Any] | None = None
        self.effort: str | None = None
        self.is_on = False

    @property
    def has_budget(self) -> bool:
        return self.thinking is not None and "budget_tokens" in self.thinking

    def leave_out(self, losses: Losses) -> None:
        self.thinking = None
        self.is_on = False
        losses.lack("reasoning")


def translate_reasoning(
    wanted: Reasoning, model: Model, cap: int | None, ceiling: int | None, losses: Losses
) -> Thought:
    """The thinking that `wanted` comes to with this model.

    `cap` is the client's limit of the output, `ceiling` the most that the model can write.
    """
    thought = Thought(cap or ceiling or model.default_max_tokens)
    if wanted.enabled is False or wanted.effort == "none" or wanted.budget_tokens == 0:
        _stop(thought, model, losses)
    elif not (wanted.enabled or wanted.effort or wanted.budget_tokens):
        losses.lack_if(shown=wanted.shown)
    elif not model.thinks:
        losses.lack("reasoning")
    elif not model.is_adaptive or (model.takes_budget and wanted.budget_tokens):
        _think_by_budget(thought, wanted, losses, widen=cap is None and ceiling is None)
    else:
        _think_adaptively(thought, wanted, model, losses)
    return thought


def _stop(thought: Thought, model: Model, losses: Losses) -> None:
    if not model.thinks_unasked:
        return
    if model.off is None:
        thought.effort = "low"
        losses.emulate("reasoning")
    else:
        thought.thinking = {"type": model.off}


def _think_by_budget(thought: Thought, wanted: Reasoning, losses: Losses, *, widen: bool) -> None:
    budget = wanted.budget_tokens or _BUDGETS.get(wanted.effort or "medium")
    if budget is None:
        losses.lack("effort")
        budget = _BUDGETS["medium"]
    elif wanted.effort and wanted.budget_tokens:
        losses.lack("effort")
    elif wanted.effort:
        losses.emulate("effort")
    budget = max(budget, LEAST_BUDGET)
    if widen:
        thought.max_tokens += budget
    elif budget >= thought.max_tokens:
        # Half is left for the answer, which the thinking would use up otherwise.
        budget = thought.max_tokens // 2
        losses.emulate("budget_tokens" if wanted.budget_tokens else "effort")
    if budget < LEAST_BUDGET:
        losses.lack("reasoning")
        return
    thought.is_on = True
    thought.thinking = {"type": "enabled", "budget_tokens": budget, **_display(wanted)}


def _think_adaptively(thought: Thought, wanted: Reasoning, model: Model, losses: Losses) -> None:
    losses.lack_if(budget_tokens=wanted.budget_tokens)
    thought.is_on = True
    thought.thinking = {"type": "adaptive", **_display(wanted)}
    effort = wanted.effort
    if effort is None:
        return
    thought.effort = {"minimal": "low", "xhigh": "max"}.get(effort, effort)
    if effort in model.efforts:
        thought.effort = effort
    elif thought.effort in model.efforts:
        losses.emulate("effort")
    else:
        thought.effort = None
        losses.lack("effort")


def _display(wanted: Reasoning) -> dict[str, str]:
    if wanted.shown is None:
        return {}
    return {"display": "summarized" if wanted.shown else "omitted"}
