"""The clients of the load: what each dialect sends, and how the whole of its stream is checked.

The text, the reason to end and the usage are looked for in the very bytes: the mock's texts hold
nothing that a writer of JSON would escape, and every gateway here writes JSON without spaces.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from provider_streams import MARK, OUTPUT_TOKENS


@dataclass(frozen=True, slots=True)
class Client:
    """A dialect of a client: where it sends what, and what its stream looks like.

    `path` is below the gateway's origin and may hold the model. `mark` opens the text of a chunk;
    a stream ends in `end`, and before that it says each of `facts`.
    """

    path: str
    body: Callable[[str, str, bool], dict[str, Any]]
    mark: bytes
    end: bytes
    facts: tuple[bytes, ...]

    def fault_of(self, stream: bytes, count: int) -> str:
        """What is wrong with a whole stream of `count` chunks; "" where nothing is."""
        texts = re.findall(re.escape(self.mark) + rb"(\d+)\"", stream)
        if len(texts) != count:
            return "chunks missing"
        if texts != [b"%d" % number for number in range(count)]:
            return "chunks out of order"
        missing = [fact for fact in self.facts if fact not in stream]
        if missing:
            return f"lacks {missing[0].decode()}"
        return "" if self.end in stream[-4000:] else f"no {self.end.decode()}"


def _chat(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    more = {"stream": True, "stream_options": {"include_usage": True}}
    return body | more if stream else body


_AGENT_TOOLS = 25
_AGENT_CALLS = 60


def _agent(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    """What a coding agent asks after an hour of work: about 90 kB of tools, calls and results."""
    body = _chat(model, prompt, stream)
    before: list[dict[str, Any]] = [{"role": "system", "content": "You are an agent. " * 300}]
    for number in range(_AGENT_CALLS):
        function = {"name": "tool_1", "arguments": '{"path": "%s"}' % ("x" * 100)}
        calls = [{"id": f"call_{number}", "type": "function", "function": function}]
        result = "a line of code { } [ ] \n" * 30
        before += [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": f"call_{number}", "content": result},
        ]
    tools = [_tool(f"tool_{number}") for number in range(_AGENT_TOOLS)]
    return body | {"messages": [*before, *body["messages"]], "tools": tools}


def _tool(name: str) -> dict[str, Any]:
    text = {"type": "string", "description": "What it is. " * 3}
    schema = {"type": "object", "properties": dict.fromkeys("abcdef", text), "required": ["a"]}
    function = {"name": name, "description": "Does a thing. " * 20, "parameters": schema}
    return {"type": "function", "function": function}


def _messages(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": prompt}],
        "stream": stream,
    }


def _gemini(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}


def _responses(model: str, prompt: str, stream: bool) -> dict[str, Any]:
    return {"model": model, "input": prompt, "stream": stream, "store": False}


def _texts(before: str) -> bytes:
    return (before + '"' + MARK).encode()


CLIENTS = {
    "chat": Client(
        "/v1/chat/completions",
        _chat,
        _texts('"content":'),
        b"[DONE]",
        (b'"finish_reason":"stop"', b'"completion_tokens":%d' % OUTPUT_TOKENS),
    ),
    "agent": Client("/v1/chat/completions", _agent, b"", b"", ()),  # whole answers alone
    "messages": Client(
        "/v1/messages",
        _messages,
        _texts('"text_delta","text":'),
        b"event: message_stop",
        (b'"stop_reason":"end_turn"', b'"output_tokens":%d' % OUTPUT_TOKENS),
    ),
    "gemini": Client(
        "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        _gemini,
        _texts('"text":'),
        b'"finishReason":"STOP"',
        (b'"candidatesTokenCount":%d' % OUTPUT_TOKENS,),
    ),
    "responses": Client(
        "/v1/responses",
        _responses,
        _texts('"delta":'),
        b'"status":"completed"',
        (b"event: response.completed", b'"output_tokens":%d' % OUTPUT_TOKENS),
    ),
}
