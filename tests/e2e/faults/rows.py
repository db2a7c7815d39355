"""The faults, and what each of them comes to: tested as they stand, and printed for users."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from tests.fakes.behaviour import Behaviour, Body, Fault
from tests.fakes.toxic import BLACK_HOLE, CLEAN, Toxic

GOOD: Final = Behaviour(chunks=40)


class Mode(StrEnum):
    """How the client wants its answer."""

    WHOLE = "whole"
    STREAM = "stream"


class Text(StrEnum):
    """How much of the answer's text reaches the client."""

    ALL = "the answer"
    PART = "a part of the answer, then an error"
    NONE = "an error"


class Charged(StrEnum):
    """What the attempt is taken to have cost."""

    NOTHING = "nothing"
    INPUT = "the estimated input"
    COUNTED = "the estimated input and the output that came"
    HOLD = "the whole hold"
    REPORTED = "the reported usage"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client sees, and how often each of the three targets was tried for it."""

    tried: tuple[int, int, int]
    text: Text = Text.ALL
    status: int = 200
    code: str | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Spoiled:
    """How an attempt at a target with the fault ends. `shown_status` is the provider's."""

    outcome: str
    charged: Charged
    code: str | None = None
    shown_status: int | None = None
    is_ambiguous: bool = False
    is_billed: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: how it is made, and what comes of it at the first target alone and at all three.

    `flaps` is how many requests come one after the other, of which the fault strikes every other.
    """

    name: str
    says: str
    spoiled: Spoiled
    first: Seen
    every: Seen | None
    modes: tuple[Mode, ...] = tuple(Mode)
    behaviour: Behaviour = GOOD
    to_server: Toxic = CLEAN
    to_client: Toxic = CLEAN
    is_down: bool = False
    reaches: bool = True
    flaps: int = field(default=1, kw_only=True)


def _status(status: int, body: Body | None = None, retry_after_s: int | None = None) -> Behaviour:
    return replace(GOOD, status=status, body=body, retry_after_s=retry_after_s)


def _fault(fault: Fault, at: int = 20) -> Behaviour:
    return replace(GOOD, fault=fault, at=at)


_NEXT: Final = Seen((1, 1, 0))
_HERE: Final = Seen((1, 0, 0))
_FAILED: Final = Seen((1, 1, 1), Text.NONE, 502, "upstream_error")
_FAILED_TWICE: Final = Seen((1, 1, 0), Text.NONE, 502, "upstream_error")
_LATE_TWICE: Final = Seen((1, 1, 0), Text.NONE, 504, "upstream_timeout")
_CUT: Final = Seen((1, 0, 0), Text.PART, 200, "upstream_error")
_SILENT: Final = Seen((1, 0, 0), Text.PART, 200, "upstream_timeout")

_SERVED: Final = Spoiled("succeeded", Charged.REPORTED, shown_status=200, is_billed=True)


def _refused(code: str, status: int | None = None) -> Spoiled:
    return Spoiled("refused", Charged.NOTHING, code, status)


def _unsure(charged: Charged, status: int | None = None, code: str = "upstream_error") -> Spoiled:
    return Spoiled("ambiguous", charged, code, status, is_ambiguous=True)


def _cut(code: str = "upstream_error") -> Spoiled:
    return Spoiled("cut", Charged.COUNTED, code, 200, is_billed=True)


_LATE: Final = _unsure(Charged.HOLD, None, "upstream_timeout")
_LOST: Final = _unsure(Charged.HOLD)

_ANSWERS: Final = (
    Row("status_500", "500", _refused("upstream_error", 500), _NEXT, _FAILED,
        behaviour=_status(500)),
    Row("status_503", "503", _refused("upstream_error", 503), _NEXT, _FAILED,
        behaviour=_status(503)),
    Row("status_529", "529", _refused("upstream_error", 529), _NEXT, _FAILED,
        behaviour=_status(529)),
    Row("status_502", "502", _unsure(Charged.INPUT, 502), _NEXT, _FAILED, behaviour=_status(502)),
    Row("status_504", "504", _unsure(Charged.INPUT, 504), _NEXT, _FAILED, behaviour=_status(504)),
    Row("html_502", "502 with a page of HTML", _unsure(Charged.INPUT, 502), _NEXT, _FAILED,
        behaviour=_status(502, Body.HTML)),
    Row("flapping", "500 to every other request", _refused("upstream_error", 500),
        Seen((4, 2, 0)), None, behaviour=_status(500), flaps=4),
    Row("limited", "429", _refused("upstream_rate_limited", 429), _NEXT,
        Seen((1, 1, 1), Text.NONE, 429, "upstream_rate_limited", 1), behaviour=_status(429)),
    Row("limited_for_long", "429, `Retry-After: 30`", _refused("upstream_rate_limited", 429), _NEXT,
        Seen((1, 1, 1), Text.NONE, 429, "upstream_rate_limited", 30),
        behaviour=_status(429, retry_after_s=30)),
    Row("key_refused", "401", _refused("upstream_auth_error", 401), _NEXT,
        Seen((1, 1, 1), Text.NONE, 502, "upstream_auth_error"), behaviour=_status(401)),
    Row("key_forbidden", "403", _refused("upstream_auth_error", 403), _NEXT,
        Seen((1, 1, 1), Text.NONE, 502, "upstream_auth_error"), behaviour=_status(403)),
    Row("request_refused", "400", _refused("fake_400", 400),
        Seen((1, 0, 0), Text.NONE, 400, "fake_400"), Seen((1, 0, 0), Text.NONE, 400, "fake_400"),
        behaviour=_status(400)),
    Row("request_too_large", "413", _refused("fake_413", 413),
        Seen((1, 0, 0), Text.NONE, 413, "fake_413"), Seen((1, 0, 0), Text.NONE, 413, "fake_413"),
        behaviour=_status(413)),
    Row("unparsable", "200 with half of a JSON document", _unsure(Charged.INPUT, 200), _NEXT,
        _FAILED, behaviour=replace(GOOD, body=Body.UNPARSABLE)),
    Row("error_first", "an error as the first event", _unsure(Charged.INPUT, 200), _NEXT, _FAILED,
        (Mode.STREAM,), _fault(Fault.FIRST_ERROR)),
    Row("error_later", "an error as a later event", _cut(), _CUT, _CUT,
        (Mode.STREAM,), _fault(Fault.ERROR_EVENT)),
)  # fmt: skip

_CONNECTIONS: Final = (
    Row("refused", "the connection is refused", _refused("upstream_error"), _NEXT, _FAILED,
        is_down=True, reaches=False),
    Row("reset_on_request", "a reset while the request is sent", _LOST, _NEXT, _FAILED_TWICE,
        to_server=Toxic(reset_after=0), reaches=False),
    Row("reset_before_head", "a reset before the head of the answer", _LOST, _NEXT, _FAILED_TWICE,
        to_client=Toxic(reset_after=0)),
    Row("closed_before_head", "an end before the head of the answer", _LOST, _NEXT, _FAILED_TWICE,
        to_client=Toxic(close_after=0)),
    Row("reset_after_head", "a reset after the head, before the first event",
        _unsure(Charged.HOLD, 200), _NEXT, _FAILED_TWICE, (Mode.STREAM,),
        _fault(Fault.RESET_AFTER_HEAD)),
    Row("reset_in_body", "a reset in the answer", _unsure(Charged.HOLD, 200), _NEXT, _FAILED_TWICE,
        (Mode.WHOLE,), to_client=Toxic(reset_after=300)),
    Row("reset_in_stream", "a reset in the answer", _cut(), _CUT, _CUT, (Mode.STREAM,),
        to_client=Toxic(reset_after=2000)),
    Row("end_in_body", "an end in the answer", _unsure(Charged.HOLD, 200), _NEXT, _FAILED_TWICE,
        (Mode.WHOLE,), to_client=Toxic(close_after=300)),
    Row("end_in_stream", "an end in the answer", _cut(), _CUT, _CUT, (Mode.STREAM,),
        to_client=Toxic(close_after=2000)),
    Row("half_close_in_body", "an end in the answer, while our side stays open",
        _unsure(Charged.HOLD, 200), _NEXT, _FAILED_TWICE, (Mode.WHOLE,),
        to_client=Toxic(half_close_after=300)),
    Row("half_close_in_stream", "an end in the answer, while our side stays open",
        _cut(), _CUT, _CUT, (Mode.STREAM,), to_client=Toxic(half_close_after=2000)),
    Row("end_in_event", "an end in the middle of an event", _cut(), _CUT, _CUT, (Mode.STREAM,),
        _fault(Fault.CUT_IN_EVENT)),
)  # fmt: skip

_SILENCES: Final = (
    Row("black_hole", "a connection that takes all and gives nothing", _LATE, _NEXT, _LATE_TWICE,
        to_server=BLACK_HOLE, to_client=BLACK_HOLE, reaches=False),
    Row("no_head", "no answer in time", _LATE, _NEXT, _LATE_TWICE, to_client=BLACK_HOLE),
    Row("stalled_body", "silence in the answer", _unsure(Charged.HOLD, 200, "upstream_timeout"),
        _NEXT, _LATE_TWICE, (Mode.WHOLE,), _fault(Fault.STALL)),
    Row("stalled_stream", "silence in the answer", _cut("upstream_timeout"), _SILENT, _SILENT,
        (Mode.STREAM,), _fault(Fault.STALL)),
)  # fmt: skip

_HARMLESS: Final = (
    Row("latency", "50 to 70 ms more a packet", _SERVED, _HERE, _HERE,
        to_server=Toxic(latency_s=0.05, jitter_s=0.02),
        to_client=Toxic(latency_s=0.05, jitter_s=0.02)),
    Row("bandwidth", "20 KB a second", _SERVED, _HERE, _HERE, to_client=Toxic(bytes_per_s=20_000)),
    Row("slices", "packets of 7 bytes", _SERVED, _HERE, _HERE, to_client=Toxic(slice_bytes=7)),
)  # fmt: skip

ROWS: Final = (*_ANSWERS, *_CONNECTIONS, *_SILENCES, *_HARMLESS)
