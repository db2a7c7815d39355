"""Requests that each ask for one thing, in the words of each client's dialect."""

from collections.abc import Mapping
from typing import Any, Final

_PIXEL: Final = "iVBORw0KGgo="
_PNG: Final = f"data:image/png;base64,{_PIXEL}"
_LINK: Final = "https://example.com/a.png"
_PDF: Final = "JVBERi0xLjQK"
_SCHEMA: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_TOOL: Final = {"name": "look_up", "description": "Looks a city up.", "parameters": _SCHEMA}

Probes = Mapping[str, Mapping[str, Any]]
"""By what is asked for: the fields that ask for it, beside those of a plain question."""


def _chat_says(*parts: Any, **more: Any) -> dict[str, Any]:
    text = {"type": "text", "text": "What is this?"}
    return {"messages": [{"role": "user", "content": [text, *parts]}], **more}


def _chat_round(*calls: str, **more: Any) -> dict[str, Any]:
    """A question, the model's calls of a tool, their results."""
    asked = [
        {"id": name, "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
        for name in calls
    ]
    results = [{"role": "tool", "tool_call_id": name, "content": "found"} for name in calls]
    assistant = {"role": "assistant", "content": None, "tool_calls": asked, **more}
    return {
        "messages": [{"role": "user", "content": "Look."}, assistant, *results],
        "tools": [{"type": "function", "function": _TOOL}],
    }


_CHAT_TOOLS: Final = {"tools": [{"type": "function", "function": _TOOL}]}
_CHAT: Final[Probes] = {
    "text": {},
    "streaming": {"stream": True},
    "instructions": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ]
    },
    "instructions in mid-conversation": {
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Well?"},
        ]
    },
    "name of a speaker": {"messages": [{"role": "user", "name": "ann", "content": "Hello"}]},
    "output cap": {"max_completion_tokens": 100},
    "temperature": {"temperature": 0.5},
    "temperature above 1": {"temperature": 1.5},
    "top p": {"top_p": 0.9},
    "stop words": {"stop": ["END"]},
    "seed": {"seed": 7},
    "several choices": {"n": 2},
    "presence penalty": {"presence_penalty": 0.5},
    "frequency penalty": {"frequency_penalty": 0.5},
    "log probabilities": {"logprobs": True, "top_logprobs": 2},
    "logit bias": {"logit_bias": {"50256": -100}},
    "end user's name": {"user": "u-1"},
    "metadata": {"metadata": {"team": "a"}},
    "service tier": {"service_tier": "flex"},
    "effort of thinking": {"reasoning_effort": "low"},
    "tools": _CHAT_TOOLS,
    "tool by force": {**_CHAT_TOOLS, "tool_choice": "required"},
    "one tool by force": {
        **_CHAT_TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
    },
    "no tool": {**_CHAT_TOOLS, "tool_choice": "none"},
    "one call at a time": {**_CHAT_TOOLS, "parallel_tool_calls": False},
    "strict tool": {"tools": [{"type": "function", "function": {**_TOOL, "strict": True}}]},
    "results of tools": _chat_round("call_a", "call_b"),
    "thinking of another provider": _chat_round(
        "call_a",
        reasoning_content="Hm.",
        reasoning_signature="conduit:elsewhere:c2ln",
    ),
    "any JSON": {"response_format": {"type": "json_object"}},
    "JSON by a schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "city", "schema": _SCHEMA, "strict": True},
        }
    },
    "image in the request": _chat_says({"type": "image_url", "image_url": {"url": _PNG}}),
    "image by address": _chat_says({"type": "image_url", "image_url": {"url": _LINK}}),
    "detail of an image": _chat_says(
        {"type": "image_url", "image_url": {"url": _PNG, "detail": "low"}}
    ),
    "sound": _chat_says(
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    ),
    "PDF in the request": _chat_says(
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{_PDF}"},
        }
    ),
    "file by the provider's id": _chat_says({"type": "file", "file": {"file_id": "file-1"}}),
    "mark for the prompt cache": _chat_says(
        {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    ),
    "spoken answer": {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "mp3"}},
    "search by the provider": {"web_search_options": {}},
    "field that nobody knows": {"later": True},
}


def _input(*parts: Any) -> dict[str, Any]:
    text = {"type": "input_text", "text": "What is this?"}
    return {"input": [{"role": "user", "content": [text, *parts]}]}


