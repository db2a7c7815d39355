"""Gemini's `generateContent` as a dialect: a decoder and an encoder for the internal form.

The same bodies serve the Gemini API and Vertex AI; the model, and whether the answer is streamed,
stand in the address.
"""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.dialects.gemini.count import (
    decode_count,
    decode_count_request,
    encode_count,
    encode_count_request,
)
from conduit.gateway.dialects.gemini.entries import TURNS
from conduit.gateway.dialects.gemini.errors import decode_error, encode_error
from conduit.gateway.dialects.gemini.read_request import decode_request
from conduit.gateway.dialects.gemini.read_stream import StreamDecoder, decode_response
from conduit.gateway.dialects.gemini.usage import usage_from_gemini, usage_to_gemini
from conduit.gateway.dialects.gemini.words import NAME
from conduit.gateway.dialects.gemini.write_answer import encode_response
from conduit.gateway.dialects.gemini.write_request import encode_request
from conduit.gateway.dialects.gemini.write_stream import StreamEncoder

__all__ = [
    "FIELD_NAMES",
    "NAME",
    "TURNS",
    "StreamDecoder",
    "StreamEncoder",
    "decode_count",
    "decode_count_request",
    "decode_error",
    "decode_request",
    "decode_response",
    "encode_count",
    "encode_count_request",
    "encode_error",
    "encode_request",
    "encode_response",
    "usage_from_gemini",
    "usage_to_gemini",
]

FIELD_NAMES: Final[Mapping[str, str]] = {
    "answer_format": "generationConfig.responseJsonSchema",
    "arguments": "contents.parts.functionCall.args",
    "audio": "contents.parts.inlineData",
    "budget_tokens": "generationConfig.thinkingConfig.thinkingBudget",
    "choices": "generationConfig.candidateCount",
    "content": "contents.parts",
    "effort": "generationConfig.thinkingConfig.thinkingLevel",
    "file": "contents.parts.fileData",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "image": "contents.parts.inlineData",
    "logprobs": "generationConfig.responseLogprobs",
    "max_output_tokens": "generationConfig.maxOutputTokens",
    "messages": "contents",
    "parts": "contents.parts",
    "presence_penalty": "generationConfig.presencePenalty",
    "reasoning": "generationConfig.thinkingConfig",
    "seed": "generationConfig.seed",
    "shown": "generationConfig.thinkingConfig.includeThoughts",
    "stop": "generationConfig.stopSequences",
    "system": "systemInstruction",
    "temperature": "generationConfig.temperature",
    "thinking": "contents.parts.thought",
    "tool_call_id": "contents.parts.functionResponse.id",
    "tool_choice": "toolConfig.functionCallingConfig",
    "tool_result": "contents.parts.functionResponse",
    "tools": "tools.functionDeclarations",
    "top_k": "generationConfig.topK",
    "top_logprobs": "generationConfig.logprobs",
    "top_p": "generationConfig.topP",
}
