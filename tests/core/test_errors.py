"""The tree of errors, as drawn and as it is."""

import re
from collections.abc import Iterator

import pytest

from conduit.core import errors
from conduit.core.errors import ConduitError, UpstreamRejectedError, admin_envelope

DRAWN = re.compile(r"^ {4}(?P<lines>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: +(?P<status>\d{3}|4xx)\b.*)?$")


def drawn_tree() -> Iterator[tuple[str, str | None, str | None]]:
    """Name, parent and status of every error in the module's docstring."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = DRAWN.match(line)
        if found:
            depth = len(found["lines"]) // 4
            path[depth:] = [found["name"]]
            yield found["name"], path[depth - 1] if depth else None, found["status"]


def family(error: type[ConduitError]) -> Iterator[type[ConduitError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from family(child)


CLASSES = list(family(ConduitError))
LEAVES = [each for each in CLASSES if not each.__subclasses__()]


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    drawn = {(name, parent) for name, parent, _ in drawn_tree()}
    real = {
        (each.__name__, None if each is ConduitError else each.__mro__[1].__name__)
        for each in CLASSES
    }
    assert drawn == real


def test_the_drawn_statuses_are_those_of_the_classes() -> None:
    for name, _, status in drawn_tree():
        real = getattr(errors, name).status
        if status is None:
            assert name == "ConduitError"
        else:
            assert status in (str(real), f"{real // 100}xx"), name


def test_every_leaf_has_a_code_of_its_own() -> None:
    codes = {(each.status, each.code) for each in LEAVES}
    assert len(codes) == len(LEAVES)
    assert len({each.code for each in LEAVES}) == len(LEAVES)


@pytest.mark.parametrize("error", CLASSES)
def test_a_code_is_a_stable_snake_case_word(error: type[ConduitError]) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", error.code)


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_that_is_not_retryable_never_asks_for_a_retry(error: type[ConduitError]) -> None:
    assert error.retryable or not error.should_retry


def test_a_spent_budget_tells_clients_not_to_retry_and_a_held_one_does_not() -> None:
    assert errors.InsufficientQuotaError.should_retry is False
    assert not errors.InsufficientQuotaError.retryable
    assert errors.BudgetHeldError.should_retry is None
    assert errors.BudgetHeldError.retryable


def test_an_error_carries_what_its_envelope_shows() -> None:
    error = errors.ConflictError(
        "the name is taken", hint="choose another", param="name", retry_after_s=1.5
    )
    assert str(error) == "the name is taken"
    assert (error.param, error.retry_after_s) == ("name", 1.5)
    assert admin_envelope(error, "req_1") == {
        "error": {
            "code": "conflict",
            "message": "the name is taken",
            "param": "name",
            "hint": "choose another",
            "request_id": "req_1",
            "status": 409,
            "retryable": False,
        }
    }


def test_a_rejection_passes_on_the_providers_status_and_code() -> None:
    error = UpstreamRejectedError(
        "too long", status=422, code="context_length_exceeded", type="odd", param="messages"
    )
    assert (error.status, error.code, error.type, error.param) == (
        422,
        "context_length_exceeded",
        "odd",
        "messages",
    )


def test_a_rejection_without_a_code_keeps_its_own() -> None:
    error = UpstreamRejectedError("no")
    assert (error.status, error.code, error.type) == (
        400,
        "upstream_rejected",
        "invalid_request_error",
    )
    assert UpstreamRejectedError.status == 400
