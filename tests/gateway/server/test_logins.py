"""What becomes of wrong keys."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from conduit.core.errors import AuthenticationError, FailedLoginsError
from conduit.core.events import EventKind
from conduit.gateway.server.logins import Api, FailedLogins, FailureTable, LoginRule

RULE = LoginRule(allowed=3, window_s=60, ban_s=300, longest_ban_s=1000)
WRONG = AuthenticationError("the API key is not valid")


class Gate:
    """Failed logins at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.events: list[Mapping[str, Any]] = []
        self.counts: Counter[tuple[Api, bool]] = Counter()
        self.logins = FailedLogins(self._publish, self._count, clock=lambda: self.now)

    def _publish(self, kind: EventKind, facts: Mapping[str, Any]) -> None:
        assert kind is EventKind.AUTH_FAILED
        self.events.append(facts)

    def _count(self, api: Api, put_off: bool) -> None:
        self.counts[api, put_off] += 1

    def fail(self, api: Api = "admin", address: str = "192.0.2.1", times: int = 1) -> float:
        """The seconds that the last of so many wrong keys is put off; 0 for a plain 401."""
        for _ in range(times):
            answer = self.logins.refusal(api, address, WRONG)
        if answer is WRONG:
            return 0.0
        assert isinstance(answer, FailedLoginsError)
        return answer.retry_after_s or 0.0


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_the_first_wrong_keys_are_told_so(gate: Gate) -> None:
    assert gate.fail(times=10) == 0
    assert gate.fail() == 300


def test_what_comes_while_an_address_is_put_off_does_not_prolong_it(gate: Gate) -> None:
    gate.fail(times=11)
    gate.now += 100
    assert gate.fail(times=50) == 200
    gate.now += 200
    assert gate.fail() == 0


def test_each_further_time_takes_twice_as_long_up_to_an_hour(gate: Gate) -> None:
    waits = []
    for _ in range(6):
        waits.append(gate.fail(times=11))
        gate.now += waits[-1]
    assert waits == [300, 600, 1200, 2400, 3600, 3600]


def test_an_address_that_keeps_quiet_begins_anew(gate: Gate) -> None:
    gate.now += gate.fail(times=11)
    gate.now += 3600
    assert gate.fail(times=11) == 300


def test_keys_mistyped_now_and_then_are_never_put_off(gate: Gate) -> None:
    for _ in range(100):
        assert gate.fail() == 0
        gate.now += 7


def test_applications_have_sixty_a_minute(gate: Gate) -> None:
    assert gate.fail("client", times=60) == 0
    assert gate.fail("client") == 60
    gate.now += 60
    assert gate.fail("client", times=60) == 0
    assert gate.fail("client") == 60


def test_addresses_and_apis_are_counted_apart(gate: Gate) -> None:
    gate.fail(times=11)
    assert gate.fail(address="192.0.2.2") == 0
    assert gate.fail("client") == 0
    assert gate.fail() > 0


def test_a_network_of_ipv6_is_one_address(gate: Gate) -> None:
    for number in range(10):
        assert gate.fail(address=f"2001:db8:1:2::{number}") == 0
    assert gate.fail(address="2001:db8:1:2:ffff::1") == 300
    assert gate.fail(address="2001:db8:1:3::1") == 0


def test_the_table_is_bounded_and_forgets_who_failed_longest_ago() -> None:
    table = FailureTable(RULE, most=100)
    for _ in range(4):
        table.failed("192.0.2.1", 0)
    for number in range(99):
        table.failed(f"198.51.100.{number}", 1)
    assert table.failed("192.0.2.1", 2)[0] > 0  # put back to the end by this
    for number in range(99):
        table.failed(f"203.0.113.{number}", 3)
    assert len(table) == 100
    assert table.failed("192.0.2.1", 4)[0] > 0
    table.failed("203.0.113.200", 5)
    for number in range(99):
        table.failed(f"203.0.113.{number}", 6)
    assert table.failed("192.0.2.1", 7) == (0.0, False)


def test_every_failure_is_counted_by_its_answer(gate: Gate) -> None:
    gate.fail(times=15)
    gate.fail("client", times=2)
    assert gate.counts == {("admin", False): 10, ("admin", True): 5, ("client", False): 2}


def test_events_are_samples_that_say_for_how_many_they_stand(gate: Gate) -> None:
    gate.fail(times=50)
    assert gate.events == [
        {"api": "admin", "client_ip": "192.0.2.1", "limited": False, "failures": 1, "bans": 0}
    ]
    gate.now += 1
    gate.fail(address="192.0.2.9")
    assert gate.events[1:] == [
        {"api": "admin", "client_ip": "192.0.2.9", "limited": False, "failures": 50, "bans": 1}
    ]


def test_what_is_told_holds_no_part_of_a_key(gate: Gate) -> None:
    gate.fail(times=11)
    answer = gate.logins.refusal("admin", "192.0.2.1", AuthenticationError("condt_canary"))
    assert "canary" not in str(answer) + str(gate.events)
    assert answer.should_retry is False
