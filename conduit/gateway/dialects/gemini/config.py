"""`generationConfig`, between its JSON and sampling, reasoning and the format of an answer.

Sources: https://ai.google.dev/api/generate-content#GenerationConfig, for thinking
https://ai.google.dev/gemini-api/docs/thinking and the table of budgets by effort in
https://ai.google.dev/gemini-api/docs/openai.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from conduit.gateway.conversation import AnswerFormat, ChatRequest, Reasoning, Sampling
from conduit.gateway.dialects.fields import (
    LARGEST_INTEGER,
    Fields,
    read_flag,
    read_integer,
    read_number,
    read_object_field,
    read_text,
    rest_of,
    wrong,
)
from conduit.gateway.dialects.gemini.schema import cleaned, json_schema_of
from conduit.gateway.dialects.gemini.words import camel, is_third_generation
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.request_limits import output_cap, stops_of
from conduit.gateway.dialects.target import Target

_WHERE: Final = "generationConfig."
_JSON: Final = "application/json"
_FORMAT_FIELDS: Final = (
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
)
_PLACED = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "thinkingConfig",
        *_FORMAT_FIELDS,
    }
)
_MOST_STOPS: Final = 5
# A seed is 32 bits wide here.
_SEEDS: Final = 2**31
_LEVELS = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_BUDGETS = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
_LEAST_OF_PRO: Final = 128
# These answer 400 where thinking is spoken of at all.
_THOUGHTLESS = re.compile(r"gemini-(?:1\.|2\.0)")
_DYNAMIC: Final = -1


@dataclass(frozen=True, slots=True)
class Config:
    sampling: Sampling
    reasoning: Reasoning
    answer_format: AnswerFormat


def read_config(fields: Fields, extras: dict[str, Any]) -> Config:
    """What a client's `generationConfig` says; the rest of it is added to the extras."""
    config = camel(read_object_field(fields, "generationConfig") or {}, _WHERE)
    for name, value in rest_of(config, _PLACED).items():
        extras[_WHERE + name] = value
    pathed = {_WHERE + name: value for name, value in config.items()}
    return Config(
        sampling=_read_sampling(pathed),
        reasoning=_read_reasoning(pathed, extras),
        answer_format=_read_format(pathed, extras),
    )


def _read_sampling(config: Fields) -> Sampling:
    return Sampling(
        temperature=read_number(config, f"{_WHERE}temperature"),
        top_p=read_number(config, f"{_WHERE}topP"),
        top_k=_read_top_k(config),
        seed=read_integer(config, f"{_WHERE}seed", least=-LARGEST_INTEGER),
        stop=_read_stop(config),
        max_output_tokens=read_integer(config, f"{_WHERE}maxOutputTokens"),
        choices=read_integer(config, f"{_WHERE}candidateCount", largest=128) or 1,
        presence_penalty=read_number(config, f"{_WHERE}presencePenalty"),
        frequency_penalty=read_number(config, f"{_WHERE}frequencyPenalty"),
        logprobs=read_flag(config, f"{_WHERE}responseLogprobs") or False,
        top_logprobs=read_integer(config, f"{_WHERE}logprobs", least=0),
    )


def _read_top_k(config: Fields) -> int | None:
    name = f"{_WHERE}topK"
    number = read_number(config, name)  # a float on Vertex AI
    if number is None or number == int(number):
        return None if number is None else int(number)
    raise wrong(name, "must be a whole number")


def _read_stop(config: Fields) -> tuple[str, ...]:
    name = f"{_WHERE}stopSequences"
    stop = config.get(name)
    if stop is None:
        return ()
    if isinstance(stop, list) and all(isinstance(item, str) for item in stop):
        return tuple(stop)
    raise wrong(name, "must be an array of strings")


