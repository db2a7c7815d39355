"""Every test here runs on asyncio's own loop and on uvloop."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.fakes.loops import BOTH_LOOPS


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return BOTH_LOOPS
