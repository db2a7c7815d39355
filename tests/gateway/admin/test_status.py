"""Admin operations that tell of the running gateway."""

from conduit.gateway.config.configuration import Configuration
from conduit.gateway.storage.engine import Database, writing
from conduit.gateway.storage.providers import insert
from tests.gateway import records
from tests.gateway.admin.calls import SIMULATED, AdminApi


async def test_the_status_counts_what_there_is(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    await api.made("/admin/keys", {"name": "ci"})
    status = (await api.get("/admin/status")).body
    assert (status["providers"], status["mappings"], status["keys"]) == (1, 0, 1)
    assert (status["revision"], status["in_flight"], status["event_seq"]) == (2, 2, 7)
    assert status["started_at"] == "2023-11-14T22:13:20.000Z"
    assert status["ledger"]["available"]
    assert status["ledger"]["held"] == "0.00"
    assert status["warnings"] == ["look here"]


async def test_the_status_warns_of_what_the_operator_must_mend(
    api: AdminApi, database: Database, configuration: Configuration
) -> None:
    async with writing(database) as connection:
        await insert(connection, records.provider(type="from_the_future"))
    await configuration.reload()
    warnings = (await api.get("/admin/status")).body["warnings"]
    assert any("from_the_future" in warning for warning in warnings)


async def test_a_ledger_that_does_not_add_up_is_reported(api: AdminApi) -> None:
    checked = (await api.get("/admin/ledger/check")).body
    assert not checked["ok"]
    assert checked["findings"][0]["violations"] == ["b"]
    assert checked["counts"] == {"attempts": 3}
