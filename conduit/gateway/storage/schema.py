"""The tables.

Money is integer nano-dollars, prices nano-dollars per million units, time epoch milliseconds UTC,
ids text (`prefix_<ULID>`), booleans 0 or 1. JSON columns hold small lists that are read whole.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

_OPEN = text("state = 'open'")
_OF_A_GROUP = text("group_id IS NOT NULL")
_DOUBTFUL = text("ambiguous")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row, id 1: facts about this database as a whole.
installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True),
    # When this database was made, by a first start or a restore; tells it from others.
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),  # raised by every change of configuration
    Column("requests_purged_before_ms", BigInteger),  # of records from before then none is made
    # Raised by whoever takes the ledger: what was written before it must not go on writing.
    Column("ledger_epoch", BigInteger, server_default="0"),
)

master_keys = Table(
    "master_keys",
    metadata,
    Column("slot", Integer, primary_key=True),  # 1, and 2 while a rotation overlaps
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
)

providers = Table(
    "providers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("allow_private", Boolean, nullable=False),  # plain http and private addresses
    Column("enabled", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("on_hang_up", Text, nullable=False, server_default="cancel"),  # or drain
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("provider_id", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),  # env | file | sealed
    Column("reference", Text),  # the variable or the path
    Column("sealed", Text),  # c1.<key id>.… envelope of the secret
    Column("hint", Text),  # its last four characters
    Column("host", Text, nullable=False),  # the host it was entered for, and is only sent to
    Column("enabled", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("position", Integer, nullable=False, server_default="0"),  # the lowest is used first
    Column("weight", Integer, nullable=False, server_default="1"),  # its share of the calls
    Column("max_in_flight", Integer),  # calls at a time; null for no cap
    Column("requests_per_minute", Integer),  # null for no cap
    UniqueConstraint("provider_id", "name"),
)

mappings = Table(
    "mappings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("alias", Text, nullable=False, unique=True),
    Column("strategy", Text, nullable=False),
    Column("targets", JSON, nullable=False),  # [{provider, model, order, weight, params}]
    Column("fallbacks", JSON, nullable=False),  # [{on, alias}]
    Column("enabled", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("policy", JSON, nullable=False, server_default="{}"),  # what is not as by default
    Column("limits", JSON, nullable=False, server_default="[]"),  # rate limits, one of a kind
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("start", Text, nullable=False),  # what may be shown of it
    Column("allowed_models", JSON, nullable=False),  # patterns with *, ["*"] for all
    Column("enabled", Boolean, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("deleted_at_ms", BigInteger),
    Column("last_used_at_ms", BigInteger),
    Column("version", Integer, nullable=False),
    Column("former_digest", LargeBinary(32)),  # of the secret before the last rotation
    Column("former_expires_at_ms", BigInteger),  # when that one ends; null with no former secret
    Column("log_bodies", Boolean),  # whether bodies are kept; null leaves it to the setting
    # Whether it may name a provider and its model in the place of an alias.
    Column("allow_direct", Boolean, nullable=False, server_default=false()),
    # Whether it is served from the slots that are kept when the ordinary ones are taken.
    Column("priority", Boolean, nullable=False, server_default=false()),
    Column("limits", JSON, nullable=False, server_default="[]"),  # rate limits, one of a kind
    Column("allowed_ips", JSON, nullable=False, server_default="[]"),  # networks; [] for any
    Column("group_id", Text),  # null for a key that is in none
    Column("tags", JSON, nullable=False, server_default="{}"),  # {name: text}, to find it by
    Column("metadata", JSON, nullable=False, server_default="{}"),  # whatever its makers note
    Index("ix_keys_name", "name"),
    Index("ix_keys_former_digest", "former_digest"),
    Index("ix_keys_group_id", "group_id"),
)

# What several keys have in common: models, limits, budgets, a prepaid balance.
groups = Table(
    "groups",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),  # free again once the group is deleted
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("allowed_models", JSON, nullable=False),  # patterns with *, ["*"] for all
    Column("limits", JSON, nullable=False),  # rate limits, one of a kind
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("deleted_at_ms", BigInteger),
    Column("version", Integer, nullable=False),
    Column("allowed_ips", JSON, nullable=False, server_default="[]"),  # networks; [] for any
    Index("ix_groups_name", "name"),
)

# What was paid into the balances of groups, and taken out of them by hand; append-only.
group_transactions = Table(
    "group_transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("group_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # credit | debit | refund | adjustment
    Column("amount_nanodollars", BigInteger, nullable=False),  # below 0: taken out
    Column("balance_nanodollars", BigInteger, nullable=False),  # what was left after it
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("client", Text),  # the program that asked, as it calls itself
    Column("address", Text),  # where it asked from
    Column("idempotency_key", Text),  # under which it is made once, however often it is asked for
    Index("ix_group_transactions_group_id", "group_id", "id"),
    Index("ix_group_transactions_idempotency_key", "group_id", "idempotency_key", unique=True),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope_kind", Text, nullable=False),  # key | group | mapping | gateway
    Column("scope_id", Text, nullable=False),
    Column("period", Text, nullable=False),  # total | day | week | month | prepaid
    Column("timezone", Text, nullable=False),
    Column("limit_nanodollars", BigInteger, nullable=False),
    Column("mode", Text, nullable=False),  # hard | soft
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    # From when on a prepaid balance counts; its limit is what its transactions add up to.
    Column("since_ms", BigInteger, nullable=False, server_default="0"),
    # What was spent of it when it was last credited: of what was left then, shares are told.
    Column("spent_before_nanodollars", BigInteger, nullable=False, server_default="0"),
    Index("ix_budgets_scope", "scope_kind", "scope_id"),
)

balances = Table(
    "balances",
    metadata,
    Column("budget_id", Text, primary_key=True),
    Column("period_start_ms", BigInteger, primary_key=True),
    Column("spent_nanodollars", BigInteger, nullable=False),
    Column("held_nanodollars", BigInteger, nullable=False),
)

# The limit that the ledger goes by, and what was spent and held when it began to: holds that are
# granted since then may not pass the limit, those of before may have.
limits_in_force = Table(
    "limits_in_force",
    metadata,
    Column("budget_id", Text, primary_key=True),
    Column("limit_nanodollars", BigInteger),  # null where it only alerts
    Column("period_start_ms", BigInteger, nullable=False),  # of the balance that it was taken from
    Column("taken_nanodollars", BigInteger, nullable=False),
)

# What changed the spent money of a balance without an attempt; append-only.
adjustments = Table(
    "adjustments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("budget_id", Text, nullable=False, index=True),
    Column("period_start_ms", BigInteger, nullable=False),
    Column("nanodollars", BigInteger, nullable=False),  # added to what is spent; below 0: a reset
    Column("at_ms", BigInteger, nullable=False),
)

# One row per dispatched attempt; append-only once its state is "done".
ledger = Table(
    "ledger",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("request_id", Text, nullable=False, index=True),
    Column("key_id", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("credential_id", Text),
    Column("operation", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("state", Text, nullable=False),  # open | done
    Column("outcome", Text),
    Column("status", Integer),
    Column("error_code", Text),
    Column("ambiguous", Boolean, nullable=False),
    Column("hold_nanodollars", BigInteger, nullable=False),
    Column("cost_nanodollars", BigInteger, nullable=False),
    Column("billed_nanodollars", BigInteger, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("usage_source", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),  # of either lifetime
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("audio_tokens", BigInteger, nullable=False),  # heard and spoken
    Column("progress_tokens", BigInteger, nullable=False),
    Column("input_nanodollars", BigInteger, nullable=False),  # for recovery
    Column("output_rate", BigInteger, nullable=False),  # for recovery
    Column("held_at_ms", BigInteger, nullable=False),
    Column("settled_at_ms", BigInteger),
    Column("search_units", BigInteger),  # of a ranking, or searches of a chat; null where not known
    Column("group_id", Text),  # that the key was in
    Column("adjusts", Text),  # of a correction: the attempt whose cost it changes by its own
    Column("journal", BigInteger),  # that settles it; null for those of before 0017
    Column("cache_write_1h_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_audio_tokens", BigInteger, nullable=False, server_default="0"),
    Index("ix_ledger_key_held", "key_id", "held_at_ms"),
    # Of the few that are open: a row that is inserted when it is done never enters it.
    Index("ix_ledger_open_held", "held_at_ms", sqlite_where=_OPEN),
    # A row of a key without a group never enters it.
    Index("ix_ledger_group_held", "group_id", "held_at_ms", sqlite_where=_OF_A_GROUP),
    # Of the few that were charged a guess: a crash, a timeout, a cut answer.
    Index("ix_ledger_doubtful", "attempt_id", sqlite_where=_DOUBTFUL),
)

# Why the cost of an attempt was changed, and whose decision it was; each has a row in the ledger,
# of the same id, that adds the difference. Append-only.
corrections = Table(
    "corrections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("attempt_id", Text, nullable=False, index=True),
    Column("nanodollars", BigInteger, nullable=False),  # added to what was charged; may be below 0
    Column("cost_nanodollars", BigInteger, nullable=False),  # what the attempt costs from then on
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

journal_position = Table(
    "journal_position",
    metadata,
    Column("id", Integer, primary_key=True),  # of the journal: each data folder has its own
    Column("file", BigInteger, nullable=False),  # number of the journal file
    Column("offset", BigInteger, nullable=False),  # bytes of it that have been applied
)

# Read by id alone, which sorts by time; another index would cost every request.
requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("operation", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error_code", Text),
    Column("key_id", Text),
    Column("key_name", Text),
    Column("alias", Text),
    Column("provider", Text),
    Column("model", Text),
    Column("attempts", Integer, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("ttft_ms", BigInteger),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("usage_source", Text, nullable=False),
    Column("cost_nanodollars", BigInteger, nullable=False),
    Column("billed_nanodollars", BigInteger, nullable=False),
    Column("tokens_per_s_milli", BigInteger),
    Column("client_ip", Text),
    Column("user_agent", Text),
    Column("route", Text),  # why it went where it went, compact JSON
    Column("cache", Text),  # hit | miss | bypass | replay; null where the alias has no cache
    Column("avoided_nanodollars", BigInteger, nullable=False, server_default="0"),  # by that
    Column("session", Text),  # as the client names it
    Column("end_user", Text),  # as the client names it
    Column("dropped", Text),  # names of fields that the provider was not sent
    Column("group_id", Text),
    Column("group_name", Text),
    Column("cache_write_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_write_1h_tokens", BigInteger, nullable=False, server_default="0"),  # of these
    Column("audio_tokens", BigInteger, nullable=False, server_default="0"),  # heard and spoken
    Column("output_audio_tokens", BigInteger, nullable=False, server_default="0"),  # of these
    Column("client_dialect", Text),
    Column("provider_dialect", Text),  # and of the credential: of the last attempt
    Column("credential_id", Text),
    Column("credential_name", Text),
)

# What was replied under each Idempotency-Key; deleted once `idempotency_keep_s` has passed.
idempotent_replies = Table(
    "idempotent_replies",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),  # of the virtual key's id and the header
    Column("key_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("content", LargeBinary, nullable=False),  # sealed: what was asked, and the reply
)

# What changed the configuration, and whose change it was; a row for each transaction.
revisions = Table(
    "revisions",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("client", Text),  # the program that asked, as it calls itself
    Column("address", Text),  # where it asked from
    Column("operation", Text, nullable=False),
    Column("kind", Text),  # of the first change
    Column("name", Text),
    Column("change_count", Integer, nullable=False),
    Column("rolled_back_to", BigInteger),  # of a rollback: which revision it led to
    Column("restorable", Boolean, nullable=False),  # whether a rollback has to undo it
    Column("changes", JSON, nullable=False),  # [{kind, name, before, after, note}], no secrets
)

# Breakers that opened or closed, credentials that were left out or taken back. Read by id alone,
# which sorts by time.
health_changes = Table(
    "health_changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("provider", Text, nullable=False),  # its name
    Column("model", Text),  # null for a credential as a whole
    Column("credential", Text, nullable=False),  # its name
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text),
    Column("until_ms", BigInteger),
)

# What operators are told of, until they acknowledge it. Read by id, which sorts by time.
notifications = Table(
    "notifications",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # as NotificationKind has them
    Column("severity", Text, nullable=False),  # info | warning | critical
    Column("subject_kind", Text, nullable=False),  # budget | key | credential | model
    Column("subject_id", Text, nullable=False),
    Column("subject_name", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("details", JSON, nullable=False),  # numbers by name
    Column("dedupe", Text, nullable=False),  # what it tells of, which is told once
    Column("acknowledged_at_ms", BigInteger),
    Column("acknowledged_by", Text),
    Index("ix_notifications_dedupe", "dedupe", unique=True),
)

# Prices that an operator set; what ships with the program is a data file. None is changed: another
# one follows it, and it stays for the sake of the charges that were made by it.
prices = Table(
    "prices",
    metadata,
    Column("provider", Text, primary_key=True),  # the provider's name
    Column("model", Text, primary_key=True),
    Column("set_at_ms", BigInteger, primary_key=True, autoincrement=False),  # names its version
    Column("effective_from_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),  # when it was taken back, or another one was set for at once
    Column("input", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("cache_read", BigInteger),
    Column("cache_write_5m", BigInteger),
    Column("cache_write_1h", BigInteger),
    Column("reasoning", BigInteger),
    Column("input_audio", BigInteger),
    Column("output_audio", BigInteger),
    Column("per_request", BigInteger, nullable=False),
    Column("max_output_tokens", BigInteger),
    Column("context_tokens", BigInteger),
    Column("tiers", JSON, nullable=False),  # rates by `over_tokens`, ascending
    Column("service_tiers", JSON, nullable=False),  # grade of service -> multiplier in millionths
    Column("units", JSON, nullable=False),  # name -> nano-dollars for the number it is sold by
)


def complete_for_postgresql() -> None:
    """Say what PostgreSQL alone has to be told; said above, it would load that dialect always."""
    partial = {
        "ix_ledger_open_held": _OPEN,
        "ix_ledger_group_held": _OF_A_GROUP,
        "ix_ledger_doubtful": _DOUBTFUL,
    }
    for index in ledger.indexes:
        if (where := partial.get(str(index.name))) is not None:
            index.dialect_kwargs["postgresql_where"] = where
