"""An error in the shape that the clients of a path read."""

from conduit.core.errors import ConduitError
from conduit.gateway.dialects.registry import ANTHROPIC_MESSAGES, DIALECTS, GEMINI, OPENAI_CHAT


def dialect_of_path(path: str) -> str:
    """The dialect that is spoken at a path of the client API."""
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return ANTHROPIC_MESSAGES
    if path.startswith("/v1beta/") or (path.startswith("/v1/models/") and ":" in path):
        return GEMINI
    return OPENAI_CHAT


def encode_error(error: ConduitError, path: str, request_id: str | None = None) -> bytes:
    """The body of an error answer at a path; Anthropic's names the request."""
    dialect = dialect_of_path(path)
    more = {"request_id": request_id} if dialect == ANTHROPIC_MESSAGES else {}
    encoded: bytes = DIALECTS[dialect].encode_error(error, **more)
    return encoded
