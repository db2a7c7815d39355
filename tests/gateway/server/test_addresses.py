"""Whose request it is, directly and behind proxies."""

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.networks import networks_of
from conduit.gateway.server.addresses import ClientAddresses, network_of

PROXIES = networks_of("10.0.0.0/8, 2001:db8:aa::/48, 127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # a stranger may write what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("2001:db8:aa::1", ["198.51.100.7"], "198.51.100.7"),
        # What a proxy says that is no address is not believed at all.
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, "], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", ["1" * 100], "10.0.0.1"),
        ("10.0.0.1", ["0x7f.1"], "10.0.0.1"),
        ("not an address", ["198.51.100.7"], "not an address"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_the_first_hop_from_the_right_that_is_not_trusted_is_the_client(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert ClientAddresses(PROXIES).behind(peer, forwarded) == client


def test_only_so_many_hops_are_looked_at() -> None:
    hops = ["198.51.100.7"] + ["10.0.0.2"] * 40
    assert ClientAddresses(PROXIES).behind("10.0.0.1", [",".join(hops)]) == "10.0.0.2"


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=3))
def test_whatever_the_headers_hold_there_is_an_answer(peer: str, forwarded: list[str]) -> None:
    assert isinstance(ClientAddresses(PROXIES).behind(peer, forwarded), str)
    assert isinstance(ClientAddresses(PROXIES).behind("10.0.0.1", forwarded), str)


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_peer_is_shown_in_its_plain_form(peer: str, client: str) -> None:
    request = make_mocked_request("GET", "/", headers={"x-forwarded-for": "198.51.100.7"})
    assert ClientAddresses().of(request.clone(remote=peer)) == client


def test_trust_can_be_given_and_taken_while_it_runs() -> None:
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": "198.51.100.7"})
    request = request.clone(remote="::ffff:10.0.0.1")
    addresses = ClientAddresses()
    assert addresses.of(request) == "10.0.0.1"
    addresses.trust(PROXIES)
    assert addresses.of(request) == "198.51.100.7"
    addresses.trust(())
    assert addresses.of(request) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("", ""),
        ("nonsense:", "nonsense:"),
    ],
)
def test_a_customer_of_ipv6_counts_as_one(address: str, network: str) -> None:
    assert network_of(address) == network
