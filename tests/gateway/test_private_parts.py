"""The parts of aiohttp that are nobody's business but its own, and that the gateway relies on.

A release that renames one of them must fail here, and not on a connection.
"""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from aiohttp import ClientResponse, ClientSession, TCPConnector
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.web import Application, AppRunner, BaseRequest, StreamResponse
from aiohttp.web_protocol import RequestHandler

ROOT = Path(__file__).parents[2]
RELIED_ON = {
    "RequestHandler": {
        "_close",
        "_keepalive_handle",
        "_keepalive_timeout",
        "_loop",
        "_messages",
        "_next_keepalive_close_time",
        "_process_keepalive",
        "_request_count",
        "_task_handler",
        "_waiter",
    },
    "AppRunner": {"_make_server"},
    "BaseSite": {"_runner", "_server"},
    "StreamResponse": {"_prepare_headers", "_req"},
    "TCPConnector": {"_create_connection"},
}
REACHED = {"_drain_helper"}  # by what `RequestHandler` carries
PARTS = {
    name
    for kind in (BaseProtocol, RequestHandler, StreamResponse, BaseRequest, ResponseHandler,
                 ClientResponse, ClientSession, TCPConnector, AppRunner, Application)
    for name in dir(kind)
    if name.startswith("_") and not name.startswith("__")
}  # fmt: skip
# Functions and classes whose names begin with an underscore.
IMPORTED = {("aiohttp.web_protocol", "_ErrInfo")}


def modules() -> Iterator[ModuleType]:
    for path in sorted((ROOT / "conduit/gateway").rglob("*.py")):
        if "aiohttp" in path.read_text():
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield importlib.import_module(name.removesuffix(".__init__"))


def classes() -> Iterator[type]:
    for module in modules():
        for found in vars(module).values():
            if isinstance(found, type) and found.__module__ == module.__name__:
                yield found


def touched(kind: type) -> Iterator[str]:
    """Names with an underscore that methods of a class use of their own object."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            yield node.attr
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def test_all_private_parts_of_aiohttp_that_are_relied_on_are_there_and_named() -> None:
    found: dict[str, set[str]] = {}
    for kind in classes():
        bases = [base for base in kind.__mro__ if base.__module__.startswith("aiohttp.")]
        for name in touched(kind) if bases else ():
            owner = next((base for base in bases if hasattr(base, name)), None)
            if owner is not None and not name.startswith("__") and name.startswith("_"):
                found.setdefault(owner.__name__, set()).add(name)
    # A part is counted where it is inherited from.
    found["RequestHandler"] |= found.pop("BaseProtocol", set())
    found["StreamResponse"] |= found.pop("Response", set())
    assert found == RELIED_ON


def test_all_private_parts_of_aiohttp_that_are_reached_from_outside_are_named() -> None:
    """Of objects that are not a method's own."""
    found = set()
    for module in modules():
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                value = ast.unparse(node.value)
                if value not in ("self", "cls", "super()") and not node.attr.startswith("__"):
                    found |= {node.attr} & PARTS
    assert found == REACHED


def test_all_private_names_that_are_imported_from_aiohttp_are_named() -> None:
    found = set()
    for module in modules():
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aiohttp"):
                found |= {(node.module, each.name) for each in node.names if each.name[0] == "_"}
    assert found == IMPORTED
