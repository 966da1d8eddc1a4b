import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from runner.errors import ExitCode, StoreError, UsageError
from runner.store.db import reading, writing
from runner.store.schema import METADATA, runs, schema_meta, workstreams


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
        assert connection.execute("SELECT * FROM schema_meta").fetchall() == [("schema_version", "1")]


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


def test_a_truncated_file_is_refused_by_a_reader_and_a_writer(db):
    with writing(db):
        pass
    db.write_bytes(db.read_bytes()[:5000])
    for opened in (reading, writing):
        with pytest.raises(StoreError, match=r"malformed|not a database"), opened(db):
            pass


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
        "The state database was written by a newer runner (schema 7, this one knows 1)"
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
