"""Changes of settings that are not applied yet."""

from conduit.tui.state.drafts import Draft
from tests.tui.made import setting


def test_what_is_the_value_already_is_no_change() -> None:
    draft, row = Draft(), setting("max_attempts", 3)
    assert draft.put(row, 5)
    assert not draft.put(row, 3)
    assert draft.differences([row]) == []


def test_a_truth_is_no_number() -> None:
    draft, row = Draft(), setting("log_bodies", True)
    assert draft.put(row, 1)


def test_differences_are_to_the_settings_as_they_are_now() -> None:
    draft = Draft()
    draft.put(setting("max_attempts", 3), 5)
    draft.put(setting("log_level", "info"), "debug")
    now = [setting("max_attempts", 4), setting("log_level", "debug"), setting("other", 1)]
    assert [(each.old, each.new) for each in draft.differences(now)] == [(4, 5)]


def test_only_what_stands_in_the_file_can_be_taken_out_of_it() -> None:
    draft = Draft()
    row = setting("workers", 2, "file /etc/conduit/gateway.toml", restart_needed=True)
    draft.unset(row)
    (difference,) = draft.differences([row])
    assert difference.told("->") == "workers: 2 -> its default, after a restart"
    assert draft.differences([setting("workers", 1)]) == []
    assert draft.drop("workers")
    assert not draft.drop("workers")
