"""Pictures, documents and sound on their way to Bedrock's Converse."""

import json
from typing import Any

import pytest

from conduit.gateway.conversation import (
    Audio,
    ChatRequest,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Text,
)
from conduit.gateway.dialects.bedrock.dialect import NAME, encode_request
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

PNG = "data:image/png;base64,iVBORw0KGgo="
HELLO = Message("user", (Text("hello"),))


def chat(*messages: Message) -> ChatRequest:
    return ChatRequest("alias", messages)


def user(*parts: Part) -> ChatRequest:
    return chat(Message("user", parts))


def encoded(request: ChatRequest) -> EncodedRequest:
    return encode_request(request, Target("us.anthropic.claude-opus-4-7"))


def content(request: ChatRequest) -> Any:
    (message,) = json.loads(encoded(request).body)["messages"]
    return message["content"]


def refused(request: ChatRequest) -> str:
    with pytest.raises(InexpressibleError) as caught:
        encoded(request)
    assert caught.value.reason
    return caught.value.feature


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image(PNG), {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}),
        (
            Image("data:image/jpg;base64,/9j/"),
            {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}},
        ),
        (
            Image("DATA:image/webp,%52IFF"),
            {"image": {"format": "webp", "source": {"bytes": "UklGRg=="}}},
        ),
        (
            Image("s3://bucket/a/picture.JPG"),
            {
                "image": {
                    "format": "jpeg",
                    "source": {"s3Location": {"uri": "s3://bucket/a/picture.JPG"}},
                }
            },
        ),
        (Audio("UklGRg==", "wav"), {"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}}),
        (
            Audio("UklGRg==", "audio/mp3"),
            {"audio": {"format": "mp3", "source": {"bytes": "UklGRg=="}}},
        ),
        (
            File(data="data:application/pdf;base64,JVBERg==", filename="q3_report (v2).pdf"),
            {
                "document": {
                    "format": "pdf",
                    "name": "q3-report (v2)",
                    "source": {"bytes": "JVBERg=="},
                }
            },
        ),
        (
            File(data="YSxi", filename="table.csv"),
            {"document": {"format": "csv", "name": "table", "source": {"bytes": "YSxi"}}},
        ),
        (
            File(data="data:text/plain;charset=utf-8;base64,YQ=="),
            {"document": {"format": "txt", "name": "document", "source": {"bytes": "YQ=="}}},
        ),
        (
            File(data="data:image/gif;base64,R0lG", filename="x"),
            {"image": {"format": "gif", "source": {"bytes": "R0lG"}}},
        ),
        (
            File(data="data:video/mp4;base64,AAAA"),
            {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
        ),
        (
            File(url="s3://bucket/notes.md"),
            {
                "document": {
                    "format": "md",
                    "name": "document",
                    "source": {"s3Location": {"uri": "s3://bucket/notes.md"}},
                }
            },
        ),
        (Opaque(NAME, "content", {"guardContent": {"text": {}}}), {"guardContent": {"text": {}}}),
    ],
)
def test_what_a_user_shows_is_a_block(part: Part, block: Any) -> None:
    assert content(user(part)) == [block]


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (Image("https://example.com/cat.png"), "image"),
        (Image("s3://bucket/cat"), "image"),
        (Image("data:image/tiff;base64,SUkq"), "image"),
        (Image("data:image/png;base64,not base64"), "image"),
        (Image("data:image/png;base64,"), "image"),
        (Image("data:image/png;base64,ü"), "image"),
        (Image("data:image/png"), "image"),
        (Audio("UklGRg==", "midi"), "audio"),
        (Audio("!", "wav"), "audio"),
        (File(file_id="file-1"), "file"),
        (File(url="https://example.com/a.pdf"), "file"),
        (File(data="YQ==", filename="a.exe"), "file"),
        (File(data="YQ=="), "file"),
        (Opaque("anthropic_messages", "content", {"type": "x"}), "content"),
    ],
)
def test_what_bedrock_cannot_be_shown_is_refused(part: Part, feature: str) -> None:
    assert refused(user(part)) == feature


@pytest.mark.parametrize("part", [Image(PNG), Audio("UklGRg==", "wav"), File(data="YQ==")])
def test_only_a_user_shows_things(part: Part) -> None:
    names: dict[type, str] = {Image: "image", Audio: "audio", File: "file"}
    assert refused(chat(HELLO, Message("assistant", (part,)))) == names[type(part)]


def test_how_closely_a_picture_is_looked_at_cannot_be_said() -> None:
    assert encoded(user(Image(PNG, detail="auto"))).dropped == ()
    assert encoded(user(Image(PNG, detail="low"))).dropped == ("detail",)


def test_documents_of_one_name_get_different_ones() -> None:
    file = File(data="YQ==", filename="a.txt")
    names = [block["document"]["name"] for block in content(user(file, file, file))]
    assert names == ["a", "a (2)", "a (3)"]


def test_a_long_name_of_a_document_is_cut() -> None:
    (block,) = content(user(File(data="YQ==", filename="n" * 500 + ".txt")))
    assert 0 < len(block["document"]["name"]) <= 200
