"""Sessions, end users and dropped fields in the records of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COLUMNS = ("session", "end_user", "dropped")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("requests", sa.Column(name, sa.Text()))


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_column("requests", name)
