"""The operations of the admin API and their requests."""

import pytest

from conduit.client.api import OPERATIONS, build_request, error_of


def test_every_operation_has_a_name_a_path_and_fitting_parameters() -> None:
    for name, operation in OPERATIONS.items():
        assert operation.name == name
        assert operation.path.startswith("/admin/")
        assert operation.idempotent is (operation.method == "GET")
        if operation.answer == "list" and operation.method == "GET":
            assert "limit" in operation.query
        else:
            assert not {"limit", "cursor"} & set(operation.query)


def test_names_fill_the_path_in_order_and_are_escaped() -> None:
    request = build_request("credentials.delete", "my provider", "a/b?")
    assert request.target == "/admin/providers/my%20provider/credentials/a%2Fb%3F"
    assert request.method == "DELETE"
    assert request.encoded_body() is None


def test_parameters_that_are_none_are_left_out() -> None:
    query = {"filter": "status:>=400 a&b", "limit": 5, "cursor": None}
    request = build_request("requests.list", query=query)
    assert request.target == "/admin/requests?filter=status%3A%3E%3D400+a%26b&limit=5"
    assert build_request("prices.list", query={"all": True}).target == "/admin/prices?all=true"


def test_a_parameter_that_an_operation_does_not_take_is_a_fault() -> None:
    with pytest.raises(KeyError):
        build_request("keys.list", query={"filter": "x"})
    with pytest.raises(KeyError):
        build_request("keys.explode")


def test_an_answer_that_is_no_envelope_is_not_a_gateway() -> None:
    error = error_of(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>")
    assert (error.code, error.status, error.retryable) == ("not_a_gateway", 502, True)
    assert "text/html" in str(error)


def test_an_envelope_without_a_request_id_takes_that_of_the_header() -> None:
    body = b'{"error": {"code": "conflict", "message": "taken"}}'
    error = error_of(409, {"x-request-id": "req_1"}, body)
    assert (error.code, error.message, error.request_id) == ("conflict", "taken", "req_1")