_FUNCTION: Final = {"type": "function", **_TOOL, "strict": False}
_RESPONSES_TOOLS: Final = {"tools": [_FUNCTION]}
_RESPONSES: Final[Probes] = {
    "text": {},
    "streaming": {"stream": True},
    "instructions": {"instructions": "Be brief."},
    "output cap": {"max_output_tokens": 100},
    "temperature": {"temperature": 0.5},
    "temperature above 1": {"temperature": 1.5},
    "top p": {"top_p": 0.9},
    "log probabilities": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    "end user's name": {"user": "u-1"},
    "metadata": {"metadata": {"team": "a"}},
    "service tier": {"service_tier": "flex"},
    "effort of thinking": {"reasoning": {"effort": "low"}},
    "summary of thinking": {"reasoning": {"summary": "auto"}},
    "sealed thinking": {"include": ["reasoning.encrypted_content"], "store": False},
    "tools": _RESPONSES_TOOLS,
    "tool by force": {**_RESPONSES_TOOLS, "tool_choice": "required"},
    "one tool by force": {
        **_RESPONSES_TOOLS,
        "tool_choice": {"type": "function", "name": "look_up"},
    },
    "no tool": {**_RESPONSES_TOOLS, "tool_choice": "none"},
    "one call at a time": {**_RESPONSES_TOOLS, "parallel_tool_calls": False},
    "strict tool": {"tools": [{**_FUNCTION, "strict": True}]},
    "results of tools": {
        "input": [
            {"role": "user", "content": "Look."},
            {"type": "function_call", "call_id": "call_a", "name": "look_up", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_a", "output": "found"},
        ],
        **_RESPONSES_TOOLS,
    },
    "thinking of another provider": {
        "input": [
            {"role": "user", "content": "Look."},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "conduit:elsewhere:c2ln",
            },
            {"type": "function_call", "call_id": "call_a", "name": "look_up", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_a", "output": "found"},
        ],
        **_RESPONSES_TOOLS,
    },
    "any JSON": {"text": {"format": {"type": "json_object"}}},
    "JSON by a schema": {
        "text": {
            "format": {"type": "json_schema", "name": "city", "schema": _SCHEMA, "strict": True}
        }
    },
    "length of the answer in a word": {"text": {"verbosity": "low"}},
    "image in the request": _input({"type": "input_image", "image_url": _PNG}),
    "image by address": _input({"type": "input_image", "image_url": _LINK}),
    "detail of an image": _input({"type": "input_image", "image_url": _PNG, "detail": "low"}),
    "PDF in the request": _input(
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": f"data:application/pdf;base64,{_PDF}",
        }
    ),
    "file by the provider's id": _input({"type": "input_file", "file_id": "file-1"}),
    "conversation kept by the provider": {"previous_response_id": "resp_1"},
    "answer kept by the provider": {"store": True},
    "search by the provider": {"tools": [{"type": "web_search"}]},
    "field that nobody knows": {"later": True},
}


def _blocks(*blocks: Any) -> dict[str, Any]:
    text = {"type": "text", "text": "What is this?"}
    return {"messages": [{"role": "user", "content": [text, *blocks]}]}


_CLAUDE_TOOL: Final = {
    "name": "look_up",
    "description": "Looks a city up.",
    "input_schema": _SCHEMA,
}
_CLAUDE_TOOLS: Final = {"tools": [_CLAUDE_TOOL]}


def _claude_round(*thinking: Any, **result: Any) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "toolu_a", "name": "look_up", "input": {}}
    found = {"type": "tool_result", "tool_use_id": "toolu_a", "content": "found", **result}
    return {
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": [*thinking, use]},
            {"role": "user", "content": [found]},
        ],
        **_CLAUDE_TOOLS,
    }


_ANTHROPIC: Final[Probes] = {
    "text": {},
    "streaming": {"stream": True},
    "instructions": {"system": "Be brief."},
    "temperature": {"temperature": 0.5},
    "top p": {"top_p": 0.9},
    "top k": {"top_k": 40},
    "stop words": {"stop_sequences": ["END"]},
    "end user's name": {"metadata": {"user_id": "u-1"}},
    "service tier": {"service_tier": "standard_only"},
    "budget of thinking": {
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
    "no thinking": {"thinking": {"type": "disabled"}},
    "effort of thinking": {"output_config": {"effort": "low"}},
    "tools": _CLAUDE_TOOLS,
    "tool by force": {**_CLAUDE_TOOLS, "tool_choice": {"type": "any"}},
    "one tool by force": {**_CLAUDE_TOOLS, "tool_choice": {"type": "tool", "name": "look_up"}},
    "no tool": {**_CLAUDE_TOOLS, "tool_choice": {"type": "none"}},
    "one call at a time": {
        **_CLAUDE_TOOLS,
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    },
    "strict tool": {"tools": [{**_CLAUDE_TOOL, "strict": True}]},
    "results of tools": _claude_round(),
    "result of a tool that failed": _claude_round(is_error=True),
    "thinking of another provider": _claude_round(
        {"type": "thinking", "thinking": "Hm.", "signature": "conduit:elsewhere:c2ln"}
    ),
    "JSON by a schema": {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
    "image in the request": _blocks(
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL},
        }
    ),
    "image by address": _blocks({"type": "image", "source": {"type": "url", "url": _LINK}}),
    "PDF in the request": _blocks(
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF},
        }
    ),
    "file by the provider's id": _blocks(
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    ),
    "mark for the prompt cache": _blocks(
        {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    ),
    "search by the provider": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "field that nobody knows": {"later": True},
}


