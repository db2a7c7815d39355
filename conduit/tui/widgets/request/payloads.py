"""The bodies and headers of a request that were kept, as the inspector shows them."""

from collections.abc import Iterator, Sequence

from textual.content import Content

from conduit.client.bodies import content_of, differences, readable
from conduit.core import people
from conduit.core.redaction import redacted
from conduit.tui.state.traffic import Record

MOST_LINES = 2_000
MOST_CHARS = 200_000
"""So much is laid out; more of it would be felt at every key."""
NO_CALL = "Nothing was sent to a provider."
NO_ANSWER = "There was no answer."


def request_of(bodies: Record) -> Content:
    """What the client sent."""
    return _shown(bodies["request"])


def sent_of(bodies: Record, *, only_differences: bool) -> Content:
    """What the last provider was sent, or where it differs from what the client sent."""
    attempts: Sequence[Record] = bodies["attempts"]
    if not attempts:
        return Content.styled(NO_CALL, "$dim")
    last = attempts[-1]
    which = f" (the last of {len(attempts)} calls)" if len(attempts) > 1 else ""
    heading = Content.styled(f"POST {last['url']}{which}\n\n", "$dim")
    if not only_differences:
        return Content.assemble(heading, _shown(last["request"]))
    return Content.assemble(heading, _compared(bodies["request"], last["request"]))


def answer_of(bodies: Record) -> Content:
    """What the client was answered."""
    if bodies["response"] is None:
        return Content.styled(NO_ANSWER, "$dim")
    return _shown(bodies["response"])


def headers_of(bodies: Record) -> Content:
    """The headers of every message, those that may be kept."""
    return Content("\n").join(_headers(bodies))


def _headers(bodies: Record) -> Iterator[Content]:
    for name, message in messages_of(bodies):
        yield Content.styled(name, "bold")
        for header, value in message["headers"].items():
            yield Content.assemble((f"  {header}: ", "$dim"), redacted(value))
        yield Content("")


def messages_of(bodies: Record) -> Iterator[tuple[str, Record]]:
    """All messages with their names, in the order in which they went."""
    yield "request of the client", bodies["request"]
    for number, attempt in enumerate(bodies["attempts"], 1):
        yield f"request {number} to {attempt['provider']}", attempt["request"]
        if attempt["response"] is not None:
            yield f"answer {number} of {attempt['provider']}", attempt["response"]
    if bodies["response"] is not None:
        yield "answer to the client", bodies["response"]


def whole_of(message: Record) -> str:
    """A body however long it is, to be read elsewhere."""
    return redacted(readable(content_of(message)))


def _shown(message: Record) -> Content:
    whole = readable(content_of(message))
    text = "\n".join(whole.split("\n", MOST_LINES)[:MOST_LINES])[:MOST_CHARS]
    if len(text) < len(whole):
        text += f"\n... {len(whole) - len(text):,} characters more: P shows all in your pager"
    if message["truncated"]:
        text += f"\n... only the first of {people.size(message['bytes'])} were kept"
    return Content(redacted(text)) if text else Content.styled("it is empty", "$dim")


def _compared(before: Record, after: Record) -> Content:
    found = differences(before, after)
    if found is None:
        return Content.styled("one of the two is not JSON: n shows all of it", "$dim")
    if not found:
        return Content.styled("it is what the client sent", "$dim")
    lines = []
    for each in found:
        lines.append(Content.styled(each.path or "(all of it)", "bold"))
        if each.before:
            lines.append(Content.styled(redacted(f"  - {each.before}"), "$bad"))
        if each.after:
            lines.append(Content.styled(redacted(f"  + {each.after}"), "$good"))
    return Content("\n").join(lines)
