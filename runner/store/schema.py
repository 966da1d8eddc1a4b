"""The tables. Times are ISO 8601 UTC text, so that they sort as they are."""

from typing import Any, Final

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

VERSION: Final = 2  # of these tables; runner.store.migrations brings older databases here

METADATA: Final = MetaData()


def _text(name: str, *constraints: Any, **options: Any) -> Column[str]:
    return Column(name, Text, *constraints, nullable=False, **options)


def _optional(name: str) -> Column[str | None]:
    return Column(name, Text, nullable=True)


def _of_workstream() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["run_id", "ws_id"], ["workstreams.run_id", "workstreams.ws_id"])


schema_meta = Table(
    "schema_meta",
    METADATA,
    _text("key", primary_key=True),
    _text("value"),
    sqlite_strict=True,
)

runs = Table(
    "runs",
    METADATA,
    _text("run_id", primary_key=True),
    _text("status"),
    _text("base_commit"),
    _text("plan_sha256"),
    _text("created_at"),
    _text("updated_at"),
    _text("metadata_json"),
    Index("runs_by_status", "status"),
    sqlite_strict=True,
)

workstreams = Table(
    "workstreams",
    METADATA,
    _text("run_id", ForeignKey("runs.run_id"), primary_key=True),
    _text("ws_id", primary_key=True),
    _text("status"),
    _text("depends_on"),
    _optional("branch"),
    _optional("base_commit"),
    _optional("candidate_commit"),
    _text("reason"),
    _text("created_at"),
    _text("updated_at"),
    _text("metadata_json"),
    Index("workstreams_by_status", "run_id", "status"),
    sqlite_strict=True,
)

step_attempts = Table(
    "step_attempts",
    METADATA,
    Column("id", Integer, primary_key=True),
    _text("run_id"),
    _text("ws_id"),
    _text("step_name"),
    Column("attempt", Integer, nullable=False),
    _text("status"),
    _optional("outcome"),
    _text("started_at"),
    _optional("completed_at"),
    _optional("result_json"),
    UniqueConstraint("run_id", "ws_id", "step_name", "attempt"),
    _of_workstream(),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

intents = Table(
    "intents",
    METADATA,
    Column("id", Integer, primary_key=True),
    _text("run_id"),
    _text("ws_id"),
    _text("kind"),
    _text("key"),
    _text("params_json"),
    _text("state"),
    _text("result"),
    _text("created_at"),
    _text("updated_at"),
    UniqueConstraint("run_id", "kind", "key"),
    _of_workstream(),
    Index("intents_by_state", "run_id", "state", "id"),
    sqlite_strict=True,
)

errors = Table(
    "errors",
    METADATA,
    Column("id", Integer, primary_key=True),
    _text("run_id"),
    _text("ws_id"),
    _text("step_name"),
    _text("error_code"),
    _text("signature"),
    _text("message"),
    _text("context_json"),
    Column("count", Integer, nullable=False),
    _text("first_seen_at"),
    _text("last_seen_at"),
    UniqueConstraint("run_id", "ws_id", "step_name", "signature"),
    _of_workstream(),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

events = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True),
    _text("timestamp"),
    _optional("run_id"),
    _optional("ws_id"),
    _text("event_type"),
    _text("payload_json"),
    Index("events_by_workstream", "run_id", "ws_id", "id"),
    Index("events_by_run", "run_id", "id"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)