def _config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def _parts(*parts: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": "What is this?"}, *parts]}]}


_DECLARED: Final = {
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "look_up",
                    "description": "Looks a city up.",
                    "parametersJsonSchema": _SCHEMA,
                }
            ]
        }
    ]
}


def _gemini_round(**signature: str) -> dict[str, Any]:
    call = {"functionCall": {"name": "look_up", "args": {}}, **signature}
    result = {"functionResponse": {"name": "look_up", "response": {"result": "found"}}}
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "Look."}]},
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [result]},
        ],
        **_DECLARED,
    }


def _calling(**config: Any) -> dict[str, Any]:
    return {**_DECLARED, "toolConfig": {"functionCallingConfig": config}}


_GEMINI: Final[Probes] = {
    "text": {},
    "instructions": {"systemInstruction": {"parts": [{"text": "Be brief."}]}},
    "output cap": _config(maxOutputTokens=100),
    "temperature": _config(temperature=0.5),
    "temperature above 1": _config(temperature=1.5),
    "top p": _config(topP=0.9),
    "top k": _config(topK=40),
    "stop words": _config(stopSequences=["END"]),
    "seed": _config(seed=7),
    "several choices": _config(candidateCount=2),
    "presence penalty": _config(presencePenalty=0.5),
    "frequency penalty": _config(frequencyPenalty=0.5),
    "log probabilities": _config(responseLogprobs=True, logprobs=2),
    "budget of thinking": _config(thinkingConfig={"thinkingBudget": 1024}, maxOutputTokens=4000),
    "no thinking": _config(thinkingConfig={"thinkingBudget": 0}),
    "effort of thinking": _config(thinkingConfig={"thinkingLevel": "LOW"}),
    "thoughts shown": _config(thinkingConfig={"includeThoughts": True}),
    "tools": _DECLARED,
    "tool by force": _calling(mode="ANY"),
    "one tool by force": _calling(mode="ANY", allowedFunctionNames=["look_up"]),
    "no tool": _calling(mode="NONE"),
    "results of tools": _gemini_round(),
    "thinking of another provider": _gemini_round(
        thoughtSignature="Y29uZHVpdDplbHNld2hlcmU6YzJsbg=="  # "conduit:elsewhere:c2ln"
    ),
    "any JSON": _config(responseMimeType="application/json"),
    "JSON by a schema": _config(responseMimeType="application/json", responseJsonSchema=_SCHEMA),
    "image in the request": _parts({"inlineData": {"mimeType": "image/png", "data": _PIXEL}}),
    "image by address": _parts({"fileData": {"mimeType": "image/png", "fileUri": _LINK}}),
    "sound": _parts({"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}),
    "PDF in the request": _parts({"inlineData": {"mimeType": "application/pdf", "data": _PDF}}),
    "prompt kept by the provider": {"cachedContent": "cachedContents/1"},
    "safety settings": {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]
    },
    "spoken answer": _config(responseModalities=["AUDIO"]),
    "search by the provider": {"tools": [{"googleSearch": {}}]},
    "field that nobody knows": {"later": True},
}

PLAIN: Final[Mapping[str, Mapping[str, Any]]] = {
    "openai_chat": {"model": "alias", "messages": [{"role": "user", "content": "Hello"}]},
    "openai_responses": {"model": "alias", "input": "Hello"},
    "anthropic_messages": {
        "model": "alias",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello"}],
    },
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}
"""A plain question of each dialect."""

PROBES: Final[Mapping[str, Probes]] = {
    "openai_chat": _CHAT,
    "openai_responses": _RESPONSES,
    "anthropic_messages": _ANTHROPIC,
    "gemini": _GEMINI,
}
