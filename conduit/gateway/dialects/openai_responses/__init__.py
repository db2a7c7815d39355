"""OpenAI's responses: the wire format of `/v1/responses`."""
