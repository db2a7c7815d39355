"""The flags by which commands choose request records, as one filter."""

from conduit.cli import inputs

_PLAIN_FORBIDDEN = set(' \t"')


def filter_of(  # the flags that several commands share
    text: str | None,
    key: str | None,
    model: str | None,
    provider: str | None,
    status: str | None,
    min_latency: str | None,
    error: str | None,
    session: str | None = None,
    user: str | None = None,
    group: str | None = None,
) -> str | None:
    """One filter of `--filter` and the flags for single fields. Raises Failure."""
    ms = None
    if min_latency is not None:
        ms = f">={round(inputs.duration_s(min_latency, '--min-latency') * 1000)}"
    fields = {
        "key": key,
        "alias": model,
        "provider": provider,
        "status": status,
        "ms": ms,
        "error": error,
        "session": session,
        "user": user,
        "group": group,
    }
    terms = [text] if text else []
    terms += [f"{name}:{_quoted(value)}" for name, value in fields.items() if value is not None]
    return inputs.request_filter(" ".join(terms)) or None


def _quoted(value: str) -> str:
    if value and not _PLAIN_FORBIDDEN & set(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
