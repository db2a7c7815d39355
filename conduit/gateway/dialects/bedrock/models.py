"""What the model families behind Bedrock's Converse take beyond its common fields.

Sources: the Bedrock user guide ("Inference request parameters and response fields for foundation
models", "Extended thinking", "Adaptive thinking", "Prompt caching"), the Amazon Nova user guides.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conduit.gateway.conversation import Reasoning
from conduit.gateway.dialects.losses import Losses

# A model's id begins with its vendor, or with the geography of an inference profile before it; in
# an ARN both stand after the slash. Application profiles and imported models tell nothing.
_VENDOR = re.compile(r"(?:^|/)(?:(?:us|eu|apac|au|ca|jp|us-gov|global)\.)?([a-z0-9]+)\.")
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_ALWAYS_THINKING = re.compile(r"claude-(?:fable|mythos)")

_LEAST_BUDGET: Final = 1024
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
_TOP_K: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("top_k",),
    "mistral": ("top_k",),
    "cohere": ("k",),
    "amazon": ("inferenceConfig", "topK"),
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its id; `vendor` is empty where the id does not tell it.

    `generation` is Claude's version; (0, 0) for the oldest and for other vendors.
    """

    id: str
    vendor: str
    generation: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, name: str) -> "Model":
        vendor = _VENDOR.search(name)
        version = _CLAUDE.search(name)
        generation = (int(version[1]), int(version[2] or 0)) if version else (0, 0)
        if _ALWAYS_THINKING.search(name):
            generation = max(generation, (5, 0))
        return cls(name, vendor[1] if vendor else "", generation)

    @property
    def always_thinks(self) -> bool:
        return _ALWAYS_THINKING.search(self.id) is not None

    @property
    def is_nova_2(self) -> bool:
        return self.vendor == "amazon" and "nova-2" in self.id

    @property
    def caches(self) -> bool:
        """Whether it takes cache points; one that cannot be told is taken at the client's word."""
        return self.vendor in ("anthropic", "") or (self.vendor == "amazon" and "nova" in self.id)

    @property
    def caches_tools(self) -> bool:
        return self.caches and self.vendor != "amazon"

    @property
    def reports_stop_sequence(self) -> bool:
        return self.vendor == "anthropic"

    def top_k(self, value: int, losses: Losses) -> dict[str, Any]:
        """The additional fields for a `top_k`."""
        names = _TOP_K.get(self.vendor)
        if names is None:
            losses.lack("top_k")
            return {}
        fields: Any = value
        for name in reversed(names):
            fields = {name: fields}
        return dict(fields)


@dataclass(frozen=True, slots=True)
class Thought:
    """How a request asks for reasoning: additional fields, and what they rule out.

    `effort` stands in `outputConfig`. `plain_sampling` says that the model takes no temperature of
    its own while it thinks.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    effort: str | None = None
    plain_sampling: bool = False


def thought_of(wanted: Reasoning, model: Model, cap: int | None, losses: Losses) -> Thought:
    """The reasoning that `wanted` comes to with this model, whose output is capped at `cap`."""
    off = wanted.enabled is False or wanted.effort == "none"
    if not (off or wanted.enabled or wanted.effort or wanted.budget_tokens):
        return Thought()
    if model.vendor == "anthropic":
        return _off(model, losses) if off else _claude(wanted, model, cap, losses)
    if model.is_nova_2:
        return Thought() if off else _nova(wanted, cap, losses)
    if model.vendor in ("openai", "moonshot", "moonshotai"):
        return _effort_alone(wanted, model, losses, off=off)
    if not model.vendor and wanted.budget_tokens and not off:
        # Nobody but Claude takes a budget, so that is what the client knows the profile to be.
        return _manual(wanted, cap, losses)
    if not off:
        losses.lack_if(**_names(wanted))
    return Thought()


def _names(wanted: Reasoning) -> dict[str, object]:
    return {
        "reasoning": wanted.enabled,
        "effort": wanted.effort,
        "budget_tokens": wanted.budget_tokens,
    }


def _off(model: Model, losses: Losses) -> Thought:
    if model.always_thinks:
        losses.lack("reasoning")
        return Thought()
    # Before its fifth generation Claude thinks only when asked to.
    fields = {"thinking": {"type": "disabled"}} if model.generation >= (5, 0) else {}
    return Thought(fields)


def _claude(wanted: Reasoning, model: Model, cap: int | None, losses: Losses) -> Thought:
    if model.generation < (3, 7):
        losses.lack_if(**_names(wanted))
        return Thought()
    by_budget = wanted.budget_tokens is not None and wanted.effort is None
    if model.generation < (4, 6) or (model.generation == (4, 6) and by_budget):
        return _manual(wanted, cap, losses)
    if wanted.budget_tokens is not None:
        losses.lack("budget_tokens")  # these decide themselves how long they think
    thinking = {"type": "adaptive"}
    if wanted.shown is not None:
        thinking["display"] = "summarized" if wanted.shown else "omitted"
    effort = "low" if wanted.effort == "minimal" else wanted.effort
    if effort != wanted.effort:
        losses.emulate("effort")
    return Thought({"thinking": thinking}, effort, plain_sampling=True)


def _manual(wanted: Reasoning, cap: int | None, losses: Losses) -> Thought:
    """Thinking with a budget, which must be less than all that may be written."""
    budget = wanted.budget_tokens
    if budget is None:
        budget = _BUDGETS.get(wanted.effort or "medium", _BUDGETS["medium"])
        if wanted.effort is not None:
            losses.emulate("effort")
    elif wanted.effort is not None:
        losses.lack("effort")
    if cap is not None and budget >= cap:
        budget = cap - 1
        losses.emulate("budget_tokens")
    if budget < _LEAST_BUDGET:
        losses.lack("reasoning")
        return Thought()
    if wanted.shown is False:
        losses.lack("shown")
    return Thought({"thinking": {"type": "enabled", "budget_tokens": budget}}, plain_sampling=True)


def _nova(wanted: Reasoning, cap: int | None, losses: Losses) -> Thought:
    losses.lack_if(budget_tokens=wanted.budget_tokens)
    effort = wanted.effort or "medium"
    level = {"minimal": "low", "low": "low", "medium": "medium"}.get(effort, "high")
    if level == "high" and cap is not None:
        level = "medium"  # at "high" it takes no cap, and a cap is somebody's money
    if level != effort:
        losses.emulate("effort")
    config = {"type": "enabled", "maxReasoningEffort": level}
    return Thought({"reasoningConfig": config}, plain_sampling=level == "high")


def _effort_alone(wanted: Reasoning, model: Model, losses: Losses, *, off: bool) -> Thought:
    losses.lack_if(budget_tokens=wanted.budget_tokens)
    if not off:
        return Thought({} if wanted.effort is None else {"reasoning_effort": wanted.effort})
    if "gpt-oss" in model.id or model.vendor != "openai":
        losses.lack("reasoning")  # these cannot but reason
        return Thought()
    return Thought({"reasoning_effort": "none"})
