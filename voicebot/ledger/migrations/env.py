"""Run by Alembic to bring a ledger up to date; the connection, in a transaction, is handed in by `ledger.database`."""

from __future__ import annotations

from alembic import context

from voicebot.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
