"""The breakers before a provider's targets, in one cell."""

from collections.abc import Sequence
from datetime import datetime

from conduit.tui.state.connectivity import duration
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.grid import Cell


def is_open(deployment: Record) -> bool:
    return bool(deployment["breaker"] == "open")


def told(deployments: Sequence[Record], now_ms: int) -> Cell:
    """`closed`; `open 27s` where every target waits so long, `1/3 open` where some do; `half`."""
    if not deployments:
        return Cell("-", "dim")
    opened = [each for each in deployments if is_open(each)]
    if len(opened) == len(deployments):
        left = [_left_s(each["until"], now_ms) for each in opened if each["until"]]
        return Cell(f"open {duration(min(left))}" if left else "open", "bad")
    if opened:
        return Cell(f"{len(opened)}/{len(deployments)} open", "warn")
    if any(each["breaker"] == "half_open" for each in deployments):
        return Cell("half", "warn")
    return Cell("closed", "good")


def _left_s(until: str, now_ms: int) -> float:
    return max(0.0, datetime.fromisoformat(until).timestamp() - now_ms / 1000)
