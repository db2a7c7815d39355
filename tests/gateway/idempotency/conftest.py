"""Replies are kept on both engines."""

import pytest

from tests import postgresql


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    return str(request.param)
