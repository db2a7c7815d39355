"""What a model can do at a provider, as far as it is known: None stands for what is not.

Three sources, each over the one before it: what the vendors' pages say of families of their models
(`_FAMILIES`; a family that is not there, or newer than this file, is unknown, not like its elders),
the price book's row of the model, and the provider's type, which bounds what reaches any model
through it. An operator's word stands over all of them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from conduit.core.capabilities import SIZES
from conduit.gateway.pricing import Rates
from conduit.gateway.provider import Operation, ProviderType


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do at a provider; None where it is not known.

    `vision` and `audio` are of the input (`audio` of the output as well), `schema` whether the
    answer may be asked for by a JSON schema, `reasoning` whether it thinks or can be made to.
    `context_tokens` is the most of a call in all, `output_tokens` the most of an answer.
    """

    chat: bool | None = None
    vision: bool | None = None
    tools: bool | None = None
    schema: bool | None = None
    reasoning: bool | None = None
    embeddings: bool | None = None
    audio: bool | None = None
    context_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class _Family:
    """Models of one kind, at the sellers (by their name in the price book) who pass all of it on.

    `pattern` is for the whole of a model's name in lower case, without its publisher and with
    dashes for dots.
    """

    sellers: frozenset[str]
    pattern: str
    known: Capabilities


_NAMES: Final = frozenset(field.name for field in fields(Capabilities))
_COUNTS: Final = frozenset(SIZES)
_EMBEDDING = re.compile(r"(?:^|[-_/.])(?:text-)?embed(?:ding)?s?(?:[-_/.]|$)")

_OPENAI: Final = frozenset({"openai", "azure"})
_ANTHROPIC: Final = frozenset({"anthropic", "google", "aws"})
_GOOGLE: Final = frozenset({"google"})

# Dates of releases, "latest", and the versions that clouds put behind @ or :.
_RELEASE: Final = r"(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest))?(?:-v\d(?::\d)?)?"


def _family(
    sellers: frozenset[str], names: str, output_tokens: int | None = None, **known: bool
) -> _Family:
    pattern = f"(?:{names}){_RELEASE}"  # compiled when a model is looked up, and kept by re
    return _Family(sellers, pattern, Capabilities(chat=True, output_tokens=output_tokens, **known))


# platform.openai.com/docs/models, platform.claude.com/docs/en/about-claude/models/overview (and
# build-with-claude/structured-outputs), ai.google.dev/gemini-api/docs/models, api-docs.deepseek.com
_FAMILIES: Final[tuple[_Family, ...]] = (
    _family(
        _OPENAI, r"gpt-3-5-turbo", 4096, vision=False, tools=True, schema=False, reasoning=False
    ),
    _family(
        _OPENAI, r"gpt-4(?:-0613)?", 8192, vision=False, tools=True, schema=False, reasoning=False
    ),
    _family(_OPENAI, r"gpt-4-turbo", 4096, vision=True, tools=True, schema=False, reasoning=False),
    _family(
        _OPENAI, r"gpt-4o-2024-05-13", 4096, vision=True, tools=True, schema=False, reasoning=False
    ),
    _family(
        _OPENAI, r"gpt-4o(?:-mini)?", 16_384, vision=True, tools=True, schema=True, reasoning=False
    ),
    _family(
        _OPENAI,
        r"gpt-4-1(?:-mini|-nano)?",
        32_768,
        vision=True,
        tools=True,
        schema=True,
        reasoning=False,
    ),
    _family(
        _OPENAI,
        r"gpt-5(?:-mini|-nano|-[12])?",
        128_000,
        vision=True,
        tools=True,
        schema=True,
        reasoning=True,
    ),
    _family(
        _OPENAI, r"o1|o3|o4-mini", 100_000, vision=True, tools=True, schema=True, reasoning=True
    ),
    _family(_OPENAI, r"o3-mini", 100_000, vision=False, tools=True, schema=True, reasoning=True),
    _family(
        _ANTHROPIC,
        r"(?:anthropic-)?claude-3-(?:opus|sonnet|haiku)",
        4096,
        vision=True,
        tools=True,
        schema=False,
        reasoning=False,
    ),
    _family(
        _ANTHROPIC,
        r"(?:anthropic-)?claude-3-5-sonnet",
        8192,
        vision=True,
        tools=True,
        schema=False,
        reasoning=False,
    ),
    _family(
        _ANTHROPIC,
        r"(?:anthropic-)?claude-3-7-sonnet",
        64_000,
        vision=True,
        tools=True,
        schema=False,
        reasoning=True,
    ),
    _family(
        _ANTHROPIC,
        r"(?:anthropic-)?claude-opus-4(?:-0)?",
        32_000,
        vision=True,
        tools=True,
        schema=False,
        reasoning=True,
    ),
    _family(
        _ANTHROPIC,
        r"(?:anthropic-)?claude-sonnet-4(?:-0)?",
        64_000,
        vision=True,
        tools=True,
        schema=False,
        reasoning=True,
    ),
    _family(
        _ANTHROPIC,
        r"(?:anthropic-)?claude-opus-4-1",
        32_000,
        vision=True,
        tools=True,
        reasoning=True,
    ),
    _family(
        _ANTHROPIC,
        r"(?:anthropic-)?claude-(?:opus|sonnet|haiku)-4-5",
        64_000,
        vision=True,
        tools=True,
        reasoning=True,
    ),
    _family(
        _GOOGLE,
        r"gemini-2-0-flash(?:-lite)?(?:-001)?",
        8192,
        vision=True,
        tools=True,
        schema=True,
        reasoning=False,
        audio=True,
    ),
    _family(
        _GOOGLE,
        r"gemini-2-5-(?:pro|flash|flash-lite)",
        65_536,
        vision=True,
        tools=True,
        schema=True,
        reasoning=True,
        audio=True,
    ),
    _family(frozenset({"deepseek"}), r"deepseek-chat", vision=False, tools=True),
    _family(
        frozenset({"deepseek"}), r"deepseek-reasoner", vision=False, tools=True, reasoning=True
    ),
)

