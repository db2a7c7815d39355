"""What a model reads of a chat call in OpenAI's format."""

from conduit.gateway.dialects.openai.units import chat_texts, chat_units


def test_all_text_of_a_chat_is_read() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    values = {
        "messages": [
            {"role": "user", "content": "one", "name": "Ann"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "two"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "AAAA"}},
                    {"type": "odd"},
                    "three",
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "functions": None,
        "response_format": {"type": "json_object"},
    }
    texts = [text for text in chat_texts(values) if text]
    assert texts == [
        "one",
        "Ann",
        "two",
        '{"type":"odd"}',
        "three",
        '[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]',
        '[{"type":"function","function":{"name":"f"}}]',
        '{"type":"json_object"}',
    ]
    assert chat_units(values).text_bytes == sum(map(len, texts))
