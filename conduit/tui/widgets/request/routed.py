"""Why a request went where it went, what was called, and what each call cost."""

from collections.abc import Iterable, Iterator

from textual.content import Content

from conduit.core import people
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.connectivity import Tone
from conduit.tui.state.traffic import Record

_TARGET_CELLS = 30
"""At most; names that are shorter leave the reasons more room."""


def route_of(record: Record, glyphs: Glyphs) -> Content:
    """The aliases on the way with their targets, then the calls."""
    return Content("\n").join(_lines(record, glyphs))


def _lines(record: Record, glyphs: Glyphs) -> Iterator[Content]:
    route = record.get("route")
    if route is None:
        yield Content.styled("it was not routed", "$dim")
    else:
        for leg in route["legs"]:
            yield from _leg(leg, glyphs)
        if route["trimmed"]:
            count = people.counted(route["trimmed"], "message")
            yield Content.styled(f"the oldest {count} were left out of the prompt", "$warn")
    called = [] if route is None else route["attempts"]
    for number, call in enumerate(record.get("attempt_list") or (), 1):
        planned = called[number - 1] if number <= len(called) else {}
        yield from _call(number, call, planned, glyphs)


def _leg(leg: Record, glyphs: Glyphs) -> Iterator[Content]:
    how = f"{leg['strategy']}, sticky by session" if leg["sticky"] else leg["strategy"]
    because = "" if leg["because"] is None else f"  after {leg['because']}"
    yield Content.assemble((leg["alias"], "bold"), f"  {how}{because}")
    ranked = [*leg["candidates"], *leg["left_out"]]
    cells = min(_TARGET_CELLS, max((len(_name(each)) for each in ranked), default=0))
    for number, each in enumerate(leg["candidates"], 1):
        score = "" if each["score"] is None else f"score {each['score']:.4g}"
        ready = each["state"] == "ready"
        why = score if ready else each["reason"] or each["state"].replace("_", " ")
        sign = f"{number:2}" if ready else f" {glyphs.warn}"
        yield _target(sign, _name(each).ljust(cells), why, "" if ready else "$warn")
    for each in leg["left_out"]:
        why = each["reason"] or each["state"].replace("_", " ")
        yield _target(f" {glyphs.bad}", _name(each).ljust(cells), why, "$dim")
    yield Content("")


def _name(each: Record) -> str:
    return f"{each['provider']}/{each['model']}"


def _target(sign: str, name: str, why: str, style: str) -> Content:
    return Content.assemble((f"{sign} {name}  {why}", style))


def _call(number: int, call: Record, planned: Record, glyphs: Glyphs) -> Iterable[Content]:
    failed = call.get("error_code") or planned.get("error")
    tone: Tone = "bad" if failed or call["outcome"] not in ("succeeded", None) else "good"
    credential = planned.get("credential")
    told = [
        f"{call['status'] or '-'} {call['outcome'] or call['state']}",
        *([str(failed)] if failed else []),
        *([f"credential {credential}"] if credential else []),
        *([f"after {planned['because']}"] if planned.get("because") else []),
        *([f"waited {planned['waited_ms']}ms"] if planned.get("waited_ms") else []),
    ]
    yield Content.assemble(
        (f"call {number}  ", "bold"),
        (glyphs.of(tone), f"${tone}"),
        f" {call['provider']}/{call['model']}",
    )
    tokens = f"{call['input_tokens'] or 0:,} in, {call['output_tokens'] or 0:,} out"
    cost, billed = (people.money(call[name] or "0") for name in ("cost", "billed"))
    price = call.get("price_version") or "none known"
    for line in (", ".join(told), f"{tokens}, cost {cost}, billed {billed}", f"price {price}"):
        yield Content(f"  {line}")
