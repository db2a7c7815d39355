"""The first schema: configuration, keys and budgets, the ledger, the request log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _installation()
    _configuration()
    _keys()
    _ledger()
    _requests()


def _installation() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.create_table(
        "master_keys",
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("slot", name="pk_master_keys"),
    )


def _configuration() -> None:
    op.create_table(
        "providers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("allow_private", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_providers"),
        sa.UniqueConstraint("name", name="uq_providers_name"),
    )
    op.create_table(
        "credentials",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text()),
        sa.Column("sealed", sa.Text()),
        sa.Column("hint", sa.Text()),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credentials"),
        sa.UniqueConstraint("provider_id", "name", name="uq_credentials_provider_id_name"),
    )
    op.create_index("ix_credentials_provider_id", "credentials", ["provider_id"])
    op.create_table(
        "mappings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("fallbacks", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mappings"),
        sa.UniqueConstraint("alias", name="uq_mappings_alias"),
    )
    op.create_table(
        "prices",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("input", sa.BigInteger(), nullable=False),
        sa.Column("output", sa.BigInteger(), nullable=False),
        sa.Column("cache_read", sa.BigInteger()),
        sa.Column("cache_write_5m", sa.BigInteger()),
        sa.Column("cache_write_1h", sa.BigInteger()),
        sa.Column("reasoning", sa.BigInteger()),
        sa.Column("input_audio", sa.BigInteger()),
        sa.Column("output_audio", sa.BigInteger()),
        sa.Column("per_request", sa.BigInteger(), nullable=False),
        sa.Column("max_output_tokens", sa.BigInteger()),
        sa.Column("context_tokens", sa.BigInteger()),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "model", name="pk_prices"),
    )


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("allowed_models", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger()),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger()),
        sa.Column("last_used_at_ms", sa.BigInteger()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("digest", name="uq_keys_digest"),
    )
    op.create_index("ix_keys_name", "keys", ["name"])
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scope_kind", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("limit_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budgets"),
    )
    op.create_index("ix_budgets_scope", "budgets", ["scope_kind", "scope_id"])
    op.create_table(
        "balances",
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("spent_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("held_nanodollars", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("budget_id", "period_start_ms", name="pk_balances"),
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("credential_id", sa.Text()),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("status", sa.Integer()),
        sa.Column("error_code", sa.Text()),
        sa.Column("ambiguous", sa.Boolean(), nullable=False),
        sa.Column("hold_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("billed_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("price_version", sa.Text(), nullable=False),
        sa.Column("usage_source", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("audio_tokens", sa.BigInteger(), nullable=False),
        sa.Column("progress_tokens", sa.BigInteger(), nullable=False),
        sa.Column("input_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("output_rate", sa.BigInteger(), nullable=False),
        sa.Column("held_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("settled_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_ledger"),
    )
    op.create_index("ix_ledger_key_held", "ledger", ["key_id", "held_at_ms"])
    op.create_index("ix_ledger_request_id", "ledger", ["request_id"])
    op.create_index(
        "ix_ledger_open_held",
        "ledger",
        ["held_at_ms"],
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "journal_position",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_journal_position"),
    )


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("key_id", sa.Text()),
        sa.Column("key_name", sa.Text()),
        sa.Column("alias", sa.Text()),
        sa.Column("provider", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("ttft_ms", sa.BigInteger()),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("usage_source", sa.Text(), nullable=False),
        sa.Column("cost_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("billed_nanodollars", sa.BigInteger(), nullable=False),
        sa.Column("tokens_per_s_milli", sa.BigInteger()),
        sa.Column("client_ip", sa.Text()),
        sa.Column("user_agent", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )


def downgrade() -> None:
    op.drop_table("requests")
    op.drop_table("journal_position")
    op.drop_table("ledger")
    op.drop_table("balances")
    op.drop_table("budgets")
    op.drop_table("keys")
    op.drop_table("prices")
    op.drop_table("mappings")
    op.drop_table("credentials")
    op.drop_table("providers")
    op.drop_table("master_keys")
    op.drop_table("installation")
