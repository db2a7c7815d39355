"""How a record stands, as a glyph with its word: providers, keys, credentials."""

from decimal import Decimal

from conduit.tui.connectivity import Tone
from conduit.tui.glyphs import Glyphs
from conduit.tui.traffic import Record
from conduit.tui.widgets.grid import Cell

NEAR = 0.8
"""From this share of a budget on, its end is near."""
_ERRORS_WARN = 0.05
_ERRORS_BAD = 0.5


def pill(glyphs: Glyphs, tone: Tone, word: str) -> Cell:
    return Cell(glyphs.pill(tone, word), tone)


def of_provider(row: Record, glyphs: Glyphs, error_share: float = 0.0) -> Cell:
    """Whether it can be used, and then how it does."""
    if not row["enabled"]:
        return pill(glyphs, "dim", "off")
    states = [each["state"] for each in row["credentials"]]
    if states and "ready" not in states:
        return pill(glyphs, "bad", states[0].replace("_", " "))
    if error_share >= _ERRORS_BAD:
        return pill(glyphs, "bad", "failing")
    if error_share >= _ERRORS_WARN:
        return pill(glyphs, "warn", "errors")
    return pill(glyphs, "good", "simulated" if row["simulated"] else "up")


def of_credential(row: Record, glyphs: Glyphs) -> Cell:
    match row["state"]:
        case "ready":
            return pill(glyphs, "good", "ready")
        case "disabled":
            return pill(glyphs, "dim", "off")
        case state:
            return pill(glyphs, "bad", state.replace("_", " "))


def of_key(row: Record, glyphs: Glyphs) -> Cell:
    """Whether it is admitted: switched off, out of time, out of money."""
    if not row["enabled"]:
        return pill(glyphs, "dim", "off")
    if row["state"] == "expired":
        return pill(glyphs, "bad", "expired")
    if any(budget["mode"] == "hard" and share_used(budget) >= 1 for budget in row["budgets"]):
        return pill(glyphs, "bad", "spent")
    return pill(glyphs, "good", "active")


def of_mapping(row: Record, glyphs: Glyphs) -> Cell:
    return pill(glyphs, "good", "on") if row["enabled"] else pill(glyphs, "dim", "off")


def share_used(budget: Record) -> float:
    """What is spent or held of a budget, as a share of its limit."""
    limit = Decimal(budget["limit"])
    used = Decimal(budget["spent"]) + Decimal(budget["held"])
    return float(used / limit) if limit else 1.0


def tone_of_share(share: float) -> Tone:
    return "bad" if share >= 1 else "warn" if share >= NEAR else "good"
