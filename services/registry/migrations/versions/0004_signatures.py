"""Who signed a version, and that it was revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; versions that were registered before have no signature, and nobody revoked them."""
    op.add_column("versions", sa.Column("signed_by", sa.String(), nullable=True))
    op.add_column("versions", sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("versions", sa.Column("revoked_because", sa.String(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for column in ("revoked_because", "revoked_at", "signed_by"):
        op.drop_column("versions", column)
