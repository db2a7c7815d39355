"""Columns of what attempts have used and cost, as the ledger sums them up."""

from conduit.cli.output import Column
from conduit.core import people


def counted(title: str, path: str, *, wide: bool = False, spare: int | None = None) -> Column:
    return Column(
        title, path, lambda used: people.count(used[path]), right=True, wide=wide, spare=spare
    )


def paid(title: str, path: str, *, wide: bool = False, spare: int | None = None) -> Column:
    return Column(
        title, path, lambda used: people.money(used[path]), right=True, wide=wide, spare=spare
    )


COLUMNS = (
    Column("group", "group", lambda used: used["group"] or "-"),
    # Not "requests": those of the log are more, refused ones among them.
    counted("sent", "requests"),
    counted("attempts", "attempts", wide=True),
    counted("in", "input_tokens", spare=5),
    counted("cached", "cache_read_tokens", spare=3),
    counted("cache write", "cache_write_tokens", wide=True),
    counted("for 1 h", "cache_write_1h_tokens", wide=True),
    counted("out", "output_tokens", spare=6),
    # Paid as output is, and often most of it.
    counted("think", "reasoning_tokens", spare=4),
    counted("audio", "audio_tokens", wide=True),
    counted("spoken", "output_audio_tokens", wide=True),
    paid("cost", "cost"),
    paid("billed", "billed", spare=2),
    counted("estimated", "estimated", wide=True),
    counted("recovered", "recovered", wide=True),
    counted("ambiguous", "ambiguous", wide=True),
    counted("open", "open_holds", wide=True),
    paid("held", "held", wide=True),
    Column("key id", "key_id", wide=True),
    Column("group id", "group_id", wide=True),
)
