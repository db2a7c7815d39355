"""Providers and their credentials."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from conduit.core.resources.fields import ModelName, Name, Patch, Resource, Time

CredentialState = Literal["ready", "missing", "disabled", "sealed", "wrong_host"]

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


Sealed = Annotated[str, StringConstraints(pattern=r"^c1\.[\x21-\x7e]{1,40000}$")]
"""A secret that only gateways with one sealing key open, and for one host."""


class ProviderTypeInfo(Resource):
    """A kind of provider that can be added.

    `default_base_url` is null where an address must be given; `base_url_form` shows what it looks
    like where that is not plain. `credential_forms` say what a credential may be where it is more
    than a key. `lists_models` tells whether the provider can be asked for its models.
    """

    name: str
    title: str
    dialect: str
    default_base_url: str | None
    base_url_form: str | None = None
    environment: list[str]
    needs_credential: bool
    credential_forms: list[str] = Field(default_factory=list)
    operations: list[str]
    lists_models: bool = True
    simulated: bool


class NewCredential(Resource):
    """Exactly one of `secret`, `sealed`, `env` and `file`. A secret is never shown again.

    Of several credentials each gets a share of the calls by its `weight`; one of weight 0 is used
    only where no other can be. `max_in_flight` and `requests_per_minute` cap what goes out with it.

    `sealed` is what an export gave, at a gateway with the same sealing key.
    """

    name: Name = "default"
    secret: SecretStr | None = None
    sealed: Sealed | None = None
    env: EnvironmentName | None = None
    file: str | None = None
    weight: int = Field(default=1, ge=0, le=1_000_000)
    max_in_flight: int | None = Field(default=None, ge=1, le=1_000_000)
    requests_per_minute: int | None = Field(default=None, ge=1, le=100_000_000)


class LeftOut(Resource):
    """Why calls leave a credential out for a while, by what its provider answered to some.

    `state` is "invalid_key", "no_quota", "no_permission" or "throttled"; `model` is null where no
    call goes out with the credential, or the one model that it concerns. It is tried again at
    `until`, or once an operator resets it.
    """

    state: str
    reason: str
    model: str | None
    until: Time


class CredentialView(Resource):
    """A credential without its secret; `source` is "sealed", "env:NAME" or "file:PATH".

    `primary` marks the one that comes first. Those of its position that are ready share the calls
    by their weights; the others are used where none of those can be. `state` is whether it could be
    used, `left_out` why it is not for a while, what concerns all of its calls first.
    """

    id: str
    name: str
    source: str
    hint: str | None
    fingerprint: str | None
    """The beginning of the secret's SHA-256, to tell two apart; null where it cannot be read."""
    host: str
    enabled: bool
    primary: bool
    weight: int
    max_in_flight: int | None
    requests_per_minute: int | None
    state: CredentialState
    left_out: list[LeftOut] = Field(default_factory=list)
    created_at: Time
    version: int


class SealedCredential(Resource):
    """The secret of a credential, sealed for other gateways that have the same sealing key.

    It opens for a provider at the same `host` alone.
    """

    sealed: str = Field(repr=False)
    host: str
    fingerprint: str | None


class CredentialPatch(Patch):
    """At most one of `secret`, `sealed`, `env` and `file`, bound to the provider's present host.

    `primary` puts the credential before the others of its provider. `max_in_flight` and
    `requests_per_minute` null take a cap away.
    """

    nullable = frozenset({"max_in_flight", "requests_per_minute"})

    enabled: bool | None = None
    primary: Literal[True] | None = None
    secret: SecretStr | None = None
    sealed: Sealed | None = None
    env: EnvironmentName | None = None
    file: str | None = None
    weight: int | None = Field(default=None, ge=0, le=1_000_000)
    max_in_flight: int | None = Field(default=None, ge=1, le=1_000_000)
    requests_per_minute: int | None = Field(default=None, ge=1, le=100_000_000)
    version: int | None = None


class CredentialTest(Resource):
    """What a call with this credential found out; it costs no tokens.

    `note` tells what could not be found out: null where there is nothing to say.
    """

    ok: bool
    provider: str
    credential: str
    latency_ms: int | None
    models: int | None
    error: str | None
    note: str | None = None


OnHangUp = Literal["cancel", "drain"]
"""What becomes of an answer whose client hangs up: it is broken off, or read to its end, where that
costs the same, so that it is known what it cost.
"""


class NewProvider(Resource):
    """`base_url` defaults to the type's own; `allow_private`: plain http and private hosts too.

    `on_hang_up` defaults to what saves money with providers of the type.
    """

    name: Name
    type: str = Field(examples=["simulator"])
    base_url: str | None = None
    allow_private: bool = False
    enabled: bool = True
    on_hang_up: OnHangUp | None = None
    credential: NewCredential | None = None


class ProviderView(Resource):
    id: str
    name: str
    type: str
    base_url: str
    allow_private: bool
    enabled: bool
    simulated: bool
    credentials: list[CredentialView]
    created_at: Time
    updated_at: Time
    version: int
    on_hang_up: OnHangUp


class ProviderPatch(Patch):
    """A new host in `base_url` leaves the credentials unusable until they are entered again."""

    base_url: str | None = None
    allow_private: bool | None = None
    enabled: bool | None = None
    on_hang_up: OnHangUp | None = None
    version: int | None = None


class ProviderTest(Resource):
    """What a call that costs no tokens found out; `note` tells what could not be."""

    ok: bool
    provider: str
    latency_ms: int | None
    models: int | None
    error: str | None
    note: str | None = None


Probable = Literal["chat", "completion", "embedding"]


class NewProbe(Resource):
    """Which model to ask for a few words, and by which operation.

    With `card` a chat model that answers is also asked to stream, to call a tool and to keep to a
    schema.
    """

    model: ModelName
    operation: Probable = "chat"
    card: bool = False


class ProbeCheck(Resource):
    """One capability by a live probe; `ok` is null where it was not tried, or not settled."""

    capability: str
    ok: bool | None
    detail: str


class ProbeView(Resource):
    """How a model answered; `cost` is in USD, null where its usage or its price is not known.

    A probe is held, settled and recorded for the key `system`, and no budget but the gateway's
    covers it. Where `checks` were asked for, tokens and cost are of all of them, and `ok` is of the
    first.
    """

    ok: bool
    provider: str
    model: str
    latency_ms: int
    input_tokens: int | None
    output_tokens: int | None
    cost: str | None
    error: str | None
    checks: list[ProbeCheck] = Field(default_factory=list)


class ProviderModel(Resource):
    """A model that a provider offers; `aliases` where it is mapped already."""

    provider: str
    model: str
    aliases: list[str] = Field(default_factory=list)
