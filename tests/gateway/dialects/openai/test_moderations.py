import json
from typing import Any

import pytest

from conduit.core.errors import InvalidRequestError
from conduit.gateway.dialects.openai.moderations import (
    ModerationRequest,
    decode_request,
)

TEXT = {"type": "text", "text": "a"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


def decoded(**fields: Any) -> ModerationRequest:
    return decode_request(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a", ModerationRequest(None, ("a",))),
        (["a", "b"], ModerationRequest(None, ("a", "b"))),
        ([TEXT, IMAGE], ModerationRequest(None, ("a",), images=1)),
    ],
)
def test_the_three_forms_of_input_are_read(given: Any, expected: ModerationRequest) -> None:
    assert decoded(input=given) == expected
    assert decoded(input=given, model="m").model == "m"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": "a", "model": ""}, "model"),
        ({"input": "a", "model": 5}, "model"),
        ({"input": ["a", 5]}, "input[0]"),
        ({"input": [TEXT, "a"]}, "input[1]"),
        ({"input": [{"type": "audio"}]}, "input[0].type"),
        ({"input": [{"type": "text"}]}, "input[0].text"),
        ({"input": [TEXT, {"type": "image_url"}]}, "input[1].image_url.url"),
        ({"input": [{"type": "image_url", "image_url": "x"}]}, "input[0].image_url"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(**fields)
    assert caught.value.param == param
