"""Opening the state database: one writing connection, and reading ones that cannot write.

Whoever opens it with a newer runner first brings it up to date; a copy of what it was stays beside it.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, insert, inspect, select
from sqlalchemy.engine import ExceptionContext

from runner.errors import StoreError, UsageError
from runner.store.lock import locked
from runner.store.migrations import migrate
from runner.store.schema import METADATA, VERSION, schema_meta

_BUSY_TIMEOUT_S = 10.0
_OUR_BUGS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
_SIDE_FILES = ("-wal", "-shm", "-journal")


@contextmanager
def writing(path: Path) -> Iterator[Connection]:
    """The writing connection, for the thread that opens it and holds the state folder's lock; makes the
    database when there is none.

    Raises StoreError when the file is damaged, no database of ours or a newer runner's, then and at any use
    later when SQLite cannot read or write it.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _is_there(path):
            _make(path)
    with _opened_reading(path) as connection:
        _version(connection, path)  # what is not ours is not touched, not even by opening it for writing
    with _opened(path, lambda: _connect_writing(path)) as connection:
        with connection.begin():
            version = _version(connection, path)
            _check_pages(connection, path)
            if version < VERSION:
                with _explained(path):
                    _save_copy(path, version)
                migrate(connection, version)
        yield connection


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection that cannot write, in one transaction: every query sees the same moment.

    An older runner's database is brought up to date first, so that what a new runner shows does not depend on
    whether it has already worked here. Raises StoreError as `writing` does, and when that cannot be done
    because a run of the older runner is at work; UsageError when there is no database.
    """
    if not _is_there(path):
        raise UsageError(
            "No run is recorded here yet", details=f"There is no {path}.", hint="Start one: runner run"
        )
    with _opened_reading(path) as connection:
        older = _version(connection, path) < VERSION
    if older:
        _bring_up_to_date(path)
    with _opened_reading(path) as connection:
        _version(connection, path)  # the first query is what fixes the moment
        yield connection


def _bring_up_to_date(path: Path) -> None:
    try:
        with locked(path.with_name("lock")), writing(path):
            pass
    except (StoreError, OSError) as error:
        why = f"{error.brief}. {error.details}" if isinstance(error, StoreError) else str(error)
        raise StoreError(
            "The state database is of an older runner, and cannot be brought up to date now",
            details=f"{path}\n{why}",
            hint="When a run is at work here, wait for its end; else see that the file can be written.",
        ) from error


# Files


def _is_there(path: Path) -> bool:
    with _explained(path):
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
    if not S_ISREG(found.st_mode):
        raise _unusable(path, "it is not a file")
    if not found.st_size:
        raise _unusable(path, "it is empty")
    return True


def _make(path: Path) -> None:
    """A new database. Never half of one: an empty file in its place is damage, not a beginning."""
    for name in _SIDE_FILES:  # of a database that was moved away: SQLite would apply them to this one
        path.with_name(path.name + name).unlink(missing_ok=True)
    with (
        _written_whole(path) as draft,
        _opened(path, lambda: _connect(draft, mode="rwc")) as connection,
        connection.begin(),
    ):
        METADATA.create_all(connection)
        connection.execute(insert(schema_meta).values(key="schema_version", value=str(VERSION)))


def _save_copy(path: Path, version: int) -> None:
    """Copy the database as it is before a migration, which holds the write lock meanwhile."""
    with (
        _written_whole(path.with_name(f"{path.stem}.v{version}{path.suffix}")) as draft,
        closing(_connect(path, mode="ro")) as source,
        closing(_connect(draft, mode="rwc")) as copy,
    ):
        source.backup(copy)


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """Where to write a database that is to be at `path`: all of it, or nothing."""
    draft = path.with_name(f"{path.name}.part")
    for name in ("", *_SIDE_FILES):  # of one whose writing was cut off
        draft.with_name(draft.name + name).unlink(missing_ok=True)
    yield draft
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else the name may go with the power, and what is written under it from now on
    finally:
        os.close(folder)


# Connections


@contextmanager
def _opened(
    path: Path, connect: Callable[[], sqlite3.Connection], *, begin: str = "BEGIN IMMEDIATE"
) -> Iterator[Connection]:
    # A deferred BEGIN that upgrades to writing later fails at once, however long it was told to wait.
    with _engine(path, connect, begin=begin).connect() as connection:
        yield connection


@contextmanager
def _opened_reading(path: Path) -> Iterator[Connection]:
    with _opened(path, lambda: _connect(path, mode="ro"), begin="BEGIN") as connection, connection.begin():
        yield connection


def _connect_writing(path: Path) -> sqlite3.Connection:
    connection = _connect(path, mode="rw")
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


# What is wrong with a file


def _version(connection: Connection, path: Path) -> int:
    """The schema version of a database, of this runner or an older one. Raises StoreError when it has none."""
    if not inspect(connection).has_table("schema_meta"):
        raise _unusable(path, "it is not a database of the runner")
    found = connection.scalar(select(schema_meta.c.value).where(schema_meta.c.key == "schema_version"))
    if found is None or not found.isdecimal() or int(found) == 0:
        raise _unusable(path, f"its schema version is {found!r}")
    if int(found) > VERSION:
        raise StoreError(
            f"The state database was written by a newer runner (schema {found}, this one knows {VERSION})",
            details=str(path),
            hint="Use the newer runner, or move the file away to start afresh.",
        )
    return int(found)


def _check_pages(connection: Connection, path: Path) -> None:
    """Find damage before anything is built on it."""
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise _unusable(path, f"it is damaged: {found}")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, str(error)) from error


def _unusable(path: Path, problem: str) -> StoreError:
    return StoreError(
        f"The state database cannot be used: {problem}",
        details=str(path),
        hint="Is the disk full, or another run at work? A damaged file can be moved away: "
        "branches that were made do not depend on it.",
    )
