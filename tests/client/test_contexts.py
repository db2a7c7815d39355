"""Contexts and credentials: precedence, binding of secrets to URLs, files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.client import contexts
from conduit.client.contexts import (
    DEFAULT_URL,
    Choice,
    Context,
    ContextError,
    Contexts,
    Credentials,
    normalized,
    resolve,
)

PROD = "https://gw.example"
KNOWN = Contexts(
    current="local",
    by_name={"local": Context("local", DEFAULT_URL), "prod": Context("prod", PROD)},
    credentials={
        "local": Credentials(DEFAULT_URL, "mk-local", "vk-local"),
        "prod": Credentials(PROD, "mk-prod"),
    },
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONDUIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("choice", "environment", "url", "key"),
    [
        (Choice(), {}, DEFAULT_URL, "mk-local"),
        (Choice(context="prod"), {}, PROD, "mk-prod"),
        (Choice(), {"CONDUIT_CONTEXT": "prod"}, PROD, "mk-prod"),
        (Choice(), {"CONDUIT_URL": PROD}, PROD, "mk-prod"),
        (Choice(context="prod"), {"CONDUIT_URL": DEFAULT_URL}, PROD, "mk-prod"),
        (Choice(url=PROD), {"CONDUIT_URL": DEFAULT_URL}, PROD, "mk-prod"),
        (Choice(url="https://other.example"), {}, "https://other.example", None),
        (Choice("https://other.example", "prod"), {}, "https://other.example", None),
        (Choice(), {"CONDUIT_URL": "https://other.example"}, "https://other.example", None),
        (Choice(), {"CONDUIT_MASTER_KEY": "mk-env"}, DEFAULT_URL, "mk-env"),
        (Choice(context="prod"), {"CONDUIT_MASTER_KEY": "mk-env"}, PROD, "mk-prod"),
    ],
)
def test_the_gateway_and_its_key_are_chosen_by_precedence(
    choice: Choice, environment: dict[str, str], url: str, key: str | None
) -> None:
    where = resolve(KNOWN, choice, environment)
    assert (where.url, where.master_key) == (url, key)


@given(st.text(max_size=30))
def test_a_stored_key_is_found_only_under_its_own_url(path: str) -> None:
    try:
        url = normalized(f"{PROD}/{path}")
    except ContextError:
        return
    where = resolve(KNOWN, Choice(url=url), {})
    assert (where.master_key is None) or url == PROD


def test_no_file_and_no_variable_mean_the_default(home: Path) -> None:
    where = resolve(contexts.load(), Choice(), {})
    assert (where.url, where.url_origin, where.master_key) == (DEFAULT_URL, "default", None)


def test_a_context_that_is_named_must_exist() -> None:
    with pytest.raises(ContextError, match="no context 'nope'"):
        resolve(KNOWN, Choice(context="nope"), {})
    with pytest.raises(ContextError, match="known: local, prod"):
        resolve(KNOWN, Choice(), {"CONDUIT_CONTEXT": "nope"})


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("http://Host:80/", "http://host"),
        ("https://h:443/a/", "https://h/a"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_urls_are_compared_in_one_form(given_url: str, expected: str) -> None:
    assert normalized(given_url) == expected


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://h", "http://", "http://u:p@h", "http://h?q", "http://h:x"]
)
def test_what_is_no_gateway_url_is_refused(url: str) -> None:
    with pytest.raises(ContextError):
        normalized(url)


def test_what_is_saved_is_read_back_and_private(home: Path) -> None:
    contexts.save(Context("prod", PROD, "/ca.pem", read_only=True, default_model="m"))
    contexts.store_secrets("prod", PROD, master_key="mk", virtual_key="vk")
    known = contexts.load()
    assert known.current == "prod"
    assert known.by_name["prod"] == Context("prod", PROD, "/ca.pem", True, "m")
    assert known.credentials["prod"] == Credentials(PROD, "mk", "vk")
    for file in (contexts.config_file(), contexts.credentials_file()):
        assert file.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


def test_secrets_do_not_move_to_a_new_url_by_themselves() -> None:
    contexts.store_secrets("prod", PROD, master_key="mk", virtual_key="vk")
    contexts.store_secrets("prod", "https://other.example", master_key="mk2")
    assert contexts.load().credentials["prod"] == Credentials("https://other.example", "mk2")
    contexts.store_secrets("prod", PROD, virtual_key="vk2", moved=True)
    assert contexts.load().credentials["prod"] == Credentials(PROD, "mk2", "vk2")


def test_comments_of_the_owner_survive_a_change(home: Path) -> None:
    home.mkdir()
    contexts.config_file().write_text(
        f'# mine\ncurrent = "a"\n\n[contexts.a]  # this one\nurl = "{PROD}"\n'
    )
    contexts.save(Context("b", DEFAULT_URL))
    text = contexts.config_file().read_text()
    assert "# mine" in text
    assert "# this one" in text
    contexts.use("b")
    contexts.remove("a")
    assert contexts.load().current == "b"
    assert set(contexts.load().by_name) == {"b"}


def test_removing_a_context_forgets_its_secrets() -> None:
    contexts.save(Context("a", PROD))
    contexts.store_secrets("a", PROD, master_key="mk")
    contexts.remove("a")
    assert contexts.load() == Contexts()
    with pytest.raises(ContextError):
        contexts.remove("a")


@pytest.mark.parametrize(
    "text",
    ["not toml", "contexts = 3", "[contexts.a]\n", "[contexts.a]\nurl = 3", 'current = ["a"]'],
)
def test_a_file_that_cannot_be_used_is_one_line(home: Path, text: str) -> None:
    home.mkdir()
    contexts.config_file().write_text(text)
    with pytest.raises(ContextError) as caught:
        contexts.load()
    assert str(contexts.config_file()) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_file_of_the_environment_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("mk-file\n")
    environment = {"CONDUIT_MASTER_KEY_FILE": str(path)}
    assert resolve(Contexts(), Choice(), environment).master_key == "mk-file"
    with pytest.raises(ContextError):
        resolve(Contexts(), Choice(), {"CONDUIT_MASTER_KEY_FILE": str(tmp_path / "nope")})


def test_secrets_do_not_show_in_a_repr() -> None:
    where = resolve(KNOWN, Choice(), {})
    assert "mk-" not in repr(where) + repr(KNOWN) + repr(Credentials(PROD, "mk-x", "vk-x"))


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONDUIT_HOME", str(tmp_path / "file"))
    with pytest.raises(ContextError):
        contexts.save(Context("a", PROD))


SPLIT = Contexts(
    current="split",
    by_name={"split": Context("split", PROD, admin_url="https://admin.example")},
    credentials={
        "split": Credentials(PROD, "mk-split", "vk-split", admin_url="https://admin.example")
    },
)


@pytest.mark.parametrize(
    ("choice", "environment", "url", "admin", "keys"),
    [
        (Choice(), {}, PROD, "https://admin.example", ("mk-split", "vk-split")),
        (Choice(context="split"), {}, PROD, "https://admin.example", ("mk-split", "vk-split")),
        (Choice(url=PROD), {}, PROD, PROD, (None, "vk-split")),
        (Choice(), {"CONDUIT_URL": PROD}, PROD, PROD, (None, "vk-split")),
        (
            Choice(),
            {"CONDUIT_ADMIN_URL": "https://x.example"},
            PROD,
            "https://x.example",
            (None, "vk-split"),
        ),
        (
            Choice(admin_url="https://admin.example"),
            {"CONDUIT_URL": "https://x.example"},
            "https://x.example",
            "https://admin.example",
            ("mk-split", None),
        ),
        (
            Choice(context="split"),
            {"CONDUIT_ADMIN_URL": "https://x.example"},
            PROD,
            "https://admin.example",
            ("mk-split", "vk-split"),
        ),
    ],
)
def test_each_key_goes_to_the_address_it_is_bound_to(
    choice: Choice,
    environment: dict[str, str],
    url: str,
    admin: str,
    keys: tuple[str | None, str | None],
) -> None:
    where = resolve(SPLIT, choice, environment)
    assert (where.url, where.admin) == (url, admin)
    assert (where.master_key, where.virtual_key) == keys


def test_a_split_context_is_kept_whole() -> None:
    kept = Context(
        "split", PROD, None, True, "m", "https://admin.example", color="red", confirm_typed=True
    )
    contexts.save(kept)
    contexts.store_secrets("split", PROD, master_key="mk", admin_url="https://admin.example")
    contexts.store_secrets("split", PROD, virtual_key="vk", admin_url="https://admin.example")
    known = contexts.load()
    assert known.by_name["split"] == kept
    stored = known.credentials["split"]
    assert (stored.master_key, stored.virtual_key, stored.admin) == ("mk", "vk", kept.admin_url)


def test_a_master_key_does_not_move_to_another_admin_address() -> None:
    contexts.store_secrets("a", PROD, master_key="mk", virtual_key="vk")
    contexts.store_secrets("a", PROD, admin_url="https://admin.example")
    stored = contexts.load().credentials["a"]
    assert (stored.master_key, stored.virtual_key) == (None, "vk")


def test_a_renamed_context_keeps_its_keys_and_stays_current() -> None:
    contexts.save(Context("old", PROD))
    contexts.store_secrets("old", PROD, master_key="mk")
    contexts.rename("old", "new")
    known = contexts.load()
    assert (known.current, list(known.by_name), known.credentials["new"].master_key) == (
        "new",
        ["new"],
        "mk",
    )
    with pytest.raises(ContextError):
        contexts.rename("old", "newer")


@pytest.mark.parametrize("variable", ["CONDUIT_MASTER_KEY", "CONDUIT_API_KEY"])
@pytest.mark.parametrize("key", ["condt_ключ", "condt_a\nb", "condt_a\x00b", "condt_\udcff"])
def test_a_key_that_no_header_can_carry_is_refused_and_never_quoted(
    variable: str, key: str
) -> None:
    with pytest.raises(ContextError) as refused:
        resolve(Contexts(), Choice(), {variable: key})
    assert str(refused.value) == f"env {variable}: a key is one line of plain letters and digits"
    spaced = resolve(Contexts(), Choice(), {variable: " condt_ab\r\n"})
    assert "condt_ab" in (spaced.master_key, spaced.virtual_key)
