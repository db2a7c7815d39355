"""How long the prompt of a call is, and the same call without its oldest turns.

Two estimates are compared with a model's window. The upper one is that of holds; it costs nothing,
and most prompts fit by it. Where one does not, the density of its own text is looked at, since
three bytes a token is a third too many for prose, and no PDF has the pages that are held for.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Final, NamedTuple, cast

import msgspec
from msgspec.structs import astuple, replace

from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.dialect import ClientDialect
from conduit.gateway.dialects.entries import Conversation, cuts_of
from conduit.gateway.dialects.input_units import InputUnits
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai import units as openai_units
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.dialects.request_units import message_units, texts_of, units_of
from conduit.gateway.dialects.strict_json import raw_items
from conduit.gateway.provider import Operation
from conduit.gateway.tokens import most_of, tokens_per_kilobyte, upper_estimate, usual_media

# What a chat template puts around a message; 3 to 5 with the known ones.
_MOST_FRAMING: Final = 6
_FRAMING: Final = 4

_TOOL_PROMPT: Final = 2_048
"""What a provider may write before a call with tools. Anthropic's own words are at most 346 tokens,
and 735, 700 and 245 for its tools that use a computer, an editor and a shell."""

_COUNTED: Final = frozenset({*openai_units.READ, "prompt", "input", "suffix"})
"""The fields of OpenAI's calls that are in their units."""

_MARGIN: Final = 120
"""Per cent: what is cut must fit, and the estimate of a text may be a fifth too low."""

_NULL: Final = b"null"

_encode = msgspec.json.Encoder().encode


def upper_tokens(units: InputUnits, model: str = "") -> int:
    """An upper estimate of an input's tokens, whatever the model takes in."""
    tokens = units.tokens + _MOST_FRAMING * (units.messages + 1)
    return tokens + upper_estimate(
        units.text_bytes, units.images, units.audio_clips, units.files, model=model
    )


def most_tokens(call: ClientCall) -> int:
    """What no honest count of a call's input exceeds: a token for each byte of what is sent.

    To the units are added the fields that are in none, such as those that a server of one's own may
    put into its template, and what providers write around messages and tools.
    """
    units = call.units
    tokens = units.tokens + _MOST_FRAMING * (units.messages + 1)
    if call.request is None and call.asked is None:
        tokens += sum([len(raw) for name, raw in call.fields.items() if name not in _COUNTED])
    if "tools" in call.fields or "functions" in call.fields:
        tokens += _TOOL_PROMPT
    return tokens + most_of(
        units.text_bytes,
        images=units.images,
        audio=(units.audio_clips, units.audio_bytes),
        files=(units.files, units.file_bytes),
    )


def surely_fits(units: InputUnits, room: int) -> bool:
    """Whether a prompt of text alone has room, by no more than an addition.

    A token is a byte at least, and a message's framing is not more than six.
    """
    most = units.text_bytes + units.tokens + _MOST_FRAMING * (units.messages + 1)
    return most <= room and not (units.images or units.audio_clips or units.files)


