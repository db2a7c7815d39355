"""How the last minute's requests ended, as the overview tells it."""

from typing import Any

import pytest

from conduit.tui.state.rates import error_share, shares
from tests.tui.events import figures


def ended(**fields: Any) -> dict[str, Any]:
    return figures(requests=200, errors=20, client_errors=0, rate_limited=0) | fields


@pytest.mark.parametrize(
    ("given", "share"),
    [
        (ended(), 0.1),
        (ended(client_errors=18), 0.01),
        (ended(client_errors=20), 0.0),
        (ended(requests=0, errors=0), 0.0),
    ],
)
def test_what_only_clients_can_mend_is_no_error_of_the_gateway(
    given: dict[str, Any], share: float
) -> None:
    assert error_share(given) == pytest.approx(share)


def test_a_gateway_of_before_tells_no_clients_apart() -> None:
    given = {name: value for name, value in ended().items() if name != "client_errors"}
    assert error_share(given) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("statuses", "limited", "told"),
    [
        ({"2xx": 180, "4xx": 16, "5xx": 4}, 6, ["2xx 90.0%", "429 3.0%", "4xx 5.0%", "5xx 2.0%"]),
        ({"2xx": 198, "4xx": 2}, 2, ["2xx 99.0%", "429 1.0%"]),
        ({"2xx": 198, "4xx": 2}, 0, ["2xx 99.0%", "4xx 1.0%"]),
        ({}, 0, []),
    ],
)
def test_statuses_are_told_by_class_and_limits_by_themselves(
    statuses: dict[str, int], limited: int, told: list[str]
) -> None:
    assert list(shares(ended(statuses=statuses, rate_limited=limited))) == told
