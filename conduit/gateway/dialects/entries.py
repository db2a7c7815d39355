"""A conversation as a client wrote it: the entries of its array, and where it may be cut.

What the oldest turns are, and which entries belong together, is told from the JSON of each entry,
so that what is kept can be sent as it stood.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import msgspec

from conduit.gateway.conversation import Message
from conduit.gateway.dialects.client_call import ClientCall

Speaker = Literal["instructions", "user", "others"]


class Entry(NamedTuple):
    """What cutting needs to know of an entry.

    `calls` and `results` are the ids of the tool calls in it, and of those that it answers. One
    with nothing but results is of `others` than the user. One that `leads` is of no use without
    the entry after it.
    """

    speaker: Speaker
    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    leads: bool = False


class Turns(NamedTuple):
    """How a dialect writes a conversation.

    `field` holds the array. `entries_of` reads it, None where a part of it is kept elsewhere and
    known by its name alone; so it is where one of the fields `elsewhere` is given. `decode` makes
    messages of some of the array, and `beside` tells how many messages of a request are not from
    it. `instructions_lead` is whether instructions in the array may come before its first turn.
    """

    field: str
    entries_of: Callable[[Sequence[Any]], list[Entry] | None]
    decode: Callable[[list[Any]], Sequence[Message]]
    beside: Callable[[ClientCall], int]
    elsewhere: frozenset[str] = frozenset()
    instructions_lead: bool = True


class Conversation(NamedTuple):
    """The array of a call: each entry as it stood, as a value, and as cutting sees it."""

    turns: Turns
    raw: list[msgspec.Raw]
    values: list[Any]
    entries: list[Entry]


def cuts_of(entries: Sequence[Entry], *, instructions_lead: bool) -> list[int]:
    """The indexes at which a conversation may begin, of those after its beginning, in order.

    Each is the first of a user's messages in a row, so the last turn is never cut into. What is
    left out is all before it but instructions; no cut parts a result from its call.
    """
    parted = _parted(entries)
    cuts: list[int] = []
    previous: Speaker | None = None
    left_out = 0
    for index, entry in enumerate(entries):
        if entry.speaker == "instructions":
            if not instructions_lead:
                break
            continue
        if entry.speaker == "user" != previous and left_out and not parted[index]:
            cuts.append(index)
        previous = entry.speaker
        left_out += 1
    return cuts


def _parted(entries: Sequence[Entry]) -> list[int]:
    """For each index, how many pairs a cut there would part."""
    changes = [0] * (len(entries) + 2)
    called_at: dict[str, int] = {}
    for index, entry in enumerate(entries):
        for call in entry.results:
            at = called_at.get(call, index)
            changes[at + 1] += 1
            changes[index + 1] -= 1
        for call in entry.calls:
            called_at[call] = index
        if entry.leads:
            changes[index + 1] += 1
            changes[index + 2] -= 1
    return list(accumulate(changes))
