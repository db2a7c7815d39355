"""`conduit conversations`: what was talked about, found and handed on."""

import json
from pathlib import Path

import pytest

from conduit.client.conversations import Conversation, Conversations, Turn, new_conversation
from tests.cli.conftest import Shell

URL = "https://gw.example"


@pytest.fixture
def store(shell: Shell) -> Conversations:
    return Conversations(shell.home / "conduit/state/conversations")


def kept(store: Conversations, question: str, answer: str) -> Conversation:
    turns = Turn("user", question), Turn("assistant", answer, model="gpt-4o", cost="0.0041")
    return store.append(new_conversation(URL, "gpt-4o"), *turns)


def test_words_are_found_in_any_way_that_a_conversation_took(
    shell: Shell, store: Conversations
) -> None:
    wanted = kept(store, "a question", "about buckets")
    store.append(wanted.forked(1), Turn("assistant", "another answer"))
    kept(store, "something else", "entirely")
    found = shell("conversations", "search", "BUCKETS", "question", "--json")
    [row] = json.loads(found.out)["data"]
    assert (row["id"], row["found"]) == (wanted.id, "about buckets")
    assert shell("conversations", "search", "nowhere").out == ""


def test_the_list_is_that_of_chat(shell: Shell, store: Conversations) -> None:
    kept(store, "a question", "an answer")
    listed = shell("conversations", "list", "--json")
    assert listed.out == shell("chat", "--list", "--json").out
    assert json.loads(listed.out)["data"][0]["title"] == "a question"


def test_one_is_shown_by_the_beginning_of_its_id(shell: Shell, store: Conversations) -> None:
    conversation = kept(store, "a question", "an answer")
    shown = shell("conversations", "show", conversation.id[:-2], "--json")
    assert [turn["content"] for turn in json.loads(shown.out)["turns"]] == [
        "a question",
        "an answer",
    ]
    absent = shell("conversations", "show", "29991231")
    assert (absent.code, "there is no conversation" in absent.err) == (5, True)


def test_one_is_exported_as_markdown_or_json(
    shell: Shell, store: Conversations, tmp_path: Path
) -> None:
    conversation = kept(store, "a question", "an answer")
    printed = shell("conversations", "export", conversation.id)
    assert "## You\n\na question\n\n## gpt-4o\n\nan answer\n\n*$0.0041*" in printed.out
    path = tmp_path / "c.json"
    assert shell("conversations", "export", conversation.id, "--out", str(path)).code == 0
    assert json.loads(path.read_text())["turns"][1]["cost"] == "0.0041"
    assert path.stat().st_mode & 0o777 == 0o600
    again = shell("conversations", "export", conversation.id, "--out", str(path))
    assert (again.code, "exists already" in again.err) == (6, True)


def test_one_is_deleted_when_that_was_confirmed(shell: Shell, store: Conversations) -> None:
    conversation = kept(store, "a question", "an answer")
    assert shell("conversations", "delete", conversation.id).code == 2
    assert store.all() == [conversation]
    assert shell("conversations", "delete", conversation.id, "--yes").code == 0
    assert store.all() == []
