"""Where a text stands in a page, in whatever case it is written."""

import re

from textual.content import Content, Span

MOST_FOUND = 1_000
"""So many places are shown; a single letter is nearly everywhere."""


def places_of(wanted: str, text: str) -> list[tuple[int, int]]:
    """Where it begins and ends."""
    if not wanted:
        return []
    found: list[tuple[int, int]] = []
    for match in re.finditer(re.escape(wanted), text, re.IGNORECASE):
        found.append(match.span())
        if len(found) == MOST_FOUND:
            break
    return found


def shown_in(content: Content, places: list[tuple[int, int]], at: int) -> Content:
    """The page with all places marked, and one of them more than the others."""
    styles = {at: "bold $cursor-text on $cursor"}
    return content.add_spans(
        [
            Span(start, end, styles.get(number, "underline $accent"))
            for number, (start, end) in enumerate(places)
        ]
    )


def line_of(content: Content, end: int, width: int) -> int:
    """The line that a place stands on where the page is so many cells wide."""
    return max(0, len(Content(content.plain[:end]).wrap(max(1, width))) - 1)
