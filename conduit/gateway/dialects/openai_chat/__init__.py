"""OpenAI's chat completions: the wire format of `/v1/chat/completions`."""
