"""What a chat has to look like for the simulator, which is as strict as OpenAI about it.

Whoever tries their program with it is told of a mistake as the real provider would tell it. The
fields are those of OpenAI's reference, `POST /v1/chat/completions`; what is not named is let pass.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from conduit.core.errors import InvalidRequestError

_PLACE: Final = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


class _Part(msgspec.Struct, tag_field="type"):
    pass


class _Text(_Part, tag="text"):
    text: str


class _Url(msgspec.Struct):
    url: str


class _Image(_Part, tag="image_url"):
    image_url: _Url


class _Audio(_Part, tag="input_audio"):
    input_audio: dict[str, Any]


class _File(_Part, tag="file"):
    file: dict[str, Any]


class _Refusal(_Part, tag="refusal"):
    refusal: str


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _Function
    type: Literal["function"] = "function"


class _Message(msgspec.Struct, tag_field="role"):
    pass


class _System(_Message, tag="system"):
    content: str | list[_Text]


class _Developer(_Message, tag="developer"):
    content: str | list[_Text]


class _User(_Message, tag="user"):
    content: str | list[_Text | _Image | _Audio | _File]


class _Assistant(_Message, tag="assistant"):
    content: str | list[_Text | _Refusal] | None = None
    tool_calls: list[_Call] | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None

    def __post_init__(self) -> None:
        said = (self.content, self.tool_calls, self.function_call, self.refusal)
        if all(each is None for each in said):
            raise ValueError("an assistant's message has content or tool_calls")


class _Tool(_Message, tag="tool"):
    content: str | list[_Text]
    tool_call_id: str


class _FunctionResult(_Message, tag="function"):
    name: str
    content: str | None


class _Plain(_Part, tag="text"):
    pass


class _Json(_Part, tag="json_object"):
    pass


class _Named(msgspec.Struct):
    name: str


class _Schema(_Part, tag="json_schema"):
    json_schema: _Named


class _Chat(msgspec.Struct):
    messages: Annotated[
        list[_System | _Developer | _User | _Assistant | _Tool | _FunctionResult],
        msgspec.Meta(min_length=1),
    ]
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    response_format: _Plain | _Json | _Schema | None = None
    metadata: dict[str, str] | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    store: bool | None = None
    service_tier: str | None = None


def check_chat(fields: Mapping[str, Any]) -> None:
    """Raise InvalidRequestError, with the place of what is wrong, for what is no chat."""
    try:
        msgspec.convert(dict(fields), _Chat)
    except msgspec.ValidationError as error:
        found = _PLACE.fullmatch(str(error))
        said, place = found.groups() if found else (str(error), "")
        name = place or None
        where = f"{place}: " if place else ""
        raise InvalidRequestError(f"{where}{said}", param=name) from error
