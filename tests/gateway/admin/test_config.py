"""Admin operations on the settings of the running gateway."""

import pytest

from tests.gateway.admin.calls import AdminApi


async def test_settings_are_listed_with_their_origin(api: AdminApi) -> None:
    listed = await api.listed("/admin/config")
    assert {
        "name": "port",
        "value": 5000,
        "origin": "default",
        "description": "",
        "settable": True,
        "restart_needed": False,
    } in listed


async def test_a_change_tells_what_it_did(api: AdminApi) -> None:
    changed = await api.patch("/admin/config", {"values": {"max_attempts": 2, "drain_s": None}})
    assert changed.status == 200
    assert changed.body == {
        "changed": ["max_attempts", "drain_s"],
        "restart_needed": [],
        "workers": 1,
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"values": {}},
        {"values": {"max_attempts": [1]}},
        {"values": {"max_attempts": {"a": 1}}},
        {"values": {"max_attempts": 2}, "version": 1},
    ],
)
async def test_a_change_of_another_form_is_refused(api: AdminApi, body: object) -> None:
    assert (await api.patch("/admin/config", body)).status == 422
