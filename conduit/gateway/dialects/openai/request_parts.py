"""What the requests of OpenAI's two formats have in common."""

from typing import Final

from conduit.gateway.conversation import Reasoning
from conduit.gateway.dialects.losses import Losses

# Budgets up to which a word is meant; the words are all that OpenAI's models understand.
_LOW_TOKENS: Final = 4096
_MEDIUM_TOKENS: Final = 16384


def effort_of(reasoning: Reasoning, losses: Losses) -> str | None:
    """The word for how much to think; None leaves it to the model."""
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.enabled is False:
        losses.lack("reasoning")  # most models refuse the word for no thinking at all
        return None
    budget = reasoning.budget_tokens
    if budget is None:
        return None
    losses.emulate("budget_tokens")
    if budget <= _LOW_TOKENS:
        return "low"
    return "medium" if budget <= _MEDIUM_TOKENS else "high"
