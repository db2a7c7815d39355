"""An answer that a provider is to give, in no dialect's words."""

from dataclasses import dataclass

from tests.e2e.fidelity.conversation import Call

SIGNATURE = "EqQBCkYIBxgCKkA0c2lnbmF0dXJl"


@dataclass(frozen=True, slots=True)
class Made:
    """`finish` is in OpenAI's words; the tokens of input hold the cached ones, those of output
    the reasoning.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    input_tokens: int = 100
    cached_tokens: int = 30
    output_tokens: int = 25
    reasoning_tokens: int = 5

    @property
    def pieces(self) -> list[str]:
        return halves(self.text)


def halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]