class Trimmed(NamedTuple):
    """A call without its oldest turns; `dropped` counts the messages, as its client counts them."""

    call: ClientCall
    dropped: int

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says of it."""
        return {"x-conduit-trimmed": str(self.dropped)} if self.dropped else {}


class _Cut(NamedTuple):
    """Where a conversation may begin, and what the call brings then."""

    at: int
    units: InputUnits


class Prompt:
    """The prompt of one call, to be compared with the windows of several candidates.

    Nothing is read before it is needed.
    """

    def __init__(self, call: ClientCall) -> None:
        self.call = call
        self._known: dict[int, _Cut] = {}

    def fits(self, context_tokens: int | None, output_tokens: int = 0) -> bool:
        """Whether a window takes the prompt beside an answer of that length.

        An unknown window does, and every one a call that may bring many inputs.
        """
        if context_tokens is None or self.call.operation is not Operation.CHAT:
            return True
        room = context_tokens - output_tokens
        return self.upper_tokens <= room or self.likely_tokens <= room

    @cached_property
    def upper_tokens(self) -> int:
        return upper_tokens(self.call.units)

    @cached_property
    def likely_tokens(self) -> int:
        """By the density of the prompt's own text, within a tenth for prose and code."""
        return _likely_tokens(self.call.units, self._density)

    @property
    def tokens(self) -> int:
        """The lower of the two, which is compared: for records and messages."""
        return min(self.upper_tokens, self.likely_tokens)

    def trimmed(self, context_tokens: int, output_tokens: int = 0) -> Trimmed | None:
        """The call without as many of its oldest turns as do not fit; None where none will do.

        Instructions stay, and so does all from the last that the user has said. A result of a tool
        stays or goes with its call. What is kept stands as it stood.
        """
        if self.fits(context_tokens, output_tokens):
            return Trimmed(self.call, 0)
        room = context_tokens - output_tokens
        density = self._density
        while (cut := self._first(partial(_fits, room, density))) is not None:
            trimmed = self._without(cut)
            denser = _density_of(trimmed.call)
            if _fits(room, denser, cut.units):
                return trimmed
            # The older turns were lighter than those that were kept. In steps, which are few.
            density = max(denser, density * 9 // 8 + 1)
        return self._last_turn(room)

    def _last_turn(self, room: int) -> Trimmed | None:
        """The call with nothing but the last turn, if that fits by its own density."""
        if not self._cuts:
            return None
        cut = self._measured(_Cut(0, self.call.units), self._cuts[-1])
        trimmed = self._without(cut)
        return trimmed if _fits(room, _density_of(trimmed.call), cut.units) else None

    @cached_property
    def _density(self) -> int:
        return _density_of(self.call)

    @cached_property
    def _conversation(self) -> Conversation | None:
        return _conversation_of(self.call)

    @cached_property
    def _cuts(self) -> list[int]:
        conversation = self._conversation
        if conversation is None:
            return []
        lead = conversation.turns.instructions_lead
        return cuts_of(conversation.entries, instructions_lead=lead)

    def _first(self, fits: Callable[[InputUnits], bool]) -> _Cut | None:
        """The earliest cut after which the call fits.

        Halving what is left each time, so that no entry is measured twice.
        """
        cuts = self._cuts
        before, after = _Cut(0, self.call.units), None
        low, high = 0, len(cuts)
        while low < high:
            middle = (low + high) // 2
            cut = self._measured(before, cuts[middle])
            if fits(cut.units):
                high, after = middle, cut
            else:
                low, before = middle + 1, cut
        return after

    def _measured(self, before: _Cut, at: int) -> _Cut:
        """The cut there, by what is dropped since the one before."""
        if (known := self._known.get(at)) is None:
            conversation = self._conversation
            assert conversation is not None, "it has cuts"
            dropped = _droppable_units(self.call, conversation, before.at, at)
            known = self._known[at] = _Cut(at, _less(before.units, dropped))
        return known

    def _without(self, cut: _Cut) -> Trimmed:
        """The call with the conversation that begins at a cut."""
        call, conversation = self.call, self._conversation
        assert conversation is not None, "it has cuts"
        entries = conversation.entries
        instructions = [at for at in range(cut.at) if entries[at].speaker == "instructions"]
        kept = [*instructions, *range(cut.at, len(entries))]
        array = b",".join([bytes(conversation.raw[at]) for at in kept])
        fields = call.fields | {conversation.turns.field: msgspec.Raw(b"[%b]" % array)}
        units, request = cut.units, call.request
        if request is not None:
            beside = request.messages[: conversation.turns.beside(call)]
            decoded = conversation.turns.decode([conversation.values[at] for at in kept])
            request = replace(request, messages=(*beside, *decoded))
            units = units_of(request)
        shorter = replace(call, fields=fields, body=_encode(fields), request=request, units=units)
        return Trimmed(shorter, len(entries) - len(kept))


def _likely_tokens(units: InputUnits, per_kilobyte: int) -> int:
    text = -(-units.text_bytes * per_kilobyte // 1000)
    media = usual_media(units.images, units.audio_clips, units.files)
    return text + media + _FRAMING * (units.messages + 1)


def _fits(room: int, density: int, units: InputUnits) -> bool:
    likely = _likely_tokens(units, density)
    return upper_tokens(units) <= room or likely * _MARGIN <= room * 100


def _conversation_of(call: ClientCall) -> Conversation | None:
    """None where the call holds no array of turns, or not all of its conversation."""
    turns = cast(ClientDialect, DIALECTS[call.dialect]).TURNS
    raw = call.fields.get(turns.field)
    if raw is None or not bytes(raw).startswith(b"["):
        return None
    if any(bytes(call.fields.get(name, _NULL)) != _NULL for name in turns.elsewhere):
        return None
    values = read_json(bytes(raw))
    entries = turns.entries_of(values)
    return None if entries is None else Conversation(turns, raw_items(raw), values, entries)


def _droppable_units(
    call: ClientCall, conversation: Conversation, start: int, end: int
) -> InputUnits:
    """The units of some entries, without instructions, as reading the call has counted them."""
    values = [
        conversation.values[at]
        for at in range(start, end)
        if conversation.entries[at].speaker != "instructions"
    ]
    if call.request is None:
        return openai_units.chat_units({"messages": values})
    return message_units(conversation.turns.decode(values))


def _less(units: InputUnits, others: InputUnits) -> InputUnits:
    return InputUnits(
        *(all_ - less for all_, less in zip(astuple(units), astuple(others), strict=True))
    )


def _density_of(call: ClientCall) -> int:
    """The tokens of a thousand bytes of what a model reads of a call."""
    if call.request is not None:
        texts = texts_of(call.request)
    else:
        texts = openai_units.chat_texts({name: call.read(name) for name in openai_units.READ})
    return tokens_per_kilobyte("\n".join(texts).encode("utf-8", "surrogatepass"))
