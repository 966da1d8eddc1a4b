import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from runner.core.intents import Intent, IntentKind
from runner.core.model import AttemptStatus, Outcome, StepName, WsId, WsStatus
from runner.errors import StoreError
from runner.store import db as opening
from runner.store import migrations, queries
from runner.store.db import reading, writing
from runner.store.lock import locked
from runner.store.runs import open_store
from runner.store.schema import VERSION
from tests.unit.store.past import RUN, TickedClock, key

FIRST = (Path(__file__).parents[2] / "data" / "store" / "v1.sql").read_text()


def make_first(db: Path) -> None:
    """The database that the first runner left when it was killed during ws-a's fix."""
    db.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(db)) as connection:
        connection.executescript(FIRST)
        connection.execute("PRAGMA journal_mode = WAL")


@pytest.fixture
def first(db: Path) -> Path:
    make_first(db)
    return db


def copy_of(db: Path) -> Path:
    return db.with_name("pipeline_state.v1.db")


def content(db: Path) -> tuple[str, ...]:
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return tuple(connection.iterdump())


def schema(db: Path) -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {(kind, name, re.sub(r"\s*([(),])\s*", r"\1", " ".join(sql.split()))) for kind, name, sql in rows}


@pytest.mark.parametrize("opened", [writing, reading])
def test_an_older_database_becomes_what_a_new_one_is(first, tmp_path, opened):
    with opened(first):
        pass
    new = tmp_path / "new.db"
    with writing(new):
        pass
    assert schema(first) == schema(new)


def test_there_is_a_step_from_every_version():
    assert list(migrations.STEPS) == list(range(1, VERSION))


def test_an_older_run_is_read_as_it_was(first):
    with reading(first) as connection:
        run = queries.find_run(connection)
        records = {record.ws_id: record.status for record in queries.workstreams(connection, RUN)}
        attempts = queries.attempts(connection, RUN)
        (fault,) = queries.errors(connection, RUN)
        assert len(queries.events(connection, RUN)) == 7
        assert queries.intents(connection, RUN) == []
    assert run.run_id == RUN
    assert records == {"ws-a": WsStatus.STATIC_CHECK, "ws-b": WsStatus.PENDING}
    assert [attempt.status for attempt in attempts] == [
        AttemptStatus.SUCCESS,
        AttemptStatus.FAILURE,
        AttemptStatus.IN_PROGRESS,
    ]
    assert attempts[1].result is not None
    assert attempts[1].result.outcome is Outcome.FINDINGS
    assert fault.code == "LINT_ERROR"


def test_an_older_run_can_be_carried_on(first):
    with open_store(first, TickedClock()) as store:
        store.intend(Intent(run_id=RUN, ws_id=WsId("ws-a"), kind=IntentKind.SANDBOX, key="s"))
        store.begin_attempt(key("ws-b", StepName.EDIT))


def test_a_copy_of_the_older_database_stays(first):
    before = content(first)
    for _ in range(2):
        with writing(first):
            pass
    assert content(copy_of(first)) == before
    assert content(first) != before


def test_the_copy_holds_what_another_connection_wrote_last(first):
    with closing(sqlite3.connect(first)) as other:  # its close would empty the log into the file
        with other:
            other.execute("UPDATE runs SET metadata_json = '{\"late\": 1}'")
        with writing(first):
            pass
    assert any('{"late": 1}' in line for line in content(copy_of(first)))


def test_an_older_database_in_use_is_left_alone(first):
    before = content(first)
    with (
        locked(first.with_name("lock")),
        pytest.raises(StoreError) as caught,
        reading(first),
    ):
        pass
    assert caught.value.brief == (
        "The state database is of an older runner, and cannot be brought up to date now"
    )
    assert "Another run is at work in this repository" in caught.value.details
    assert content(first) == before
    assert not copy_of(first).exists()


def test_a_copy_that_cannot_be_made_prevents_the_migration(first):
    before = content(first)
    copy_of(first).mkdir()
    with pytest.raises(StoreError, match="Is a directory"), writing(first):
        pass
    assert content(first) == before


def test_a_damaged_older_database_is_not_migrated(first):
    with closing(sqlite3.connect(first)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    data = bytearray(first.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    first.write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged|malformed"), writing(first):
        pass
    assert first.read_bytes() == data
    assert not copy_of(first).exists()


# kill -9 at every line of runner.store.db and of the migrations


@contextmanager
def killed_at(line: int) -> Iterator[None]:
    """In a process of its own: SIGKILL when so many lines of the store's opening have been begun."""
    watched = (opening.__file__, migrations.__file__)
    left = line

    def trace(frame: FrameType, what: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in watched:
            return None
        left -= what == "line"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    yield


def is_killed(action: Callable[[], None], *, at: int) -> bool:
    """Whether the action was cut off, at its so many-th line; else it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            with killed_at(at):
                action()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def open_and_close(db: Path) -> None:
    with writing(db):
        pass


def test_killed_anywhere_a_migration_has_happened_or_not(tmp_path):
    first, later = tmp_path / "first.db", tmp_path / "later.db"
    make_first(first)
    shutil.copy(first, later)
    open_and_close(later)
    old, new = content(first), content(later)
    line, cut_off, seen = 0, True, set()
    while cut_off:
        line += 1
        db = tmp_path / str(line) / "pipeline_state.db"
        db.parent.mkdir()
        shutil.copy(first, db)
        cut_off = is_killed(partial(open_and_close, db), at=line)
        left = content(db)
        seen.add(left)
        assert left == old or copy_of(db).exists()
        assert not copy_of(db).exists() or content(copy_of(db)) == old
        open_and_close(db)
        assert (content(db), content(copy_of(db))) == (new, old)
        assert not list(db.parent.glob("*.part"))
    assert seen == {old, new}


def test_killed_anywhere_a_new_database_is_there_or_not(tmp_path):
    open_and_close(tmp_path / "new.db")
    whole = content(tmp_path / "new.db")
    line, cut_off, seen = 0, True, set()
    while cut_off:
        line += 1
        db = tmp_path / str(line) / "pipeline_state.db"
        cut_off = is_killed(partial(open_and_close, db), at=line)
        seen.add(db.exists())
        assert not db.exists() or content(db) == whole
        open_and_close(db)
        assert content(db) == whole
        assert not list(db.parent.glob("*.part"))
    assert seen == {True, False}