_EMBEDS: Final = Capabilities(
    chat=False, tools=False, schema=False, reasoning=False, embeddings=True
)
_SIMULATED: Final = Capabilities(
    chat=True, vision=True, tools=True, schema=True, reasoning=False, audio=False
)


def capabilities_of(
    provider: ProviderType,
    model: str,
    rates: Rates | None,
    overrides: Mapping[str, Any] | None = None,
) -> Capabilities:
    """What a model can do at a provider of this type.

    `rates` is the price book's row of the model, None where it has none. `overrides` are an
    operator's words by the names of `Capabilities`: true, false or a count, and None for "not
    known". Raises ValueError for a name or a value that is none.
    """
    known = _bounded(_priced(_stated(provider, model), rates), provider)
    return replace(known, **check_overrides(overrides)) if overrides else known


def _stated(provider: ProviderType, model: str) -> Capabilities:
    """What the makers say of models of that name; names of embedding models say it themselves."""
    name = model.lower()
    if _EMBEDDING.search(name):
        return _EMBEDS
    if provider.simulated:
        return _SIMULATED
    name = name.rsplit("/", 1)[-1].replace(".", "-")
    for family in _FAMILIES:
        if provider.prices in family.sellers and re.fullmatch(family.pattern, name):
            return replace(family.known, embeddings=False)
    return Capabilities()


def _priced(known: Capabilities, rates: Rates | None) -> Capabilities:
    """What a price tells: nobody sells tokens of a kind that the model does not have."""
    if rates is None:
        return known
    audio = rates.input_audio is not None or rates.output_audio is not None
    return replace(
        known,
        audio=True if audio else known.audio,
        reasoning=True if rates.reasoning is not None else known.reasoning,
        context_tokens=rates.context_tokens,
        output_tokens=rates.max_output_tokens or known.output_tokens,
    )


def _bounded(known: Capabilities, provider: ProviderType) -> Capabilities:
    """What cannot get through to a model of the provider is not there, whatever the model can."""
    chat = known.chat if Operation.CHAT in provider.operations else False
    embeddings = known.embeddings if Operation.EMBEDDING in provider.operations else False
    schema = known.schema if provider.quirks.schema else False
    return replace(known, chat=chat, embeddings=embeddings, schema=schema)


def check_overrides(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """An operator's words, if all of them are names and values. Raises ValueError."""
    for name, value in overrides.items():
        if name not in _NAMES:
            raise ValueError(f"{name} is no capability; there are {', '.join(sorted(_NAMES))}")
        if value is None:
            continue
        if name in _COUNTS:
            if type(value) is not int or value <= 0:
                raise ValueError(f"{name} must be a positive integer")
        elif not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false")
    return overrides
