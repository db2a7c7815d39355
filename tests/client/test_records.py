"""Request records out of events."""

from typing import Any

import pytest

from conduit.client.records import FIELDS, record_of
from conduit.core.resources.requests import RequestView
from conduit.gateway.admin.requests import fields_of
from conduit.gateway.ledger.records import RequestRecord
from conduit.gateway.storage.requests import StoredRequest
from tests.gateway.records import request_row


def test_the_fields_are_those_of_the_api_in_its_order() -> None:
    assert tuple(RequestView.model_fields) == FIELDS


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"key_name": None, "alias": None, "tokens_per_s_milli": None, "ttft_ms": 12},
        {"cache": "hit", "avoided_nanodollars": 4_100_000},
        {"cost_nanodollars": 1, "billed_nanodollars": 0, "at_ms": 1_700_000_000_000},
    ],
)
def test_an_event_makes_the_same_record_as_the_api(values: dict[str, Any]) -> None:
    row = request_row(7, **values)
    event = RequestRecord(**row).as_event()
    shown = RequestView(**fields_of(StoredRequest(**row))).model_dump(mode="json")
    assert record_of(event) == shown
