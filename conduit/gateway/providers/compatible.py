"""Vendors that speak OpenAI's wire format, a row each.

What is said here of a vendor is from its own documentation or an answer of its servers; the README
in its folder of `tests/fixtures/providers/` names the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from conduit.gateway.dialects.openai.http import PATHS, bearer
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.provider import (
    USUAL_OPERATIONS,
    FieldRules,
    Operation,
    OutgoingRequest,
    Provider,
    ProviderType,
    Quirks,
)


@dataclass(frozen=True, slots=True)
class Compatible:
    """A server that speaks OpenAI's wire format."""

    type: ProviderType

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return PATHS[operation]

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return bearer(credential)


_CHAT: Final = frozenset({Operation.CHAT})
_CHAT_AND_COMPLETIONS: Final = frozenset({Operation.CHAT, Operation.COMPLETION})
_CHAT_AND_EMBEDDINGS: Final = frozenset({Operation.CHAT, Operation.EMBEDDING})

_WITH_RERANK: Final = USUAL_OPERATIONS | {Operation.RERANK}
_WITH_ALL: Final = _WITH_RERANK | {Operation.MODERATION}

_NO_DEVELOPER: Final = {"developer": "system"}
_ONLY_MAX_TOKENS: Final = {"max_completion_tokens": "max_tokens"}


_vendor = partial(ProviderType, dialect=openai_chat.NAME)
"""A hosted vendor."""

_server = partial(ProviderType, dialect=openai_chat.NAME, needs_credential=False)
"""A server that one runs oneself; it may want a key, or none."""

_SERVERS: Final = (
    _server(name="litellm", title="LiteLLM proxy", default_base_url=None, operations=_WITH_ALL),
    _server(
        name="llama_cpp",
        title="llama.cpp server",
        default_base_url="http://127.0.0.1:8080/v1",
        operations=_WITH_RERANK,
        prices="ollama",
    ),
    _server(
        name="lm_studio",
        title="LM Studio",
        default_base_url="http://127.0.0.1:1234/v1",
        prices="ollama",
        runs_here=True,
    ),
    _server(
        name="ollama",
        title="Ollama",
        default_base_url="http://127.0.0.1:11434/v1",
        prices="ollama",
        # What it does not know it passes over in silence.
        quirks=Quirks(
            fields=FieldRules(
                renamed=_ONLY_MAX_TOKENS,
                dropped=frozenset({"user"}),
                refused=frozenset({"logit_bias", "n", "tool_choice"}),
                message_renamed={"reasoning_content": "reasoning"},
            )
        ),
        runs_here=True,
    ),
    _server(
        name="openai_compatible",
        title="OpenAI-compatible server",
        default_base_url=None,
        operations=_WITH_ALL,
        quirks=Quirks(request_id_header="x-client-request-id"),
    ),
    _server(
        name="vllm",
        title="vLLM",
        default_base_url="http://127.0.0.1:8000/v1",
        operations=_WITH_RERANK,
        prices="ollama",
    ),
)

