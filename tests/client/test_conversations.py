"""Conversations on disk: private, appended to, readable after a crash."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conduit.client.conversations import (
    Conversation,
    ConversationError,
    Conversations,
    Turn,
    new_conversation,
    now,
)

URL = "https://gw.example"


@pytest.fixture
def store(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "conversations")


def exchange(text: str = "hello") -> tuple[Turn, Turn]:
    answer = Turn("assistant", "hi", now(), "m", "req_1", 0, 3, "0.0041")
    return Turn("user", text, now()), answer


def test_what_is_kept_is_read_again(store: Conversations) -> None:
    begun = new_conversation(URL, "m", "Be brief.")
    kept = store.append(store.append(begun, *exchange()), *exchange("again"))
    assert store.open(kept.id) == kept
    assert store.all() == [kept]
    assert store.latest(URL) == kept
    assert kept.messages()[:2] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
    ]
    assert store.path_of(kept.id).stat().st_mode & 0o777 == 0o600
    assert store.path_of(kept.id).parent.stat().st_mode & 0o777 == 0o700


def test_a_turn_may_hold_any_text_and_attachments(store: Conversations) -> None:
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "a\u2028b\nc\x85"},
        {"type": "image_url", "image_url": {}},
    ]
    kept = store.append(new_conversation(URL), Turn("user", content), Turn("assistant", ""))
    assert store.open(kept.id).turns == kept.turns
    assert kept.turns[0].text == "a\u2028b\nc\x85"


def test_a_write_that_a_crash_cut_off_hides_nothing_before_it(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange())
    with open(store.path_of(kept.id), "a", encoding="utf-8") as file:
        file.write('{"role": "user", "cont')
    assert store.open(kept.id).turns == kept.turns


def test_a_field_of_a_later_version_is_passed_over(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange())
    path = store.path_of(kept.id)
    lines = [json.dumps({**json.loads(line), "new": 1}) for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    assert store.open(kept.id) == kept


@pytest.mark.parametrize("text", ["", "{}\n", "nonsense\n", '{"conversation": 2}\n'])
def test_a_damaged_file_hides_no_other(store: Conversations, text: str) -> None:
    kept = store.append(new_conversation(URL), *exchange())
    damaged = store.path_of("20260101-000000-abcdef")
    damaged.write_text(text)
    assert store.all() == [kept]
    assert store.latest(URL) == kept
    with pytest.raises(ConversationError):
        store.open("20260101-000000-abcdef")


def test_the_latest_is_the_one_last_written_to_with_that_gateway(store: Conversations) -> None:
    ids = ("20260101-000000-aaaaaa", "20260102-000000-bbbbbb", "20260103-000000-cccccc")
    urls = (URL, URL, "https://other.example")
    for name, url in zip(ids, urls, strict=True):
        store.append(Conversation(name, now(), url), *exchange())
    os.utime(store.path_of(ids[1]), (1, 1))
    latest = store.latest(URL)
    assert latest is not None
    assert latest.id == ids[0]
    assert store.latest("https://unknown.example") is None


def test_an_id_may_be_shortened_while_it_fits_one(store: Conversations) -> None:
    for name in ("20260101-000000-aaaaaa", "20260101-000000-bbbbbb"):
        store.append(Conversation(name, now(), URL), *exchange())
    assert store.open("20260101-000000-b").id.endswith("bbbbbb")
    for given in ("20260101", "2027", "../../etc/passwd"):
        with pytest.raises(ConversationError):
            store.open(given)


def test_taking_an_exchange_back_and_forgetting(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange("one"), *exchange("two"))
    store.save(kept.without_last_exchange())
    assert [turn.content for turn in store.open(kept.id).turns] == ["one", "hi"]
    store.delete(kept.id)
    store.delete(kept.id)
    assert store.all() == []


def test_a_title_is_the_beginning_of_the_first_question() -> None:
    begun = new_conversation(URL)
    assert begun.title == ""
    assert replace(begun, turns=exchange("a\nb")).title == "a b"
    assert len(replace(begun, turns=exchange("x" * 200)).title) == 60
