"""What the tables of ledger and feedback share, in SQLite and in PostgreSQL, where several servers may be at work at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sql

NUMBER = sql.BigInteger().with_variant(sql.Integer, "sqlite")  # of rows: 2^31 are not enough for ever
_LOCK = 4036  # of PostgreSQL's advisory locks, ours


def create_tables(engine: sql.Engine, tables: sql.MetaData) -> None:
    """Create the tables that are not there; in PostgreSQL one server after the other, else both may try the same."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sql.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        tables.create_all(connection)


@contextmanager
def alone(engine: sql.Engine, table: sql.Table) -> Iterator[sql.Connection]:
    """A transaction in which no other process changes the table, and that sees no row which comes meanwhile."""
    postgresql = engine.dialect.name == "postgresql"
    with engine.connect() as connection:
        if postgresql:
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():  # SQLite locks with the first change
            lock = (
                sql.text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE")
                if postgresql
                else table.delete().where(sql.false())
            )
            connection.execute(lock)
            yield connection
