"""The first five tables: calls, turns, attempts, egress, escalations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Make the tables and their indexes."""
    _make_calls()
    _make_turns()
    _make_attempts()
    _make_egress()
    _make_escalations()


def _make_calls() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("started_s", sa.Double, nullable=False),
        sa.Column("ended_s", sa.Double),
        sa.Column("transport", sa.Text),
        sa.Column("tenant", sa.Text),
        sa.Column("caller_hash", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("end_reason", sa.Text),
        sa.Column("trace", sa.Text),
    )
    op.create_index("calls_started", "calls", ["started_s"])


def _make_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("call", sa.Text, primary_key=True),
        sa.Column("turn", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("task", sa.Text),
        sa.Column("hard", sa.Boolean),
        sa.Column("confidence", sa.Double),
        sa.Column("label", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("answered_by", sa.Text),
        sa.Column("heard", sa.Text),
        sa.Column("said", sa.Text),
        sa.Column("v2v_ms", sa.Double),
    )
    op.create_index("turns_at", "turns", ["at_s"])


def _make_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("turn", sa.Integer),
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("started_s", sa.Double, nullable=False),
        sa.Column("ms", sa.Double),
        sa.Column("ttft_ms", sa.Double),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("cached_tokens", sa.Integer),
        sa.Column("prompt_chars", sa.Integer),
        sa.Column("completion_chars", sa.Integer),
        sa.Column("cost_usd", sa.Double),
        sa.Column("outcome", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("mean_logprob", sa.Double),
        sa.Column("min_logprob", sa.Double),
        sa.Column("label", sa.Text),
        sa.Column("destination", sa.Text, nullable=False),
    )
    op.create_index("attempts_started", "attempts", ["started_s"])
    op.create_index("attempts_call", "attempts", ["call"])


def _make_egress() -> None:
    op.create_table(
        "egress",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("call", sa.Text),
        sa.Column("turn", sa.Integer),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    op.create_index("egress_at", "egress", ["at_s"])
    op.create_index("egress_call", "egress", ["call"])


def _make_escalations() -> None:
    op.create_table(
        "escalations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("member", sa.Text),
        sa.Column("asked_s", sa.Double, nullable=False),
        sa.Column("acknowledged_s", sa.Double),
        sa.Column("answered_s", sa.Double),
        sa.Column("spoken_s", sa.Double),
        sa.Column("outcome", sa.Text),
        sa.Column("why", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("cost_usd", sa.Double),
    )
    op.create_index("escalations_asked", "escalations", ["asked_s"])
    op.create_index("escalations_call", "escalations", ["call"])
