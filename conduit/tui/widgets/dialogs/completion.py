"""Completing the last part of a list that is typed with commas between."""

from collections.abc import Sequence

from textual.suggester import Suggester


class PartSuggester(Suggester):
    """Suggests what begins like the last part and does not stand in the list already."""

    def __init__(self, choices: Sequence[str]) -> None:
        # Not cached: the choices may become more while the form is open.
        super().__init__(use_cache=False, case_sensitive=True)
        self._choices = choices

    async def get_suggestion(self, value: str) -> str | None:
        before, _, last = value.rpartition(",")
        part = last.lstrip()
        if not part:
            return None
        taken = {each.strip() for each in before.split(",")}
        found = next(
            (
                choice
                for choice in self._choices
                if choice.lower().startswith(part.lower()) and choice not in taken
            ),
            None,
        )
        if found is None or len(found) == len(part):
            return None
        # The cells that are typed stay as they are: a suggestion only goes on from them.
        return value + found[len(part) :]
