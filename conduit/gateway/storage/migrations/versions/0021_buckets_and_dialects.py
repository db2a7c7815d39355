"""Tokens of caches and audio apart; the dialects and the credential of each request; what becomes
of an answer whose client hangs up.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_OF_ATTEMPTS = ("cache_write_1h_tokens", "output_audio_tokens")
_OF_REQUESTS = (
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "output_audio_tokens",
)
_NAMES = ("client_dialect", "provider_dialect", "credential_id", "credential_name")


def _tokens(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def upgrade() -> None:
    for name in _OF_ATTEMPTS:
        op.add_column("ledger", _tokens(name))
    for name in _OF_REQUESTS:
        op.add_column("requests", _tokens(name))
    for name in _NAMES:
        op.add_column("requests", sa.Column(name, sa.Text(), nullable=True))
    op.add_column(
        "providers", sa.Column("on_hang_up", sa.Text(), nullable=False, server_default="cancel")
    )
    op.execute("UPDATE providers SET on_hang_up = 'drain' WHERE type = 'bedrock'")


def downgrade() -> None:
    op.drop_column("providers", "on_hang_up")
    for name in reversed(_NAMES + _OF_REQUESTS):
        op.drop_column("requests", name)
    for name in reversed(_OF_ATTEMPTS):
        op.drop_column("ledger", name)
