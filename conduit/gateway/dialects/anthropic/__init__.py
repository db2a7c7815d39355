"""Anthropic's messages: the wire format of `/v1/messages`."""
