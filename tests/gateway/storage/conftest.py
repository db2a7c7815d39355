"""Every statement runs on both engines."""

import pytest

from tests import postgresql


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; `@pytest.mark.parametrize("kind", …)` leaves one."""
    return str(request.param)
