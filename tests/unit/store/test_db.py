import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from runner.core.events import Event, EventType
from runner.core.model import WsStatus
from runner.errors import ExitCode, StoreError, UsageError
from runner.store import queries
from runner.store.db import reading, writing
from runner.store.runs import Store
from runner.store.schema import METADATA, VERSION, runs, schema_meta, workstreams
from tests.unit.store.past import RUN, attempt, bring, key, past


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "state" / "pipeline_state.db"


def set_version(db: Path, version: str) -> None:
    with writing(db) as connection, connection.begin():
        connection.execute(schema_meta.update().values(value=version))


def test_a_new_database_has_every_table_and_its_version(db):
    with writing(db):
        pass
    with sqlite3.connect(db) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        assert tables - {"sqlite_sequence"} == set(METADATA.tables)
        assert connection.execute("SELECT * FROM schema_meta").fetchall() == [
            ("schema_version", str(VERSION))
        ]


def test_writes_are_durable_and_references_are_kept(db):
    with writing(db) as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        with connection.begin():
            answers = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    assert answers == ["wal", 2, 1]


def test_a_row_without_its_run_is_refused_as_a_bug(db):
    row = dict.fromkeys(workstreams.c.keys(), "x")
    with writing(db) as connection, pytest.raises(IntegrityError), connection.begin():
        connection.execute(insert(workstreams), row)


def test_opening_twice_keeps_what_is_there(db):
    row = dict.fromkeys(runs.c.keys(), "x")
    with writing(db) as connection, connection.begin():
        connection.execute(insert(runs), row)
    with writing(db) as connection, connection.begin():
        assert connection.execute(select(runs)).mappings().one() == row


def test_a_reader_cannot_write(db):
    with writing(db):
        pass
    with reading(db) as connection, pytest.raises(StoreError, match="readonly"):
        connection.execute(insert(runs), dict.fromkeys(runs.c.keys(), "x"))


def test_a_reader_sees_one_moment_while_the_writer_goes_on(db):
    with writing(db) as writer, reading(db) as reader:
        with writer.begin():
            writer.execute(insert(runs), dict.fromkeys(runs.c.keys(), "x"))
        assert reader.execute(select(runs)).all() == []


def test_reading_where_nothing_was_written_makes_nothing(db):
    with pytest.raises(UsageError) as caught, reading(db):
        pass
    assert (caught.value.brief, caught.value.hint) == ("No run is recorded here yet", "Start one: runner run")
    assert not db.exists()


@pytest.mark.parametrize("opened", [reading, writing])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not a database, but long enough to be looked at" * 50, "file is not a database"),
        (b"SQLite format 3\0" + b"\xff" * 4000, "file is not a database"),
    ],
)
def test_a_damaged_file_is_refused(db, opened, content, problem):
    db.parent.mkdir()
    db.write_bytes(content)
    with pytest.raises(StoreError) as caught, opened(db):
        pass
    assert caught.value.brief == f"The state database cannot be used: {problem}"
    assert caught.value.details == str(db)
    assert db.read_bytes() == content


@pytest.mark.parametrize("length", [1, 99, 100, 4096, 5000, 3 * 4096])
def test_a_truncated_file_is_refused_and_left_as_it_is(db, length):
    with writing(db):
        pass
    left = db.read_bytes()[:length]
    db.write_bytes(left)
    for opened in (reading, writing):
        with pytest.raises(StoreError, match=r"malformed|not a database"), opened(db):
            pass
    assert db.read_bytes() == left


@pytest.mark.parametrize("opened", [reading, writing])
def test_an_empty_file_is_damage_and_not_a_beginning(db, opened):
    db.parent.mkdir()
    db.touch()
    with pytest.raises(StoreError, match="it is empty"), opened(db):
        pass
    assert db.read_bytes() == b""


def test_damage_anywhere_is_found_before_anything_is_written(db):
    with past(db, "a b") as store:
        attempt(store, key())
    whole = db.read_bytes()
    for start in range(0, len(whole), 4096):
        damaged = whole[:start] + b"\xff" * 4096 + whole[start + 4096 :]
        db.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"damaged|malformed|not a database"), writing(db):
            pass
        assert db.read_bytes() == damaged


@pytest.mark.parametrize("opened", [reading, writing])
def test_a_folder_in_the_place_of_the_database_is_refused(db, opened):
    db.mkdir(parents=True)
    with pytest.raises(StoreError, match="it is not a file"), opened(db):
        pass


def test_without_its_log_a_database_is_as_it_was_at_the_last_checkpoint(db, tmp_path):
    with past(db, "a") as store:
        bring(store, "ws-a", WsStatus.EDITING)
        alone = tmp_path / "alone.db"
        shutil.copy(db, alone)
    with writing(alone) as connection, connection.begin():
        assert queries.all_runs(connection) == []


