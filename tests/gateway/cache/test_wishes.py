"""What a request's Cache-Control means."""

import pytest
from multidict import CIMultiDict

from conduit.gateway.cache.wishes import Wishes, wishes_of


@pytest.mark.parametrize(
    ("value", "wishes"),
    [
        ("no-store", Wishes(store=False)),
        ("No-Cache", Wishes(stored=False)),
        ("max-age=30", Wishes(youngest_s=30)),
        ("max-age=0", Wishes(stored=False, youngest_s=0)),
        ("max-age=soon", Wishes(stored=False, youngest_s=0)),
        ('max-age="30" , no-transform', Wishes(youngest_s=30)),
        ("only-if-cached, private", Wishes()),
        ("", Wishes()),
    ],
)
def test_a_directive_is_understood(value: str, wishes: Wishes) -> None:
    assert wishes_of({"Cache-Control": value}) == wishes


def test_directives_may_stand_on_several_lines() -> None:
    headers = CIMultiDict([("cache-control", "max-age=5"), ("Cache-Control", "no-store")])
    assert wishes_of(headers) == Wishes(store=False, youngest_s=5)


def test_silence_wishes_nothing() -> None:
    assert wishes_of({"accept": "*/*"}) == Wishes()
