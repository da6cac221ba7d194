"""What a run used in stages that are not done, its limits, and when its wall time is over."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; rows are filled when their runs are looked at again."""
    op.add_column("runs", sa.Column("unfinished", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("runs", sa.Column("budget", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("runs", sa.Column("deadline", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for column in ("deadline", "budget", "unfinished"):
        op.drop_column("runs", column)
