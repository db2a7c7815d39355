"""How a record stands, as a glyph with its word: providers, keys, credentials."""

from datetime import datetime
from decimal import Decimal

from conduit.core.ids import now_ms
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.connectivity import Tone
from conduit.tui.state.rates import MANY_ERRORS
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.grid import Cell

NEAR = 0.8
"""From this share of a budget on, its end is near."""
_ERRORS_BAD = 0.5


def pill(glyphs: Glyphs, tone: Tone, word: str) -> Cell:
    return Cell(glyphs.pill(tone, word), tone)


def of_provider(row: Record, glyphs: Glyphs, error_share: float = 0.0) -> Cell:
    """Whether it can be used, and then how it does."""
    if not row["enabled"]:
        return pill(glyphs, "dim", "off")
    states = [usable_state(each) for each in row["credentials"]]
    if states and "ready" not in states:
        return pill(glyphs, "bad", states[0].replace("_", " "))
    if error_share >= _ERRORS_BAD:
        return pill(glyphs, "bad", "failing")
    if error_share >= MANY_ERRORS:
        return pill(glyphs, "warn", "errors")
    return pill(glyphs, "good", "simulated" if row["simulated"] else "up")


def left_out(credential: Record) -> list[Record]:
    """What is held against a credential still, what concerns all of its calls first."""
    now = now_ms() / 1000
    return [
        each
        for each in credential.get("left_out") or ()
        if datetime.fromisoformat(each["until"]).timestamp() > now
    ]


def usable_state(credential: Record) -> str:
    """Its state, or why no call goes out with it for a while."""
    if credential["state"] == "ready":
        for each in left_out(credential):
            if each["model"] is None:
                return str(each["state"])
    return str(credential["state"])


def _short(state: str) -> str:
    """Of a credential that is left out for a model."""
    return "not allowed" if state == "no_permission" else state.replace("_", " ")


def of_credential(row: Record, glyphs: Glyphs) -> Cell:
    match usable_state(row):
        case "ready" if found := left_out(row):  # for some of its models
            return pill(glyphs, "warn", _short(found[0]["state"]))
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


def of_group(row: Record, glyphs: Glyphs) -> Cell:
    """Whether its keys are admitted: switched off, out of money of either kind."""
    if not row["enabled"]:
        return pill(glyphs, "dim", "off")
    if row["prepaid"] is not None and Decimal(row["prepaid"]["balance"]) <= 0:
        return pill(glyphs, "bad", "unpaid")
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
