"""Conversations on disk: private, appended to, readable after a crash."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conduit.client import conversations, locking
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
    more = store.append(kept, *exchange())
    assert store.open(kept.id).turns == more.turns
    assert len(more.turns) == 2 * len(kept.turns)


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


def test_a_conversation_takes_several_ways_and_shows_one(store: Conversations) -> None:
    first = store.append(new_conversation(URL), *exchange("one"))
    second = store.append(first, *exchange("two"))
    again = store.append(second.forked(3), Turn("assistant", "another"))
    edited = store.append(again.forked(2), *exchange("two, put otherwise"))
    assert store.open(edited.id) == edited
    assert [turn.text for turn in edited.turns] == ["one", "hi", "two, put otherwise", "hi"]
    assert [turn.text for turn in edited.ways(2)] == ["two", "two, put otherwise"]
    assert [turn.id for turn in edited.ends()] == [7, 5, 4]
    back = store.save(edited.showing(edited.ways(2)[0].id))
    assert [turn.text for turn in back.turns] == ["one", "hi", "two", "another"]
    assert store.open(back.id) == back
    assert [turn.text for turn in back.showing(4).turns] == ["one", "hi", "two", "hi"]


def test_what_is_taken_back_takes_its_other_ways_along(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange("one"))
    kept = store.append(kept, *exchange("two"))
    kept = store.append(kept.forked(3), Turn("assistant", "another"))
    left = kept.without_last_exchange()
    assert [turn.text for turn in left.every()] == ["one", "hi"]


def test_a_file_without_numbers_is_one_way(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange())
    path = store.path_of(kept.id)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    numbers = ("id", "after")
    plain = [{k: v for k, v in row.items() if k not in numbers} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in plain))
    assert store.open(kept.id) == kept


@pytest.mark.parametrize("numbers", [{"id": 1, "after": 1}, {"id": 2, "after": 9}])
def test_turns_that_follow_none_are_damage(store: Conversations, numbers: dict[str, int]) -> None:
    kept = store.append(new_conversation(URL), *exchange())
    with open(store.path_of(kept.id), "a", encoding="utf-8") as file:
        file.write(json.dumps({"role": "user", "content": "x", **numbers}) + "\n")
    with pytest.raises(ConversationError):
        store.open(kept.id)


def test_calls_of_tools_go_along_once_they_were_answered() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = new_conversation(URL).extended(
        Turn("user", "hi"), Turn("assistant", "", tool_calls=[call])
    )
    assert asked.messages() == [{"role": "user", "content": "hi"}]
    told = [{"tool_call_id": "c1", "content": "42"}]
    assert asked.extended(Turn("user", "", tool_results=told)).messages()[1:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]


def test_keys_in_what_was_said_are_shortened_on_disk(store: Conversations) -> None:
    key = "sk-proj-" + "a1B2" * 10
    parts: list[dict[str, Any]] = [{"type": "text", "text": f"use {key}"}]
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": key}}
    answer = Turn("assistant", f"not {key}", reasoning=key, tool_calls=[call])
    kept = store.append(
        new_conversation(URL, system=f"the key is {key}"), Turn("user", parts), answer
    )
    assert key not in store.path_of(kept.id).read_text()
    assert store.open(kept.id).turns[0].text == "use sk-...a1B2"


def test_two_front_ends_add_to_one_conversation(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange("one"))
    other = Conversations(store.path_of(kept.id).parent)
    theirs = other.append(other.open(kept.id), *exchange("theirs"))
    ours = store.append(kept, *exchange("ours"))
    assert [turn.text for turn in ours.turns] == ["one", "hi", "ours", "hi"]
    again = other.append(theirs, *exchange("theirs again"))
    assert [turn.text for turn in again.turns][-2:] == ["theirs again", "hi"]
    assert store.open(kept.id) == again
    saved = store.save(replace(ours, system="Be brief."))
    texts = [turn.text for turn in store.open(kept.id).every() if turn.role == "user"]
    assert sorted(texts) == ["one", "ours", "theirs", "theirs again"]
    assert store.open(kept.id) == saved


def test_what_was_taken_back_stays_away_while_another_front_end_adds(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange("one"), *exchange("two"))
    left = store.save(kept.without_last_exchange())
    theirs = store.append(store.open(kept.id), *exchange("theirs"))
    ours = store.append(left, *exchange("ours"))
    assert theirs.turns[:2] == ours.turns[:2]
    texts = [turn.text for turn in store.open(kept.id).every() if turn.role == "user"]
    assert sorted(texts) == ["one", "ours", "theirs"]


def test_numbers_that_were_given_twice_are_told_apart(store: Conversations) -> None:
    kept = store.append(new_conversation(URL), *exchange("one"))
    path = store.path_of(kept.id)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, *lines[1:]]))
    twice = store.open(kept.id)
    assert [(turn.id, turn.after) for turn in twice.every()] == [(1, 0), (2, 1), (3, 0), (4, 3)]
    longer = store.append(twice, *exchange("two"))
    assert store.open(kept.id) == longer


def test_a_lock_that_is_held_for_too_long_is_an_error(
    store: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = store.append(new_conversation(URL), *exchange())
    monkeypatch.setattr(locking, "_WITHIN_S", 0.0)
    with locking.locked(store.path_of(kept.id).with_name(".lock")), pytest.raises(TimeoutError):
        store.append(kept, *exchange())


def test_secrets_in_addresses_of_images_are_shortened_on_disk(store: Conversations) -> None:
    key = "sk-proj-" + "a1B2" * 10
    data = f"data:image/png;base64,{key}"
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": f"https://u:hunter2pass@host/a?api_key={key}"}},
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "input_audio", "input_audio": {"data": key, "format": "wav"}},
    ]
    kept = store.append(new_conversation(URL), Turn("user", parts))
    content = store.open(kept.id).turns[0].content
    assert isinstance(content, list)
    address, *rest = content
    assert rest == parts[1:]
    assert key not in str(address)
    assert "hunter2pass" not in str(address)


def test_a_list_reads_what_has_changed_alone(
    store: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    reading = conversations._read

    def counted(path: Path) -> Conversation:
        read.append(path.stem)
        return reading(path)

    kept = [store.append(new_conversation(URL), *exchange(text)) for text in ("one", "two")]
    store.append(new_conversation("https://other.example"), *exchange())
    monkeypatch.setattr(conversations, "_read", counted)
    titles = sorted(each.title for each in store.listed(URL))
    assert titles == ["one", "two"]
    assert len(read) == 3
    read.clear()
    store.append(kept[1], *exchange("more"))
    assert sorted(each.title for each in store.listed(URL)) == titles
    assert read == [kept[1].id]
    store.delete(kept[0].id)
    assert [each.title for each in store.listed(URL)] == ["two"]