def test_of_a_cut_log_every_transaction_is_there_or_not(db, tmp_path):
    with past(db, "a") as store:
        for number in range(1, 6):
            attempt_at_once(store, number)
        log = db.with_name(f"{db.name}-wal").read_bytes()
        whole = db.read_bytes()
    counts = set()
    for length in range(0, len(log) + 3333, 3333):
        cut = tmp_path / str(length) / "state.db"
        cut.parent.mkdir()
        cut.write_bytes(whole)
        cut.with_name("state.db-wal").write_bytes(log[:length])
        with writing(cut) as connection, connection.begin():
            ended = [row.result is not None for row in queries.attempts(connection, RUN)]
            told = queries.events(connection, RUN, types=[EventType.TOOL_FINISHED])
        assert all(ended)
        assert len(told) == len(ended)
        counts.add(len(ended))
    assert counts == set(range(6))


def attempt_at_once(store: Store, number: int) -> None:
    with store.transaction():
        attempt(store, key(attempt=number))
        store.record(Event(type=EventType.TOOL_FINISHED, run_id=RUN, payload={"message": "x" * 3000}))


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Writes beyond this fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", range(100_000, 260_000, 17_777))
def test_what_was_acknowledged_before_the_disk_was_full_is_found_and_nothing_else(db, size):
    acknowledged = 0

    def work(store: Store) -> None:
        nonlocal acknowledged
        while True:
            attempt_at_once(store, acknowledged + 1)
            acknowledged += 1

    with past(db, "a") as store, files_no_longer_than(size), pytest.raises(StoreError, match="disk"):
        work(store)
    with writing(db) as connection, connection.begin():
        found = [row.key.attempt for row in queries.attempts(connection, RUN)]
        told = queries.events(connection, RUN, types=[EventType.TOOL_FINISHED])
    assert acknowledged > 0
    assert found == list(range(1, acknowledged + 1))
    assert len(told) == acknowledged


@pytest.fixture
def nobodys(tmp_path_factory) -> Iterator[Path]:
    """A folder of a user without any power, who we are meanwhile: nothing is read-only for root."""
    if os.geteuid() != 0:
        yield tmp_path_factory.mktemp("own")
        return
    with TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def test_a_database_that_may_not_be_written_is_read_and_not_written(nobodys):
    db = nobodys / "state.db"
    with past(db, "a"):
        pass
    db.chmod(0o444)
    with pytest.raises(StoreError, match="readonly database"), past(db, "a"):
        pass
    with reading(db) as connection:
        assert len(queries.all_runs(connection)) == 1


@pytest.mark.parametrize("opened", [reading, writing])
def test_a_database_that_may_not_be_read_is_refused(nobodys, opened):
    db = nobodys / "state" / "state.db"
    with past(db, "a"):
        pass
    for place in (db, db.parent):
        place.chmod(0o000)
        try:
            with pytest.raises(StoreError, match=r"unable to open|Permission denied"), opened(db):
                pass
        finally:
            place.chmod(0o700)


@pytest.mark.parametrize("opened", [reading, writing])
def test_another_programs_database_is_refused(db, opened):
    db.parent.mkdir()
    with sqlite3.connect(db) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="it is not a database of the runner"), opened(db):
        pass


@pytest.mark.parametrize("opened", [reading, writing])
def test_a_newer_schema_is_refused(db, opened):
    set_version(db, "7")
    with pytest.raises(StoreError) as caught, opened(db):
        pass
    assert caught.value.brief == (
        "The state database was written by a newer runner (schema 7, this one knows 2)"
    )
    assert caught.value.hint == "Use the newer runner, or move the file away to start afresh."
    assert caught.value.exit_code is ExitCode.ENVIRONMENT


@pytest.mark.parametrize("version", ["0", "-1", "one", ""])
def test_a_version_that_never_was_is_refused(db, version):
    set_version(db, version)
    with pytest.raises(StoreError, match=f"its schema version is '{version}'"), reading(db):
        pass


def test_a_state_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="File exists"), writing(tmp_path / "state" / "pipeline_state.db"):
        pass


def test_two_writers_take_turns(db):
    with writing(db) as first, writing(db) as second:
        for connection, name in ((first, "x"), (second, "y"), (first, "z")):
            with connection.begin():
                connection.execute(insert(runs), dict.fromkeys(runs.c.keys(), name))
        with first.begin():
            assert len(first.execute(select(runs)).all()) == 3


def test_a_transaction_has_the_write_lock_from_its_first_moment(db):
    with (
        writing(db) as writer,
        writer.begin(),
        closing(sqlite3.connect(db, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="database is locked"),
    ):
        other.execute("BEGIN IMMEDIATE")


def test_a_path_with_marks_of_a_uri_is_taken_as_it_is(tmp_path):
    db = tmp_path / "a b?mode=memory#é%41" / "state.db"
    with writing(db):
        pass
    assert db.exists()
