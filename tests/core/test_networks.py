"""Networks as operators write them."""

import pytest

from conduit.core.networks import is_within, network_names, normal_network


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        (" 10.0.0.0/8 ", "10.0.0.0/8"),
        ("2001:DB8::7", "2001:db8::7/128"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_has_one_form_and_a_mapped_one_is_that_of_its_clients(
    written: str, usual: str
) -> None:
    assert normal_network(written) == usual
    assert network_names(f"198.51.100.0/24,{written}")[1] == usual


def test_a_mapped_network_holds_the_clients_that_come_from_it() -> None:
    denied = network_names("::ffff:10.0.0.0/104")
    assert is_within("10.1.2.3", denied)
    assert not is_within("11.1.2.3", denied)


@pytest.mark.parametrize("written", ["10.0.0.1/8", "::ffff:10.0.0.1/104", "10.0.0.0/33", "x", ""])
def test_what_is_no_network_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        normal_network(written)
