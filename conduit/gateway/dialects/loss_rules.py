"""What comes of each thing that a provider's format has no word for: one rule for all providers.

What decides is the answer. Where it would be another answer to the same request, a drawing of the
model's that nobody can hold it to, or where the feature saves time or money alone, the feature is
left out and reported. Where the client would miss a part of what it asked for, or get what it
forbade, the request is refused. Before either, an encoder may ask in another way (`emulate`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from conduit.gateway.conversation import ChatRequest

Outcome = Literal["drop", "refuse"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What comes of a feature, and why; of a refusal, `reason` is the sentence that a client reads.

    `asked` tells whether a request asks for it, for what is said once in a request.
    """

    outcome: Outcome
    reason: str
    asked: Callable[[ChatRequest], object] | None = None


def _drop(reason: str, asked: Callable[[ChatRequest], object] | None = None) -> Rule:
    return Rule("drop", reason, asked)


def _refuse(reason: str, asked: Callable[[ChatRequest], object] | None = None) -> Rule:
    return Rule("refuse", reason, asked)


_TASTE: Final = "it shades how an answer is drawn, which is never the same twice"
_SAVING: Final = "it is about time or money, and the answer is the same without"
_CAP: Final = "the model decides itself how long it thinks"

RULES: Final[Mapping[str, Rule]] = {
    # How an answer is drawn.
    "temperature": _drop(_TASTE, lambda request: request.sampling.temperature is not None),
    "top_p": _drop(_TASTE, lambda request: request.sampling.top_p is not None),
    "top_k": _drop(_TASTE, lambda request: request.sampling.top_k is not None),
    "seed": _drop(
        "where there is one, it promises no more than an attempt at the same answer",
        lambda request: request.sampling.seed is not None,
    ),
    "presence_penalty": _drop(_TASTE, lambda request: request.sampling.presence_penalty),
    "frequency_penalty": _drop(_TASTE, lambda request: request.sampling.frequency_penalty),
    "logit_bias": _refuse(
        "This model's provider can neither be made to write words nor kept from them"
    ),
    # What an answer holds, and where it ends.
    "choices": _refuse(
        "This model's provider writes one choice a request",
        lambda request: request.sampling.choices > 1,
    ),
    "stop": _refuse(
        "This model's provider cannot be told where to stop",
        lambda request: request.sampling.stop,
    ),
    "logprobs": _refuse(
        "This model's provider tells no probabilities",
        lambda request: request.sampling.logprobs or request.sampling.top_logprobs,
    ),
    "top_logprobs": _refuse(
        "This model's provider tells the probabilities of the chosen tokens alone",
        lambda request: request.sampling.top_logprobs,
    ),
    "answer_format": _drop("the answer must be a call of a tool, which has a form of its own"),
    # Tools.
    "tool_choice": _refuse("This model's provider leaves the choice of tools to the model"),
    "parallel_tool_calls": _drop(
        "each call can be answered, whatever their number",
        lambda request: request.parallel_tool_calls is False,
    ),
    "strict": _drop("the model is still told the schema"),
    "hosted_tools": _drop("the model may answer without a search or a run of its own"),
    # Thinking.
    "reasoning": _drop("the model thinks as it does, and answers"),
    "effort": _drop(_CAP),
    "budget_tokens": _drop(_CAP),
    "shown": _drop("thoughts are no part of the answer"),
    "thinking": _drop("no provider reads what another one's model thought"),
    # Parts of messages.
    "audio": _refuse("This model's provider takes no sound"),
    "file": _refuse("This model's provider takes no files"),
    "image": _refuse("This model's provider takes no images here"),
    "cache_mark": _drop(_SAVING),
    "citations": _drop("they say where a former answer came from, whose text stands"),
    "detail": _drop(_SAVING),
    "filename": _drop("the file itself is there"),
    "is_error": _drop("the result says in words what went wrong"),
    "name": _drop("who speaks is said by the role"),
    "text": _drop("a blank text says nothing"),
    # Whom it is for.
    "user": _drop("it is for the provider's records", lambda request: request.user),
    "input_type": _drop("a vector of the same text serves other uses too"),
}
"""By the names of the internal form, as `EncodedRequest` reports them."""
