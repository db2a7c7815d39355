"""Who was refused at the door, and from where the gateway may be used."""

from typing import Literal

from conduit.core.resources.fields import Resource, Time

LoginApi = Literal["admin", "client"]


class BanView(Resource):
    """An address, or the /64 of an IPv6 one, whose wrong keys are put off; a right one is let in.

    `apis` are those at which wrong keys came, `failures` how many since that began, `until` the
    latest end.
    """

    id: str
    apis: list[LoginApi]
    failures: int
    until: Time


class BansLifted(Resource):
    """How many addresses were put off until now."""

    lifted: int


class LoginsView(Resource):
    """Wrong keys since the start: answered as such, or put off; how often a ban began.

    `addresses` are remembered for them now, `banned` are put off now.
    """

    api: LoginApi
    refused: int
    limited: int
    bans: int
    addresses: int
    banned: int


class AddressRules(Resource):
    """The lists of networks in force; an empty `admin_allowed` allows every address."""

    admin_allowed: list[str]
    denied: list[str]
    trusted_proxies: list[str]


class SecuritySummary(Resource):
    """The doors of the gateway: who knocked, who may come from where, and how it listens.

    `client_ip` is the address that this request comes from, as the gateway sees it. What is counted
    is counted by the worker that answers.
    """

    since: Time
    client_ip: str | None
    logins: list[LoginsView]
    addresses: AddressRules
    tls: bool
    admin_apart: bool
    admin_certificates: bool
    master_keys: int
    master_key_from: str | None
