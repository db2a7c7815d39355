"""Failed logins: what becomes of wrong keys, by the address that they come from.

A correct key is never held up, so a good request looks nothing up here. That is deliberate:
operators and applications share their addresses with others, behind proxies and NATs.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from conduit.core.errors import AuthenticationError, ConduitError, FailedLoginsError
from conduit.core.events import EventKind, Publish
from conduit.gateway.server.addresses import network_of

_log = logging.getLogger(__name__)

Api = Literal["admin", "client"]
"""`admin`: the admin API and the socket of events. `client`: everything under /v1."""

Count = Callable[[Api, bool], None]
"""Counts a failed login, and whether it was put off."""


@dataclass(frozen=True, slots=True)
class LoginRule:
    """Of the wrong keys of an address, `allowed` within `window_s` are answered 401.

    Further ones are put off for `ban_s`, and twice as long each time it happens again, up to
    `longest_ban_s`. An address that has kept quiet for that long begins anew.
    """

    allowed: int
    window_s: float
    ban_s: float
    longest_ban_s: float


ADMIN_RULE: Final = LoginRule(allowed=10, window_s=60.0, ban_s=300.0, longest_ban_s=3600.0)
CLIENT_RULE: Final = LoginRule(allowed=60, window_s=60.0, ban_s=60.0, longest_ban_s=60.0)
MOST_ADDRESSES: Final = 100_000
_EVENT_EVERY_S: Final = 1.0


@dataclass(slots=True)
class _Failures:
    """The wrong keys of one address since `since`, and its ban, past or present."""

    since: float
    count: int = 0
    ban_s: float = 0.0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Ban:
    """A network whose wrong keys are put off for `left_s` more; `failures` since it last began."""

    network: str
    api: Api
    left_s: float
    failures: int


class FailureTable:
    """Counts failed logins by address; the addresses heard of longest ago make room."""

    def __init__(self, rule: LoginRule, *, most: int = MOST_ADDRESSES) -> None:
        self._rule = rule
        self._most = most
        self._by_network: dict[str, _Failures] = {}

    def __len__(self) -> int:
        return len(self._by_network)

    def failed(self, address: str, now: float) -> tuple[float, bool]:
        """Count a failed login: for how long it is put off, 0 for not at all; whether that began.

        What comes while an address is put off does not prolong it: it ends as it was told.
        """
        network = network_of(address)
        # Taken out and put back, so that the order is that of the last failure.
        failures = self._by_network.pop(network, None)
        if failures is None:
            failures = _Failures(since=now)
            if len(self._by_network) >= self._most:
                del self._by_network[next(iter(self._by_network))]
        self._by_network[network] = failures
        return self._judged(failures, now)

    def bans(self, now: float) -> Iterator[tuple[str, float, int]]:
        """Each network that is put off now: for how long, after how many wrong keys."""
        for network, failures in self._by_network.items():
            if now < failures.until:
                yield network, failures.until - now, failures.count

    def forgive(self, network: str | None) -> None:
        """Forget the wrong keys of a network, None for all."""
        if network is None:
            self._by_network.clear()
        else:
            self._by_network.pop(network, None)

    def _judged(self, failures: _Failures, now: float) -> tuple[float, bool]:
        rule = self._rule
        if now < failures.until:
            return failures.until - now, False
        if now - failures.since >= rule.window_s or failures.until > failures.since:
            failures.since, failures.count = now, 0
        failures.count += 1
        if failures.count <= rule.allowed:
            return 0.0, False
        quiet_s = now - failures.until
        again = failures.ban_s > 0 and quiet_s < rule.longest_ban_s
        failures.ban_s = min(failures.ban_s * 2, rule.longest_ban_s) if again else rule.ban_s
        failures.until = now + failures.ban_s
        return failures.ban_s, True


@dataclass(slots=True)
class LoginTotals:
    """Wrong keys since the start: told so, put off; and how often putting off began."""

    refused: int = 0
    limited: int = 0
    bans: int = 0

    def add(self, *, put_off: bool, began: bool) -> None:
        self.refused += not put_off
        self.limited += put_off
        self.bans += began


class FailedLogins:
    """Turns a failed login into its answer, counts it, and tells of it by samples.

    An event is published at most once a second for each API, with the number of failures that it
    stands for; nothing is ever written to the database.
    """

    def __init__(
        self, publish: Publish, count: Count, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._publish = publish
        self._count = count
        self._clock = clock
        self._tables: dict[Api, FailureTable] = {
            "admin": FailureTable(ADMIN_RULE),
            "client": FailureTable(CLIENT_RULE),
        }
        self._totals: dict[Api, LoginTotals] = {"admin": LoginTotals(), "client": LoginTotals()}
        self._samples = {"admin": _Sample(), "client": _Sample()}

    @property
    def totals(self) -> Mapping[Api, LoginTotals]:
        """What has been counted since the start, by API."""
        return self._totals

    def bans(self) -> list[Ban]:
        """Every ban in force, those of this process alone; the longest first."""
        now = self._clock()
        found = [
            Ban(network, api, left_s, failures)
            for api, table in self._tables.items()
            for network, left_s, failures in table.bans(now)
        ]
        return sorted(found, key=lambda ban: -ban.left_s)

    def lift(self, network: str) -> int:
        """Begin anew with the wrong keys of a network; how many bans that ends."""
        return self._lift([ban for ban in self.bans() if ban.network == network], network)

    def lift_all(self) -> int:
        """Begin anew with everybody's; how many bans that ends."""
        return self._lift(self.bans(), None)

    def _lift(self, bans: Sequence[Ban], network: str | None) -> int:
        for table in self._tables.values():
            table.forgive(network)
        return len(bans)

    def addresses(self, api: Api) -> int:
        """How many networks are remembered for wrong keys."""
        return len(self._tables[api])

    def refusal(self, api: Api, address: str, error: AuthenticationError) -> ConduitError:
        """What a caller is told whose key was refused by `error`."""
        now = self._clock()
        wait_s, began = self._tables[api].failed(address, now)
        self._count(api, wait_s > 0)
        self._totals[api].add(put_off=wait_s > 0, began=began)
        sample = self._samples[api]
        sample.failures += 1
        sample.bans += began
        if now >= sample.next_at:
            self._tell(api, address, sample, limited=wait_s > 0)
            self._samples[api] = _Sample(next_at=now + _EVENT_EVERY_S)
        if not wait_s:
            return error
        return FailedLoginsError(
            "too many wrong keys have come from this address; a correct one is let in at any time",
            retry_after_s=wait_s,
        )

    def _tell(self, api: Api, address: str, sample: "_Sample", *, limited: bool) -> None:
        if sample.bans:
            _log.warning("too many wrong keys from %s: more are answered 429", address or "?")
        self._publish(
            EventKind.AUTH_FAILED,
            {
                "api": api,
                "client_ip": address or None,
                "limited": limited,
                "failures": sample.failures,
                "bans": sample.bans,
            },
        )


@dataclass(slots=True)
class _Sample:
    """What has happened since the last event, and when the next one may be published."""

    next_at: float = float("-inf")
    failures: int = 0
    bans: int = 0
