"""What stands where in a command: subjects before verbs, and the words of the next page."""

import json
import shlex

import pytest

from conduit.cli.pages import next_page
from tests.cli.conftest import Shell
from tests.cli.fake_gateway import FakeGateway
from tests.cli.test_matrix import on_terminal


def test_the_provider_of_credentials_may_stand_before_the_verb(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.add("providers", name="main", type="openai")
    gateway.add("providers", name="list", type="openai")
    gateway.add("credentials", name="a", state="ready")
    for provider in ("main", "list"):
        after = shell("providers", "credentials", "list", provider, "--json")
        assert after.code == 0, after.err
        assert [row["name"] for row in json.loads(after.out)["data"]] == ["a"]
    before = shell("providers", "credentials", "main", "list", "--json")
    assert before == shell("providers", "credentials", "list", "main", "--json")
    assert shell("providers", "credentials", "main", "ls", "--json") == before
    unknown = shell("providers", "credentials", "main", "lisst")
    assert unknown.code == 2


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_page_that_follows_is_shown_by_the_command_that_is_told(
    shell: Shell, gateway: FakeGateway, *, is_terminal: bool
) -> None:
    for number in range(5):
        gateway.add("keys", name=f"key-{number}", group="a b")
    words = ["keys", "list", "--limit", "2", "-o", "id", "--sort", "name"]
    seen: list[str] = []
    while words:
        page = on_terminal(shell, *words) if is_terminal else shell(*words)
        seen += page.out.split()
        _, _, step = page.err.partition("go on with: ")
        words = shlex.split(step)[1:]
    assert len(set(seen)) == 5


def test_the_cursor_takes_the_place_of_the_former_one_and_words_are_quoted() -> None:
    words = ("keys", "list", "--cursor", "1", "--filter", "name:a b", "--cursor=2")
    assert next_page(words, "3") == "conduit keys list --filter 'name:a b' --cursor 3"
