"""A question that was asked elsewhere, brought to the chat."""

from conduit.client.bodies import Question
from conduit.core import people
from conduit.tui.chat.dialogue import Dialogue


def bring(dialogue: Dialogue, model: str | None, question: Question | None) -> str:
    """Set up a new conversation for it; what there is to know about it.

    The text of the question is the caller's to put before its reader: it is not sent.
    """
    if model is not None:
        dialogue.model = model
    if question is None:
        return "only the model: nothing is kept of what was asked"
    if question.system:
        dialogue.set_system(question.system)
    if question.earlier:
        left_out = people.counted(question.earlier, "earlier message")
        return f"the last question, without {left_out}"
    return "the question, with its system text" if question.system else "the question"
