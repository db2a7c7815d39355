"""What goes with every request shows neither its key nor its prompt where it is printed."""

from typing import Any, cast

from conduit.gateway.exchange import Attempt, Exchange
from conduit.gateway.routes.relay import HttpIncoming, HttpRelay
from conduit.gateway.server.body import BodyLimits
from conduit.gateway.stages.record import Recording
from conduit.gateway.stages.settle import Settle, Settling

CANARY = "condt_canary"


def test_what_goes_with_a_request_is_printed_without_what_it_holds() -> None:
    canary = cast(Any, CANARY)
    for each in (
        HttpIncoming(canary, {"authorization": CANARY}, CANARY, BodyLimits()),
        HttpRelay(canary, 1.0),
        Recording(canary, cast(Exchange, CANARY)),
        Settling(cast(Settle, CANARY), cast(Exchange, CANARY), cast(Attempt, CANARY)),
    ):
        assert CANARY not in repr(each)
        assert type(each).__name__ in repr(each)