def _read_reasoning(config: Fields, extras: dict[str, Any]) -> Reasoning:
    name = f"{_WHERE}thinkingConfig"
    where = f"{name}."
    thinking = camel(read_object_field(config, name) or {}, where)
    known = frozenset({"thinkingBudget", "thinkingLevel", "includeThoughts"})
    for field, value in rest_of(thinking, known).items():
        extras[where + field] = value
    pathed = {where + field: value for field, value in thinking.items()}
    budget = read_integer(pathed, f"{where}thinkingBudget", least=_DYNAMIC)
    level = read_text(thinking, "thinkingLevel", where)
    if level is not None and level.upper() == "THINKING_LEVEL_UNSPECIFIED":
        level = None
    return Reasoning(
        enabled=None if budget is None else budget != 0,
        effort=None if level is None else level.lower(),
        budget_tokens=budget if budget is not None and budget > 0 else None,
        shown=read_flag(thinking, "includeThoughts", where),
    )


def _read_format(config: Fields, extras: dict[str, Any]) -> AnswerFormat:
    mime = read_text(config, f"{_WHERE}responseMimeType")
    schema = read_object_field(config, f"{_WHERE}responseJsonSchema")
    if schema is None:
        schema = read_object_field(config, f"{_WHERE}_responseJsonSchema")
    older = read_object_field(config, f"{_WHERE}responseSchema")
    if mime == _JSON:
        if schema is None and older is not None:
            schema = json_schema_of(older)
        if schema is None:
            return AnswerFormat("json_object")
        return AnswerFormat("json_schema", schema=schema)
    if mime not in (None, "text/plain"):  # text/x.enum, which no other format has
        names = (_WHERE + name for name in _FORMAT_FIELDS)
        extras |= {name: config[name] for name in names if name in config}
    return AnswerFormat("text")


def write_sampling(request: ChatRequest, target: Target, losses: Losses) -> dict[str, Any]:
    """The fields of sampling."""
    sampling = request.sampling
    seed = sampling.seed
    if seed is not None and not -_SEEDS <= seed < _SEEDS:
        seed %= _SEEDS
    fields = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "candidateCount": sampling.choices if sampling.choices != 1 else None,
        "maxOutputTokens": output_cap(request, target, losses),
        "stopSequences": list(sampling.stop) or None
        if losses.is_own
        else stops_of(sampling, most=_MOST_STOPS),
        "seed": seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "responseLogprobs": sampling.logprobs or None,
        "logprobs": sampling.top_logprobs if sampling.logprobs else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def write_format(wanted: AnswerFormat) -> dict[str, Any]:
    """The fields of a JSON answer; none for its name, nor for strictness, which is always on."""
    if wanted.kind == "text":
        return {}
    fields: dict[str, Any] = {"responseMimeType": _JSON}
    if wanted.kind == "json_schema" and wanted.schema is not None:
        fields["responseJsonSchema"] = cleaned(wanted.schema)
    return fields


def write_reasoning(reasoning: Reasoning, model: str, losses: Losses) -> dict[str, Any]:
    """The `thinkingConfig`: a budget where one is given, else a level or budget by the effort.

    A model that cannot be kept from thinking is asked for as little as it can.
    """
    fields: dict[str, Any] = {}
    if _THOUGHTLESS.search(model):
        if reasoning not in (Reasoning(), Reasoning(enabled=False)):
            losses.lack("reasoning")
        return {}
    if reasoning.shown is not None:
        fields["includeThoughts"] = reasoning.shown
    effort = "none" if reasoning.enabled is False else reasoning.effort
    if effort is not None and effort not in _LEVELS:
        losses.lack("effort")
        effort = None
    if effort != "none" and reasoning.budget_tokens is not None:
        return fields | {"thinkingBudget": reasoning.budget_tokens}
    return fields | _amount(effort, reasoning, model, losses)


def _amount(effort: str | None, reasoning: Reasoning, model: str, losses: Losses) -> dict[str, Any]:
    third = is_third_generation(model)
    if effort is None:
        return {"thinkingBudget": _DYNAMIC} if reasoning.enabled and not third else {}
    if third:
        level = _LEVELS[effort]
        if level == "MINIMAL" and "pro" in model:
            level = "LOW"
        if effort == "none":
            losses.emulate("reasoning")
        return {"thinkingLevel": level}
    if effort == "none" and "pro" in model:
        losses.emulate("reasoning")
        return {"thinkingBudget": _LEAST_OF_PRO}
    return {"thinkingBudget": _BUDGETS[effort]}
