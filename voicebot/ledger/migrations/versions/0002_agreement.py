"""How far a shadow's answer agrees with the one that was heard."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Add the column; attempts that are there have none."""
    op.add_column("attempts", sa.Column("agreement", sa.Double))
