"""What a vendor's rules make of the fields of a request in OpenAI's format.

The rules are of `conduit/gateway/provider.py`; vendors whose requests are taken as they are have
none, and nothing here runs for them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import msgspec

from conduit.gateway.dialects.default_words import says_nothing
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.target import InexpressibleError
from conduit.gateway.provider import FieldRules, Quirks

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def adapt(fields: Mapping[str, Any], rules: FieldRules) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields as the vendor takes them, and the names of those left out, each once.

    Fields keep their order. Raises InexpressibleError for one that the vendor cannot serve.
    """
    adapted: dict[str, Any] = {}
    dropped: dict[str, None] = {}
    for name, value in fields.items():
        if name in rules.refused:
            if not _says_nothing(name, value):
                raise InexpressibleError(name, f'the provider does not support "{name}"')
        elif name in rules.dropped:
            if not _says_nothing(name, value):
                dropped[name] = None
        elif name == "messages" and isinstance(value, list):
            adapted[name] = [_adapt_message(message, rules, dropped) for message in value]
        else:
            own = rules.renamed.get(name, name)
            if own == name or own not in fields:
                adapted[own] = value
    return adapted, tuple(dropped)


def adapt_raw(
    fields: Mapping[str, msgspec.Raw], rules: FieldRules
) -> tuple[dict[str, msgspec.Raw], tuple[str, ...]]:
    """The same for fields as they stood in a body; what no rule concerns stays as it stood."""
    read = {
        name: read_json(bytes(raw)) if _concerns(rules, name, raw) else raw
        for name, raw in fields.items()
    }
    adapted, dropped = adapt(read, rules)
    return {
        name: value if isinstance(value, msgspec.Raw) else msgspec.Raw(write_json(value))
        for name, value in adapted.items()
    }, dropped


def with_envelope(body: bytes, quirks: Quirks) -> bytes:
    """A JSON body of any dialect without its model, or with further fields, as `quirks` want it."""
    if quirks.model_in_body and not quirks.added:
        return body
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if not quirks.model_in_body:
        fields.pop("model", None)
    added = {name: msgspec.Raw(write_json(value)) for name, value in quirks.added.items()}
    return msgspec.json.encode(fields | added)


def _concerns(rules: FieldRules, name: str, raw: msgspec.Raw) -> bool:
    """Whether a rule may concern the value of a field, so that it must be read."""
    if name == "messages":
        text = bytes(raw)
        return any(mark in text for mark in rules.message_marks)
    return name in rules.refused or name in rules.dropped


def _says_nothing(name: str, value: Any) -> bool:
    # `stream_options` is about how a stream is wrapped, and the gateway's own matter.
    return name == "stream_options" or says_nothing(name, value)


def _adapt_message(message: Any, rules: FieldRules, dropped: dict[str, None]) -> Any:
    if not isinstance(message, dict):
        return message
    adapted: dict[str, Any] = {}
    for name, value in message.items():
        if name in rules.message_dropped:
            if value is not None:
                dropped[f"messages[].{name}"] = None
            continue
        own = rules.message_renamed.get(name, name)
        if own == name or message.get(own) is None:
            adapted[own] = value
    role = adapted.get("role")
    if isinstance(role, str):
        adapted["role"] = rules.roles.get(role, role)
    if rules.tool_call_ids is not None:
        _adapt_ids(adapted, rules)
    if not rules.null_content and "content" in adapted and adapted["content"] is None:
        adapted["content"] = ""
    return adapted


def _adapt_ids(message: dict[str, Any], rules: FieldRules) -> None:
    call_id = message.get("tool_call_id")
    if isinstance(call_id, str):
        message["tool_call_id"] = _fitting(call_id, rules)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            call | {"id": _fitting(call["id"], rules)}
            if isinstance(call, dict) and isinstance(call.get("id"), str)
            else call
            for call in calls
        ]


def _fitting(call_id: str, rules: FieldRules) -> str:
    """The id, or one in the vendor's form: always the same, so that a call and its result agree."""
    if _pattern(rules.tool_call_ids or "").fullmatch(call_id):
        return call_id
    number = int.from_bytes(sha256(call_id.encode("utf-8", "surrogatepass")).digest())
    letters = []
    for _ in range(rules.tool_call_id_length):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    return "".join(letters)


@lru_cache(maxsize=16)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)
