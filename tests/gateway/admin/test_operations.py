"""The route table: it agrees with the client's, and its handlers with it."""

import re
from collections import Counter
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from conduit.client.api import OPERATIONS as CLIENT_OPERATIONS
from conduit.gateway.admin.operation import AdminOperation
from conduit.gateway.admin.streaming import Streamed
from conduit.gateway.admin.table import OPERATIONS
from conduit.gateway.server.headers import is_client_api

PAGE = Path(__file__).parents[3] / "docs" / "admin-api.md"
BY_NAME = {operation.name: operation for operation in OPERATIONS}
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)


def test_the_client_and_the_server_know_the_same_operations() -> None:
    assert sorted(BY_NAME) == sorted(CLIENT_OPERATIONS)


def answer_kind(operation: AdminOperation) -> str:
    """As the client's table calls it."""
    if operation.streams:
        return "stream"
    if operation.answer is None:
        return "nothing"
    if operation.secret:
        return "secret"
    return "list" if "data" in operation.answer.model_fields else "record"


@each_operation
def test_the_client_and_the_server_describe_an_operation_alike(operation: AdminOperation) -> None:
    known = CLIENT_OPERATIONS[operation.name]
    assert known.method == operation.method
    assert known.path == operation.path_template
    assert known.answer == answer_kind(operation)
    assert sorted(known.query) == sorted(operation.parameters)


def test_no_two_operations_share_a_name_or_a_path_with_a_method() -> None:
    assert len(BY_NAME) == len(OPERATIONS)
    places = Counter((operation.method, operation.path) for operation in OPERATIONS)
    assert set(places.values()) == {1}


@each_operation
def test_a_handler_takes_and_gives_what_the_table_says(operation: AdminOperation) -> None:
    hints = get_type_hints(operation.handler)
    given = hints.pop("return")
    (call,) = hints.values()
    absent = type(None)
    assert get_args(call) == (operation.body or absent, operation.query or absent)
    assert given in ((Streamed,) if operation.streams else (operation.answer or absent, bytes))


@each_operation
def test_an_operation_is_one_of_the_admin_api_and_says_what_it_does(
    operation: AdminOperation,
) -> None:
    assert operation.path.startswith("/admin/")
    assert not is_client_api(operation.path)
    assert operation.summary[0].isupper()
    assert not operation.summary.endswith(".")
    assert (operation.method == "GET") <= (operation.body is None)


def test_a_path_that_is_a_part_of_another_stands_after_it() -> None:
    """A placeholder that may hold slashes would swallow the longer path."""
    paths = [operation.path for operation in OPERATIONS]
    for index, path in enumerate(paths):
        if path.endswith(":.+}"):
            stem = path.rpartition("{")[0]
            later = [each for each in paths[index + 1 :] if each != path]
            swallowed = [each for each in later if each.startswith(stem) and each != stem]
            assert not swallowed, f"{path} stands before {swallowed}"


def test_the_page_for_users_has_every_operation_and_no_other() -> None:
    rows = re.findall(r"^\| (`[A-Z`, ]+ /admin/[^|]*`) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    described = {
        (method, re.sub(r"\?.*", "", place.strip("`")))
        for row in rows
        for place in re.findall(r"/admin/[^`]*", row)
        for method in re.findall(r"[A-Z]+(?=[` ])", row)
    }
    assert described == {(each.method, each.path_template) for each in OPERATIONS}
