"""What the requests of OpenAI's two formats have in common."""

from typing import Final

from conduit.gateway.conversation import ChatRequest, Reasoning
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import Target

# Budgets up to which a word is meant; the words are all that OpenAI's models understand.
_LOW_TOKENS: Final = 4096
_MEDIUM_TOKENS: Final = 16384


def effort_of(reasoning: Reasoning, losses: Losses) -> str | None:
    """The word for how much to think; None leaves it to the model."""
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.enabled is False:
        losses.drop("reasoning")  # most models refuse the word for no thinking at all
        return None
    budget = reasoning.budget_tokens
    if budget is None:
        return None
    losses.emulate("budget_tokens")
    if budget <= _LOW_TOKENS:
        return "low"
    return "medium" if budget <= _MEDIUM_TOKENS else "high"


def output_cap(request: ChatRequest, target: Target, losses: Losses) -> int | None:
    """The most the model shall write: what was asked for, within what it is able to."""
    cap, most = request.sampling.max_output_tokens, target.max_output_tokens
    if cap is None or most is None or losses.is_own:
        return cap
    return min(cap, most)
