"""Opening the state database: one writing connection, and reading ones that cannot write."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, insert, inspect, select
from sqlalchemy.engine import ExceptionContext

from runner.errors import StoreError, UsageError
from runner.store.schema import METADATA, VERSION, schema_meta

_BUSY_TIMEOUT_S = 10.0
_OUR_BUGS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)


@contextmanager
def writing(path: Path) -> Iterator[Connection]:
    """The writing connection, for the thread that opens it; makes the database when there is none.

    Raises StoreError when the file is no database of ours or a newer runner's, then and at any use later
    when SQLite cannot read or write it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, str(error)) from error
    # A deferred BEGIN that upgrades to writing later fails at once, however long it was told to wait.
    engine = _engine(path, lambda: _connect_writing(path), begin="BEGIN IMMEDIATE")
    with engine.connect() as connection:
        with connection.begin():
            _make_or_check(connection, path)
        yield connection


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection that cannot write, in one transaction: every query sees the same moment.

    Raises StoreError as `writing` does, and UsageError when there is no database.
    """
    if not path.exists():
        raise UsageError(
            "No run is recorded here yet", details=f"There is no {path}.", hint="Start one: runner run"
        )
    engine = _engine(path, lambda: _connect(path, mode="ro"), begin="BEGIN")
    with engine.connect() as connection, connection.begin():
        _check(connection, path)
        yield connection


def _connect_writing(path: Path) -> sqlite3.Connection:
    connection = _connect(path, mode="rwc")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose the last commits with the power
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode={mode}"
    # No isolation level: the driver leaves BEGIN to us.
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)


def _engine(path: Path, connect: Callable[[], sqlite3.Connection], *, begin: str) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def emit_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> StoreError | None:
        fault = context.original_exception
        is_the_file = isinstance(fault, sqlite3.Error) and not isinstance(fault, _OUR_BUGS)
        return _unusable(path, str(fault)) if is_the_file else None

    return engine


def _make_or_check(connection: Connection, path: Path) -> None:
    if inspect(connection).get_table_names():
        _check(connection, path)
        return
    METADATA.create_all(connection)
    connection.execute(insert(schema_meta).values(key="schema_version", value=str(VERSION)))


def _check(connection: Connection, path: Path) -> None:
    if not inspect(connection).has_table("schema_meta"):
        raise _unusable(path, "it is not a database of the runner")
    found = connection.scalar(select(schema_meta.c.value).where(schema_meta.c.key == "schema_version"))
    if found == str(VERSION):
        return
    if found is None or not found.isdecimal() or int(found) < VERSION:
        raise _unusable(path, f"its schema version is {found!r}")
    raise StoreError(
        f"The state database was written by a newer runner (schema {found}, this one knows {VERSION})",
        details=str(path),
        hint="Use the newer runner, or move the file away to start afresh.",
    )


def _unusable(path: Path, problem: str) -> StoreError:
    return StoreError(
        f"The state database cannot be used: {problem}",
        details=str(path),
        hint="Is the disk full, or another run at work? A damaged file can be moved away: "
        "branches that were made do not depend on it.",
    )
