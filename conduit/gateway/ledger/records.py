"""The records of the journal and the form of its lines.

A line is `crc32 json\\n`: eight hexadecimal digits of the CRC-32 of the JSON, which is an array
that begins with the kind of the record. Lines are text, so that a person can read and mend a file.
"""

import re
import zlib
from typing import Any

import msgspec

INT64_MAX = 2**63 - 1


class Claim(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="hold"):
    """What one attempt wants to hold, and all that its ledger row needs; once granted, its record.

    `input_nanodollars` is the cost of the estimated input and `output_rate` the price of a million
    output tokens: recovery prices an attempt from these two and the last progress note. `group_id`
    is of the group that the key was in.
    """

    attempt_id: str
    request_id: str
    key_id: str
    alias: str
    provider: str
    model: str
    credential_id: str | None
    operation: str
    stream: bool
    at_ms: int
    hold_nanodollars: int
    input_tokens: int
    input_nanodollars: int
    output_rate: int
    price_version: str
    group_id: str | None = None


class TopUpRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="top_up"):
    """`hold_nanodollars` is the whole hold from now on."""

    attempt_id: str
    hold_nanodollars: int


class ProgressRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="progress"):
    attempt_id: str
    output_tokens: int


class SettleRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="settle"):
    """The end of an attempt; `search_units` are a ranking's, or the searches of a chat.

    `cache_write_tokens` are of either lifetime and `audio_tokens` those heard and spoken;
    `cache_write_1h_tokens` and `output_audio_tokens` are a part of them.
    """

    attempt_id: str
    outcome: str
    status: int | None
    error_code: str | None
    ambiguous: bool
    cost_nanodollars: int
    billed_nanodollars: int
    usage_source: str
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    at_ms: int
    search_units: int | None = None
    cache_write_1h_tokens: int = 0
    output_audio_tokens: int = 0


class RequestRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="request"):
    """One row of the request log; written for every request, failures too.

    Times are epoch or duration milliseconds, money nano-dollars. `tokens_per_s_milli` is a
    thousandth of a token per second, an integer like all the rest. `route` is compact JSON (see
    `routing/trace.py`), `cache` how the answer stands to the answers that are kept, and
    `avoided_nanodollars` what one of those would have cost. `session` and `end_user` are the
    client's own words for them, and `dropped` the names of fields that the provider was not sent,
    with commas between. The credential is that of the last attempt. Of the tokens, those of audio
    and of caches are a part of input and output, as in a `SettleRecord`.
    """

    id: str
    at_ms: int
    operation: str
    stream: bool
    status: int
    outcome: str
    error_code: str | None
    key_id: str | None
    key_name: str | None
    alias: str | None
    provider: str | None
    model: str | None
    attempts: int
    duration_ms: int
    ttft_ms: int | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_source: str
    cost_nanodollars: int
    billed_nanodollars: int
    tokens_per_s_milli: int | None
    client_ip: str | None = None
    user_agent: str | None = None
    route: str | None = None
    cache: str | None = None
    avoided_nanodollars: int = 0
    session: str | None = None
    end_user: str | None = None
    dropped: str | None = None
    group_id: str | None = None
    group_name: str | None = None
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_tokens: int = 0
    output_audio_tokens: int = 0
    client_dialect: str | None = None
    provider_dialect: str | None = None
    credential_id: str | None = None
    credential_name: str | None = None

    def as_event(self) -> dict[str, Any]:
        """The data of the event: the same names, money in integer nano-dollars.

        Why it went where it went is in the record alone: an event is small.
        """
        facts = msgspec.structs.asdict(self)
        del facts["route"]
        return facts


class BudgetOpened(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="budget_opened"):
    """From here on the budget counts, beginning with what the ledger holds of its period."""

    budget_id: str
    scope_kind: str
    scope_id: str
    period: str
    timezone: str
    at_ms: int
    since_ms: int = 0


class BudgetClosed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="budget_closed"):
    budget_id: str


class LimitRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="limit"):
    """From here on holds go by this limit, None: by none; `taken_nanodollars` are spent and held
    in the period by then.
    """

    budget_id: str
    limit_nanodollars: int | None
    period_start_ms: int
    taken_nanodollars: int


class AdjustRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="adjust"):
    """`nanodollars` are added to what a budget has spent in a period; negative for a reset."""

    id: str
    budget_id: str
    period_start_ms: int
    nanodollars: int
    at_ms: int


class CorrectRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="correct"):
    """What an administrator knows better of an attempt that is done than its settlement did.

    `nanodollars` are added to its cost, which is `cost_nanodollars` from then on.
    """

    id: str
    attempt_id: str
    nanodollars: int
    cost_nanodollars: int
    reason: str
    actor: str
    at_ms: int


class ReplyRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="reply"):
    """What was replied under an `Idempotency-Key`: `digest` is of the key, `content` is sealed."""

    digest: bytes
    key_id: str
    at_ms: int
    content: bytes


AttemptRecord = Claim | TopUpRecord | ProgressRecord | SettleRecord
BudgetRecord = BudgetOpened | BudgetClosed | LimitRecord | AdjustRecord
Record = AttemptRecord | RequestRecord | BudgetRecord | CorrectRecord | ReplyRecord

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode
_LINE = b"%08x %b\n"
_NUL = b"\\u0000"
# What a database cannot store as text: NUL (PostgreSQL) and lone surrogates (UTF-8).
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BadLineError(ValueError):
    """A line that is not what was written."""


def storable_lines(records: list[Record]) -> tuple[list[Record], bytes]:
    """As `storable_line` for each of them, and all lines in one."""
    try:
        lines = b"".join([_LINE % (zlib.crc32(json), json) for json in map(_encode, records)])
    except UnicodeEncodeError:
        pass
    else:
        if b"\\" not in lines or _NUL not in lines:  # most hold no escape at all
            return records, lines
    pairs = [storable_line(record) for record in records]
    return [record for record, _ in pairs], b"".join([line for _, line in pairs])


def storable_line(record: Record) -> tuple[Record, bytes]:
    """The record as it can be stored, and its line, newline included.

    Text that cannot be stored is replaced by U+FFFD.
    """
    try:
        json = _encode(record)
    except UnicodeEncodeError:
        record = _storable(record)
        json = _encode(record)
    else:
        if _NUL in json:
            record = _storable(record)
            json = _encode(record)
    return record, _LINE % (zlib.crc32(json), json)


def decode_line(line: bytes) -> Record:
    """The record of a line without its newline. Raises BadLineError."""
    json = line[9:]
    if line[:9] != b"%08x " % zlib.crc32(json):
        raise BadLineError("its checksum does not match")
    try:
        record: Record = _decode(json)
    except msgspec.DecodeError as error:
        raise BadLineError(f"it is no record that this release knows: {error}") from error
    return record


def bounded(number: int) -> int:
    """`number` as 64 bits without a sign can hold it; what a provider reports may be anything."""
    return min(max(number, 0), INT64_MAX)


def _storable(record: Record) -> Record:
    changed: dict[str, Any] = {
        name: _UNSTORABLE.sub("\ufffd", value)
        for name in record.__struct_fields__
        if isinstance(value := getattr(record, name), str)
    }
    return msgspec.structs.replace(record, **changed)