_VENDORS: Final = (
    _vendor(
        name="cerebras",
        title="Cerebras",
        default_base_url="https://api.cerebras.ai/v1",
        environment=("CEREBRAS_API_KEY",),
        operations=_CHAT_AND_COMPLETIONS,
        prices="cerebras",
        quirks=Quirks(
            output_cap_field="max_completion_tokens",
            # Answers 400 to reasoning under any other name than the one under which it gave it.
            fields=FieldRules(
                roles=_NO_DEVELOPER, message_renamed={"reasoning_content": "reasoning"}
            ),
        ),
    ),
    _vendor(
        name="cloudflare",
        title="Cloudflare Workers AI",
        default_base_url=None,  # the account's number stands in it
        environment=("CLOUDFLARE_API_TOKEN",),
        operations=_CHAT_AND_EMBEDDINGS,
        prices="cloudflare",
        quirks=Quirks(fields=FieldRules(null_content=False)),
        models_path=None,
        base_url_form="https://api.cloudflare.com/client/v4/accounts/ACCOUNT_ID/ai/v1",
    ),
    _vendor(
        name="deepinfra",
        title="DeepInfra",
        default_base_url="https://api.deepinfra.com/v1/openai",
        environment=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
    ),
    _vendor(
        name="deepseek",
        title="DeepSeek",
        default_base_url="https://api.deepseek.com",
        environment=("DEEPSEEK_API_KEY",),
        operations=_CHAT,
        prices="deepseek",
        quirks=Quirks(
            schema=False, fields=FieldRules(renamed=_ONLY_MAX_TOKENS, roles=_NO_DEVELOPER)
        ),
    ),
    _vendor(
        name="fireworks",
        title="Fireworks AI",
        default_base_url="https://api.fireworks.ai/inference/v1",
        environment=("FIREWORKS_API_KEY",),
        prices="fireworks",
    ),
    _vendor(
        name="groq",
        title="Groq",
        default_base_url="https://api.groq.com/openai/v1",
        environment=("GROQ_API_KEY",),
        operations=_CHAT,
        prices="groq",
        quirks=Quirks(
            output_cap_field="max_completion_tokens",
            # Its models without reasoning refuse `reasoning` too, so it is not renamed to that.
            fields=FieldRules(
                refused=frozenset({"logit_bias", "logprobs", "n", "top_logprobs"}),
                message_dropped=frozenset({"name", "reasoning_content"}),
            ),
        ),
    ),
    _vendor(
        name="huggingface",
        title="Hugging Face Inference Providers",
        default_base_url="https://router.huggingface.co/v1",
        environment=("HF_TOKEN",),
        operations=_CHAT,
        prices="huggingface",
    ),
    _vendor(
        name="minimax",
        title="MiniMax",
        default_base_url="https://api.minimax.io/v1",
        environment=("MINIMAX_API_KEY",),
        operations=_CHAT,
        prices="minimax",
        quirks=Quirks(
            output_cap_field="max_completion_tokens",
            fields=FieldRules(
                renamed={"max_tokens": "max_completion_tokens"}, refused=frozenset({"n"})
            ),
        ),
    ),
    _vendor(
        name="mistral",
        title="Mistral",
        default_base_url="https://api.mistral.ai/v1",
        environment=("MISTRAL_API_KEY",),
        operations=_CHAT_AND_EMBEDDINGS | {Operation.MODERATION},
        prices="mistral",
        # Answers 422 to every field that it does not know; its streams end with usage unasked.
        quirks=Quirks(
            asks_stream_usage=False,
            fields=FieldRules(
                renamed={
                    **_ONLY_MAX_TOKENS,
                    "dimensions": "output_dimension",
                    "seed": "random_seed",
                },
                dropped=frozenset(
                    {
                        "prompt_cache_key",
                        "safety_identifier",
                        "service_tier",
                        "store",
                        "stream_options",
                        "user",
                        "verbosity",
                    }
                ),
                refused=frozenset(
                    {"audio", "logit_bias", "logprobs", "modalities", "top_logprobs"}
                ),
                roles=_NO_DEVELOPER,
                message_dropped=frozenset({"reasoning", "reasoning_content"}),
                tool_call_ids="[a-zA-Z0-9]{9}",
            ),
        ),
    ),
    _vendor(
        name="moonshot",
        title="Moonshot AI",
        default_base_url="https://api.moonshot.ai/v1",
        environment=("MOONSHOT_API_KEY",),
        operations=_CHAT,
        prices="moonshotai",
        quirks=Quirks(output_cap_field="max_completion_tokens"),
    ),
    _vendor(
        name="nebius",
        title="Nebius Token Factory",
        default_base_url="https://api.tokenfactory.nebius.com/v1",
        environment=("NEBIUS_API_KEY",),
    ),
    _vendor(
        name="nvidia",
        title="NVIDIA NIM",
        default_base_url="https://integrate.api.nvidia.com/v1",
        environment=("NVIDIA_API_KEY",),
    ),
    _vendor(
        name="openrouter",
        title="OpenRouter",
        default_base_url="https://openrouter.ai/api/v1",
        environment=("OPENROUTER_API_KEY",),
        operations=_CHAT_AND_EMBEDDINGS,
        prices="openrouter",
    ),
    _vendor(
        name="sambanova",
        title="SambaNova",
        default_base_url="https://api.sambanova.ai/v1",
        environment=("SAMBANOVA_API_KEY",),
        # It ignores these, and says so.
        quirks=Quirks(
            fields=FieldRules(
                dropped=frozenset({"frequency_penalty", "presence_penalty"}),
                refused=frozenset({"logit_bias"}),
            )
        ),
    ),
    _vendor(
        name="together",
        title="Together AI",
        default_base_url="https://api.together.ai/v1",
        environment=("TOGETHER_API_KEY",),
        operations=_WITH_RERANK,
        prices="together",
    ),
    _vendor(
        name="xai",
        title="xAI",
        default_base_url="https://api.x.ai/v1",
        environment=("XAI_API_KEY",),
        operations=_CHAT,
        prices="x-ai",
    ),
)

PROVIDERS: Final[tuple[Provider, ...]] = tuple(map(Compatible, (*_SERVERS, *_VENDORS)))
