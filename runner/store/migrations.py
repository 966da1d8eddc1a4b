"""How the state database of an older runner becomes this one's.

Not by Alembic: there is a handful of steps, for a file in each target repository that a command opens within
milliseconds. A step is what was true when it was written, so it is SQL and does not use the tables of today.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from runner.store.schema import VERSION

STEPS: Final[Mapping[int, Sequence[str]]] = {
    1: (
        """
        CREATE TABLE intents (
            id INTEGER NOT NULL,
            run_id TEXT NOT NULL,
            ws_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            "key" TEXT NOT NULL,
            params_json TEXT NOT NULL,
            state TEXT NOT NULL,
            result TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (run_id, kind, "key"),
            FOREIGN KEY(run_id, ws_id) REFERENCES workstreams (run_id, ws_id)
        ) STRICT
        """,
        "CREATE INDEX intents_by_state ON intents (run_id, state, id)",
    ),
}  # by the version they start from


def migrate(connection: Connection, version: int) -> None:
    """Bring a database of an older version up to date, in the open transaction."""
    for step in range(version, VERSION):
        for statement in STEPS[step]:
            connection.exec_driver_sql(statement)
    connection.exec_driver_sql(
        "UPDATE schema_meta SET value = ? WHERE key = 'schema_version'", (str(VERSION),)
    )
