"""What each target of a mapping can do, as far as it is known, with the breakers before it."""

from collections.abc import Callable, Iterable, Sequence

from conduit.tui.glyphs import Glyphs
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.providers import breakers

_KILO = 1000
_WILDCARD = "*"
_SHOWN = (
    ("chat", "CHAT"),
    ("vision", "VISION"),
    ("tools", "TOOLS"),
    ("schema", "SCHEMA"),
    ("reasoning", "REASON"),
    ("audio", "AUDIO"),
    ("embeddings", "EMBED"),
)


def ability_columns(breaker: Callable[[Record, Glyphs], Cell]) -> tuple[Column, ...]:
    """Columns of targets that have `place`, and `can` by the names of capabilities."""
    return (
        Column("", lambda row, _: str(row["place"]), 2, right=True, priority=0),
        Column("BREAKER", breaker, 9, grow=1, priority=0),
        *(Column(title, _tick(name), len(title), priority=1) for name, title in _SHOWN),
        Column("ROOM", _room, 5, right=True, priority=2),
    )


def _tick(name: str) -> Callable[[Record, Glyphs], Cell]:
    def cell(row: Record, glyphs: Glyphs) -> Cell:
        match row["can"].get(name):
            case True:
                return Cell("yes", "good")
            case False:
                return Cell("no", "dim")
            case _:
                return Cell("?", "dim")

    return cell


def _room(row: Record, _: Glyphs) -> Cell:
    """The most tokens of a call in all."""
    tokens = row["can"].get("context_tokens")
    if not tokens:
        return Cell("?", "dim")
    return Cell(f"{tokens // _KILO}k" if tokens >= _KILO else str(tokens))


def can_of(target: Record, candidates: Iterable[Record]) -> Record:
    """What a target can do, of an explained route's candidates; else what was said by hand."""
    for each in candidates:
        is_it = (each["provider"], each["model"]) == (target["provider"], target["model"])
        if is_it and each.get("capabilities") is not None:
            told: Record = each["capabilities"]
            return told
    return target.get("capabilities") or {}


def deployments_of(targets: Sequence[Record], deployments: Iterable[Record]) -> list[Record]:
    """Those that calls to the targets go out by."""
    return [each for each in deployments if any(_goes_by(target, each) for target in targets)]


def _goes_by(target: Record, deployment: Record) -> bool:
    if target["provider"] != deployment["provider"]:
        return False
    model: str = target["model"]
    if model.endswith(_WILDCARD):
        return str(deployment["model"]).startswith(model.removesuffix(_WILDCARD))
    return bool(deployment["model"] == model)


def breaker_of(targets: Sequence[Record], deployments: Iterable[Record], now_ms: int) -> Cell:
    """The breakers before some targets, in one cell."""
    return breakers.told(deployments_of(targets, deployments), now_ms)
