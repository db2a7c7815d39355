"""The gateway's settings: what there is, and what each may be."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from conduit.core.call_settings import CallSettings
from conduit.core.keys import refuse_weak_master_key
from conduit.core.limits import limits_in
from conduit.core.money import format_usd, parse_usd
from conduit.core.networks import networks_of
from conduit.core.paths import data_folder
from conduit.core.service_urls import password_of, refuse_no_redis, refuse_raw_password

PREFIX = "CONDUIT_"

RESTART_ONLY = frozenset(
    {
        "host",
        "port",
        "tls_certificate_file",
        "tls_key_file",
        "admin_host",
        "admin_port",
        "admin_client_ca_file",
        "workers",
        "database_url",
        "redis_url",
        "master_key",
        "master_key_file",
        "sealing_key",
        "sealing_key_file",
        "ledger_sync",
        "log_format",
        "proxy_from_environment",
        "upstream_client",
        "upstream_connections",
        "stream_buffer_bytes",
        "head_timeout_s",
        "idle_timeout_s",
        "max_incomplete_heads",
    }
)
"""Settings that are read once, when a gateway starts."""


class SettingsError(Exception):
    """A setting that cannot be used; the message is one line that names it and its origin.

    `setting` is its name, None where it is no matter of a single one.
    """

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class GatewaySettings(CallSettings):
    """All that a gateway can be told before it starts."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")

    port: int = Field(
        default=5000, ge=0, le=65535, description="Port to listen on; 0 takes any free one."
    )

    tls_certificate_file: Path | None = Field(
        default=None,
        description=(
            "File with the certificate, in PEM, under which HTTPS is spoken; HTTP when unset."
        ),
    )

    tls_key_file: Path | None = Field(
        default=None,
        description="File with its key, in PEM; that of the certificate when unset.",
    )

    admin_host: str = Field(
        default="127.0.0.1", description="Address to listen on for administration, at admin_port."
    )

    admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description=(
            "Port for the admin API, the live events and the metrics, which port then does not "
            "serve; the same one when unset."
        ),
    )

    admin_client_ca_file: Path | None = Field(
        default=None,
        description=(
            "File with the authority, in PEM, that has to have signed the certificates of those "
            "who come to admin_port."
        ),
    )

    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that conduit serve runs; more than one need PostgreSQL.",
    )

    database_url: str | None = Field(
        default=None,
        repr=False,
        description=(
            "Database, as sqlite:///PATH or postgresql://…; a file in the data folder when unset."
        ),
    )

    redis_url: str | None = Field(
        default=None,
        repr=False,
        description=(
            "Redis in which gateways keep their rate limits together, as redis://… or rediss://…"
        ),
    )

    master_key: SecretStr | None = Field(
        default=None,
        description="Master key for the admin API, instead of the one in the database.",
    )

    master_key_file: Path | None = Field(
        default=None, description="File that holds the master key."
    )

    sealing_key: SecretStr | None = Field(
        default=None,
        description=(
            "Key that opens the stored credentials, 32 bytes in base64, instead of one in a file."
        ),
    )

    sealing_key_file: Path | None = Field(
        default=None,
        description="File that holds this key; sealing.key in the data folder when unset.",
    )

    ledger_sync: Literal["interval", "always", "off"] = Field(
        default="interval",
        description=(
            "When the journal reaches the disk: every 50 ms, before each dispatch, or when it "
            "likes."
        ),
    )

    log_format: Literal["text", "json"] = Field(
        default="text", description="Form of the log lines on standard error."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged."
    )

    body_limit_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, le=1024**3, description="Largest request body."
    )

    answer_limit_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="Largest answer of a provider that is not streamed.",
    )

    head_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Seconds that the head of a request may take, from the connection's beginning.",
    )

    body_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description=(
            "Seconds that a request's body may take, and one more for every 100 KiB that have come."
        ),
    )

    idle_timeout_s: float = Field(
        default=75.0,
        gt=0,
        le=3600,
        description="Seconds that a connection is kept open between two requests.",
    )

    max_incomplete_heads: int = Field(
        default=2_000,
        ge=1,
        le=1_000_000,
        description=(
            "Most connections whose request has not come whole; beyond it the oldest is closed."
        ),
    )

    max_in_flight: int = Field(
        default=12_500,
        ge=1,
        le=1_000_000,
        description="Most requests in flight; those beyond the ordinary share get overloaded.",
    )

    reserved_slots_percent: float = Field(
        default=20.0,
        ge=0,
        le=90,
        description=(
            "Percent of these slots that are kept for administration, health and priority keys."
        ),
    )

    shed_descriptors_percent: float = Field(
        default=90.0,
        gt=5,
        le=100,
        description=(
            "Percent of the files that may be open above which new requests are refused; 100 never."
        ),
    )

    shed_memory_percent: float = Field(
        default=85.0,
        gt=5,
        le=100,
        description=(
            "Percent of the memory there is above which new requests are refused; 100 never."
        ),
    )

    shed_loop_lag_ms: float = Field(
        default=1000.0,
        ge=0,
        le=60_000,
        description=(
            "Lateness of the event loop (p99) above which new requests are refused; 0 never."
        ),
    )

    shed_loop_lag_for_s: float = Field(
        default=1.0, ge=0, le=600, description="Seconds that it must have been so late, or not."
    )

    shed_retry_after_s: float = Field(
        default=5.0,
        ge=1,
        le=600,
        description="Most seconds that Retry-After tells those refused; the least is 1.",
    )

    trusted_proxies: str | None = Field(
        default=None,
        description=(
            "Networks of the reverse proxies whose X-Forwarded-For is believed, separated by "
            "commas."
        ),
    )

    admin_allowed_ips: str | None = Field(
        default=None,
        description=(
            "Networks from which the admin API and the live events may be used, separated by "
            "commas; from anywhere when unset."
        ),
    )

    denied_ips: str | None = Field(
        default=None,
        description="Networks to which nothing but health is served, separated by commas.",
    )

    held_money_wait_s: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description=(
            "Seconds to wait for money that running calls hold before answering budget_held."
        ),
    )

    strict_holds: bool = Field(
        default=False,
        description=(
            "Whether a call holds a token for each byte of its input, and an output that it did "
            "not limit as a whole."
        ),
    )

    rate_limits: str | None = Field(
        default=None,
        description=(
            "Rate limits of all requests together, such as rpm=6000,burst=200 concurrent=500."
        ),
    )

    default_max_output_tokens: int = Field(
        default=16_384,
        ge=256,
        le=10_000_000,
        description="Output tokens held for a model whose largest output is not known.",
    )

    unknown_price: Literal["refuse", "free", "default"] = Field(
        default="free",
        description="What becomes of calls to a model without a price; default: default_price.",
    )

    default_price: str | None = Field(
        default=None,
        pattern=r"^\d{1,6}(\.\d{1,9})?/\d{1,6}(\.\d{1,9})?$",
        description="USD per million input and output tokens without a price, such as 3/15.",
    )

    cache_limit_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=0,
        le=64 * 1024**3,
        description="Most bytes that answers kept for the same request take in memory; 0: none.",
    )

    cache_entry_limit_bytes: int = Field(
        default=1024 * 1024,
        ge=1024,
        le=1024**3,
        description="Most bytes that one of these answers may take.",
    )

    cache_max_entries: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Most answers that are kept so."
    )

    idempotency_keep_s: float = Field(
        default=86_400.0,
        ge=1,
        le=2_592_000,
        description="Seconds that a reply is kept for requests with the same Idempotency-Key.",
    )

    config_revisions: int = Field(
        default=1_000,
        ge=10,
        le=100_000,
        description=(
            "Changes of the configuration that the history keeps; a rollback reaches no further "
            "back."
        ),
    )

    health_history_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days that changes of the health of providers are kept.",
    )

    log_retention_days: int = Field(
        default=0, ge=0, le=36_500, description="Days that request records are kept; 0 for ever."
    )

    log_records_limit: int = Field(
        default=0,
        ge=0,
        le=10**12,
        description="Most request records that are kept, the newest ones; 0 for any number.",
    )

    unusual_spend_factor: int = Field(
        default=5,
        ge=0,
        le=10_000,
        description="Times its usual hour that a key may spend in one, untold; 0 tells of none.",
    )

    unusual_spend_floor_usd: str = Field(
        default="1.00", description="USD below which no hour's spending is told of."
    )

    log_bodies: bool = Field(
        default=False,
        description=(
            "Whether bodies of requests and answers are kept, for keys that do not say it "
            "themselves."
        ),
    )

    log_body_limit_bytes: int = Field(
        default=256 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Most bytes of one body that are kept; the rest of it is not.",
    )

    log_bodies_retention_days: int = Field(
        default=7,
        ge=1,
        le=3650,
        description="Days that bodies are kept, the present one (UTC) included.",
    )

    log_bodies_disk_limit_bytes: int = Field(
        default=1024**3,
        ge=1024**2,
        le=1024**4,
        description="Most bytes that kept bodies take on disk; the oldest are deleted beyond it.",
    )

    drain_accept_s: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description=(
            "Seconds to go on accepting after SIGTERM, for load balancers; none on a terminal."
        ),
    )

    drain_s: float = Field(
        default=120.0,
        ge=0,
        le=3600,
        description="Seconds that live calls may take to finish after SIGTERM.",
    )

    stop_grace_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description=(
            "Seconds from SIGTERM to SIGKILL, as whatever runs the gateway has it; for a warning."
        ),
    )

    proxy_from_environment: bool = Field(
        default=False, description="Whether providers are reached through HTTPS_PROXY and its like."
    )

    upstream_client: Literal["http1", "aiohttp"] = Field(
        default="http1",
        description="HTTP client that calls the providers: the gateway's own, or aiohttp's.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` has gathered counts: it knows where each value came from."""
        return (init_settings,)

    @field_validator("master_key")
    @classmethod
    def _is_strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            refuse_weak_master_key(value.get_secret_value())
        return value

    @field_validator("database_url")
    @classmethod
    def _has_an_encoded_password(cls, value: str | None) -> str | None:
        if value is not None:
            refuse_raw_password(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis(cls, value: str | None) -> str | None:
        if value is not None:
            refuse_no_redis(value)
        return value

    @field_validator("rate_limits")
    @classmethod
    def _are_limits(cls, value: str | None) -> str | None:
        limits_in(value)
        return value

    @field_validator("unusual_spend_floor_usd", mode="before")
    @classmethod
    def _is_an_amount(cls, value: object) -> object:
        """Text, as an amount is nowhere else a float; a whole number or one of TOML is one too."""
        return format_usd(parse_usd(str(value))) if isinstance(value, str | int | float) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str | None) -> str | None:
        for network in networks_of(value):
            if network.prefixlen == 0:
                raise ValueError(f"{network} would let every client choose its own address")
        return value

    @field_validator("admin_allowed_ips", "denied_ips")
    @classmethod
    def _are_networks_too(cls, value: str | None) -> str | None:
        networks_of(value)
        return value

    @model_validator(mode="after")
    def _has_one_of_each_key(self) -> "GatewaySettings":
        for key in ("master_key", "sealing_key"):
            file = f"{key}_file"
            if getattr(self, key) is not None and getattr(self, file) is not None:
                raise ValueError(f"{key} and {file} are both set: keep one of them")
        return self

    @model_validator(mode="after")
    def _has_a_certificate_for_its_key(self) -> "GatewaySettings":
        if self.tls_key_file is not None and self.tls_certificate_file is None:
            raise ValueError("tls_key_file is set without tls_certificate_file")
        return self

    @model_validator(mode="after")
    def _administers_where_it_can(self) -> "GatewaySettings":
        if self.admin_client_ca_file is not None and (
            self.admin_port is None or self.tls_certificate_file is None
        ):
            raise ValueError("admin_client_ca_file needs admin_port and tls_certificate_file")
        if self.admin_port and (self.host, self.port) == (self.admin_host, self.admin_port):
            raise ValueError("admin_port is the port of the clients: leave it unset, or change it")
        return self

    def database_location(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{data_folder() / 'conduit.db'}"

    def secrets(self) -> list[str]:
        """What is secret of the settings, to be kept out of logs. Raises SettingsError."""
        found = [self.supplied_master_key()]
        found += [password_of(self.database_url), password_of(self.redis_url)]
        if self.sealing_key is not None:
            found.append(self.sealing_key.get_secret_value())
        return [secret for secret in found if secret]

    def supplied_master_key(self) -> str | None:
        """The master key given by setting or file. Raises SettingsError."""
        if self.master_key is not None:
            return self.master_key.get_secret_value()
        if self.master_key_file is None:
            return None
        try:
            text = self.master_key_file.read_text(encoding="utf-8").strip()
            refuse_weak_master_key(text)
        except (OSError, ValueError) as error:
            reason = reason_of(error)
            raise SettingsError(f"master_key_file {self.master_key_file}: {reason}") from error
        return text


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be used; the message around it names the file."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
