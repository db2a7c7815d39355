"""Admin operations on the settings of the running gateway."""

from collections.abc import Mapping

from conduit.core.errors import ConflictError, ValidationFailedError
from conduit.core.networks import is_within, network_names
from conduit.core.resources.fields import Page
from conduit.core.resources.status import SettingsPatch, SettingsReload, SettingView
from conduit.core.settings import SettingsError
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.storage.engine import writing
from conduit.gateway.storage.revisions import Change, note
from conduit.gateway.storage.rows import page_of

_PATH = "/admin/config"


async def _list(call: Call[None, ListQuery]) -> Page[SettingView]:
    settings = sorted(call.admin.settings(), key=lambda setting: setting.name)
    found = page_of(settings, lambda setting: setting.name, call.query.window())
    return page(found, found.rows)


async def _update(call: Call[SettingsPatch, None]) -> SettingsReload:
    admin, values = call.admin, call.body.values
    _refuse_lock_out(values, call.by.address)
    before = {setting.name: setting.value for setting in admin.settings()}
    try:
        async with writing(admin.database, by=call.by) as connection:
            reload = await admin.change_settings(values, call.body.expected)
            for name, value in values.items():
                former = {"value": before.get(name)}
                note(connection, Change("setting", name, former, {"value": value}))
    except SettingsError as error:
        param = error.setting and f"values.{error.setting}"
        raise ValidationFailedError(f"nothing has changed: {error}", param=param) from error
    await admin.configuration.pass_over()
    return reload


def _refuse_lock_out(values: Mapping[str, object], address: str | None) -> None:
    """Raise ValidationFailedError for lists by which this request would be the last one."""
    for name, shuts_out in (("admin_allowed_ips", False), ("denied_ips", True)):
        try:
            networks = network_names(str(values.get(name) or ""))
        except ValueError:
            continue  # what checks all settings has the words for it
        if networks and is_within(address, networks) is shuts_out:
            raise ValidationFailedError(
                f"{name}: it would shut out {address or 'this address'}, from where this is asked",
                hint="set it where the gateway runs, if it is meant so",
                param=f"values.{name}",
            )


async def _reload(call: Call[None, None]) -> SettingsReload:
    """Credentials that are references are looked up again too, and by every worker."""
    try:
        reload = call.admin.reload_settings()
    except SettingsError as error:
        message = f"nothing has changed: {error}"
        raise ValidationFailedError(message, param=error.setting) from error
    call.admin.reload_others()
    await call.admin.configuration.reload()
    return reload


OPERATIONS = (
    AdminOperation(
        "config.list",
        "GET",
        _PATH,
        "List the settings in force and their origins",
        _list,
        Page[SettingView],
        query=ListQuery,
    ),
    AdminOperation(
        "config.update",
        "PATCH",
        _PATH,
        "Change settings in the gateway's settings file, and reload",
        _update,
        SettingsReload,
        body=SettingsPatch,
        errors=(ConflictError,),
    ),
    AdminOperation(
        "config.reload",
        "POST",
        _PATH + "/reload",
        "Read the settings anew",
        _reload,
        SettingsReload,
        errors=(ValidationFailedError,),
    ),
)
