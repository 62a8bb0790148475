"""The tables, as SQLAlchemy Core knows them. The migrations make them; a test compares the two."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table, Text

metadata = MetaData()

calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_s", Double, nullable=False),
    Column("ended_s", Double),
    Column("transport", Text),
    Column("tenant", Text),
    Column("caller_hash", Text),
    Column("label", Text),
    Column("end_reason", Text),
    Column("trace", Text),
    Index("calls_started", "started_s"),
)

turns = Table(
    "turns",
    metadata,
    Column("call", Text, primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Double, nullable=False),
    Column("task", Text),
    Column("hard", Boolean),
    Column("confidence", Double),
    Column("label", Text),
    Column("reason", Text),
    Column("answered_by", Text),
    Column("heard", Text),
    Column("said", Text),
    Column("v2v_ms", Double),
    Index("turns_at", "at_s"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call", Text, nullable=False),
    Column("turn", Integer),
    Column("member", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("started_s", Double, nullable=False),
    Column("ms", Double),
    Column("ttft_ms", Double),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("prompt_chars", Integer),
    Column("completion_chars", Integer),
    Column("cost_usd", Double),
    Column("outcome", Text),
    Column("reason", Text),
    Column("mean_logprob", Double),
    Column("min_logprob", Double),
    Column("label", Text),
    Column("destination", Text, nullable=False),
    Column("agreement", Double),
    Index("attempts_started", "started_s"),
    Index("attempts_call", "call"),
)

egress = Table(
    "egress",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_s", Double, nullable=False),
    Column("call", Text),
    Column("turn", Integer),
    Column("destination", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Index("egress_at", "at_s"),
    Index("egress_call", "call"),
)

escalations = Table(
    "escalations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("call", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("member", Text),
    Column("asked_s", Double, nullable=False),
    Column("acknowledged_s", Double),
    Column("answered_s", Double),
    Column("spoken_s", Double),
    Column("outcome", Text),
    Column("why", Text),
    Column("reason", Text),
    Column("cost_usd", Double),
    Index("escalations_asked", "asked_s"),
    Index("escalations_call", "call"),
)
