"""What only Ollama's own API has a field for, from a target or from a client."""

import json
from typing import Any

import pytest

from conduit.core.errors import UnsupportedParameterError
from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import Sending
from conduit.gateway.providers import registry
from tests.gateway.dialects.bridges.test_choice import call_of

QUIRKS = registry.provider_of("ollama_native").type.quirks
CLIENTS = ["openai_chat", "openai_responses", "anthropic_messages", "gemini"]


def sent(client: str, params: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], Any]:
    sending = Sending("qwen3", params, QUIRKS)
    encoded = bridge_between(client, "ollama_native").encode(call_of(client, **fields), sending)
    return json.loads(encoded.body), encoded.dropped


@pytest.mark.parametrize("client", CLIENTS)
def test_a_target_s_options_stand_beside_those_of_the_request(client: str) -> None:
    sampling: dict[str, Any] = {"temperature": 0.5}
    if client == "gemini":
        sampling = {"generationConfig": sampling}
    params = {"options": {"num_ctx": 16384}, "keep_alive": "30m"}
    body, dropped = sent(client, params, **sampling)
    assert body["options"]["num_ctx"] == 16384
    assert body["options"]["temperature"] == 0.5
    assert (body["keep_alive"], dropped) == ("30m", ())


def test_a_target_s_option_is_the_last_word() -> None:
    body, _ = sent("openai_chat", {"options": {"seed": 7}}, seed=1, top_p=0.5)
    assert body["options"] == {"top_p": 0.5, "seed": 7}
    body, _ = sent("openai_chat", {"options": None}, seed=1)
    assert "options" not in body
    body, _ = sent("openai_chat", {"options": {"seed": 7}})
    assert body["options"] == {"seed": 7}


def test_a_client_may_say_ollama_s_own_words() -> None:
    words = {"options": {"num_ctx": 8192}, "keep_alive": 0, "odd": 1}
    body, dropped = sent("openai_chat", {}, temperature=0.5, **words)
    assert body["options"] == {"temperature": 0.5, "num_ctx": 8192}
    assert (body["keep_alive"], dropped) == (0, ("odd",))
    with pytest.raises(UnsupportedParameterError):
        sent("openai_chat", {}, options=5)
