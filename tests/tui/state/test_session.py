"""Which gateway the interface looks at, and what it may send there."""

import pytest

from conduit.client import contexts
from conduit.client.contexts import Choice, Context, Contexts, Credentials
from conduit.core.keys import make_virtual_key
from conduit.tui.state.session import target_of

SPLIT = Context(
    name="split",
    url="http://clients.invalid:6001",
    admin_url="http://admin.invalid:6002",
    confirm_typed=True,
    color="red",
)


@pytest.fixture
def known() -> Contexts:
    credentials = Credentials(
        url=SPLIT.url,
        admin_url=SPLIT.admin_url,
        master_key="condt_mk_of_the_split_one",
        virtual_key=make_virtual_key(),
    )
    return Contexts("split", {"split": SPLIT}, {"split": credentials})


def test_the_master_key_goes_to_the_admin_address_alone(known: Contexts) -> None:
    target = target_of(contexts.resolve(known, Choice(), {}))
    assert (target.core_url, target.admin_url) == (SPLIT.url, SPLIT.admin_url)
    assert target.master_key == "condt_mk_of_the_split_one"


def test_a_stored_virtual_key_goes_to_no_other_address(known: Contexts) -> None:
    found = contexts.resolve(known, Choice(), {})
    assert target_of(found).virtual_key is not None
    assert target_of(found, core_url="http://elsewhere.invalid").virtual_key is None


def test_a_virtual_key_of_the_environment_goes_where_it_is_told(known: Contexts) -> None:
    given = make_virtual_key()
    found = contexts.resolve(known, Choice(), {"CONDUIT_API_KEY": given})
    assert target_of(found, core_url="http://elsewhere.invalid").virtual_key == given


def test_the_latches_of_a_context_count_here_too(known: Contexts) -> None:
    target = target_of(contexts.resolve(known, Choice(), {}))
    assert (target.confirm_typed, target.color) == (True, "red")
