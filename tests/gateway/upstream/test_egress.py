"""Base URLs and addresses that the gateway may connect to."""

import ipaddress
import socket
from collections.abc import Sequence

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import assume, given
from hypothesis import strategies as st

from conduit.core.errors import InvalidRequestError
from conduit.gateway.upstream.egress import (
    BaseUrl,
    RefusedAddressError,
    VettedResolver,
    check_base_url,
    is_public,
    may_be_private,
)


class PointsAt(AbstractResolver):
    """Leads every name to the same addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("given_url", "url", "host", "port"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1", "api.openai.com", 443),
        ("HTTPS://API.OpenAI.com./v1/", "https://api.openai.com/v1", "api.openai.com", 443),
        ("https://h.example:8443", "https://h.example:8443", "h.example", 8443),
        ("https://h.example:443/a/b//", "https://h.example/a/b", "h.example", 443),
        (
            "https://bücher.example/v1",
            "https://xn--bcher-kva.example/v1",
            "xn--bcher-kva.example",
            443,
        ),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1", "8.8.8.8", 443),
        ("https://134744072/v1", "https://8.8.8.8/v1", "8.8.8.8", 443),
        (
            "https://[2606:4700::1111]:8443/v1",
            "https://[2606:4700::1111]:8443/v1",
            "2606:4700::1111",
            8443,
        ),
    ],
)
def test_a_public_url_comes_back_in_one_form(
    given_url: str, url: str, host: str, port: int
) -> None:
    assert check_base_url(given_url, allow_private=False) == BaseUrl(url, host, port, False)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:11434/v1",
        "http://LOCALHOST./v1",
        "http://ollama.localhost/v1",
        "http://127.0.0.1:8000",
        "http://127.1:8000",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://[::1]:8000/v1",
        "http://[::ffff:127.0.0.1]/v1",
    ],
)
def test_loopback_is_taken_as_said(url: str) -> None:
    assert check_base_url(url, allow_private=False).is_loopback


PRIVATE = [
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.127.255.255", "0.0.0.0", "0.1.2.3",
    "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1",
    "167772161", "0xa000001", "[fc00::1]", "[fd12::1]", "[fec0::1]", "[::]", "[100::1]",
    "[::ffff:10.0.0.1]", "[::ffff:100.64.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::a00:1]",
    "[64:ff9b:1:a00:0:100:808:808]", "[2002:a00:1::]", "[::a00:1]", "[2001::1]", "[2001:db8::1]",
    "[3fff::1]", "[4000::1]", "[5f00::1]", "\uff11\uff10.0.0.1", "10\u30020\u30020\u30021",
]  # fmt: skip

NEVER = [
    "169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
    "169.254.43518", "168.63.129.16", "100.100.100.200", "192.0.0.192", "224.0.0.1",
    "239.255.255.250", "255.255.255.255", "[fe80::1]", "[fd00:ec2::254]", "[ff02::1]",
    "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_an_address_that_is_not_public_needs_permission(host: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        check_base_url(f"https://{host}/v1", allow_private=False)
    assert raised.value.param == "base_url"
    assert check_base_url(f"http://{host}/v1", allow_private=True).url.startswith("http://")


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("host", NEVER)
def test_an_address_that_no_provider_has_is_refused_whatever_is_allowed(
    host: str, allow_private: bool
) -> None:
    with pytest.raises(InvalidRequestError):
        check_base_url(f"https://{host}/v1", allow_private=allow_private)


@pytest.mark.parametrize(
    ("host", "addresses", "allow_private", "accepted"),
    [
        ("api.example", ["8.8.8.8", "2606:4700::1111"], False, True),
        ("api.example", ["8.8.8.8", "10.0.0.1"], False, False),
        ("api.example", ["8.8.8.8", "10.0.0.1"], True, True),
        ("api.example", ["127.0.0.1"], False, False),
        ("api.example", ["::ffff:10.0.0.1"], False, False),
        ("api.example", ["100.64.0.1"], False, False),
        ("api.example", ["64:ff9b::a00:1"], False, False),
        ("api.example", ["64:ff9b::808:808"], False, True),
        ("api.example", ["fe80::1%eth0"], True, False),
        ("api.example", ["169.254.169.254"], False, False),
        ("api.example", ["8.8.8.8", "169.254.169.254"], True, False),
        ("api.example", ["fd00:ec2::254"], True, False),
        ("localhost", ["127.0.0.1", "::1"], False, True),
        ("localhost", ["10.0.0.1"], False, False),
        ("ollama.localhost.", ["8.8.8.8"], False, False),
        ("proxy.internal", ["169.254.1.1"], False, True),
    ],
)
async def test_a_name_is_refused_if_any_of_its_addresses_is(
    host: str, addresses: list[str], allow_private: bool, accepted: bool
) -> None:
    resolver = VettedResolver(
        allow_private=allow_private, resolver=PointsAt(addresses), exempt={"proxy.internal"}
    )
    if accepted:
        results = await resolver.resolve(host, 443)
        assert [result["host"] for result in results] == addresses
    else:
        with pytest.raises(RefusedAddressError) as raised:
            await resolver.resolve(host, 443)
        assert host in str(raised.value)


async def test_a_name_without_an_address_leads_nowhere() -> None:
    with pytest.raises(OSError, match="has no address"):
        await VettedResolver(allow_private=True, resolver=PointsAt([])).resolve("api.example")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "ftp://api.openai.com",
        "simulator:",
        "//api.openai.com",
        "api.openai.com/v1",
        "",
        "https://",
        "https:///v1",
        "https://user@h.example/v1",
        "https://user:secret@h.example/v1",
        "https://h.example/v1?key=secret",
        "https://h.example/v1#x",
        "https://h.example/v1?",
        "https://h.example:0/v1",
        "https://h.example:65536/v1",
        "https://h.example:x/v1",
        "https://h.example\\@evil.example/v1",
        "https://h.example /v1",
        "https://h.example\r\nx: y/v1",
        "https://h%2eexample/v1",
        "https://[::1/v1",
        "https://[fe80::1%25eth0]/v1",
        "https://1.2.3.4.5/v1",
        "https://256.256.256.256/v1",
        "https://09.1.1.1/",
        "https://-bad.example/v1",
        "https://a..b/v1",
        "https://h.example/v1/../admin",
        "https://" + "a" * 64 + ".example",
    ],
)
def test_what_is_no_base_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        check_base_url(url, allow_private=False)
    assert raised.value.message.startswith("base_url: ")
    assert "secret" not in raised.value.message


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/v1", f"http://[{text}]"):
        try:
            checked = check_base_url(url, allow_private=False)
        except InvalidRequestError:
            continue
        assert check_base_url(checked.url, allow_private=False) == checked


@given(st.ip_addresses(v=4))
def test_every_way_to_carry_an_ipv4_address_is_judged_by_it(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    public = is_public(address)
    for carrier in ("::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"):
        carried = ipaddress.IPv6Address(int(ipaddress.IPv6Address(carrier)) + number)
        assert is_public(carried) is public
    assert is_public(ipaddress.IPv6Address((0x2002 << 112) + (number << 80))) is public


@given(st.ip_addresses(v=4))
def test_numbers_in_any_base_are_the_same_address(address: ipaddress.IPv4Address) -> None:
    assume(may_be_private(address))
    number = int(address)
    for text in (str(number), hex(number), f"0{number:o}", str(address)):
        assert check_base_url(f"http://{text}/", allow_private=True).host == str(address)
