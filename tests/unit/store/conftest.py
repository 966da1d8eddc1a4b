from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.store.db import reading
from runner.store.runs import Store
from tests.unit.store.past import TickedClock, past


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "state" / "pipeline_state.db"


@pytest.fixture
def clock() -> TickedClock:
    return TickedClock()


@pytest.fixture
def store(db: Path, clock: TickedClock) -> Iterator[Store]:
    """A store whose run RUN is running, with the pending workstream ws-a."""
    with past(db, "a", clock=clock) as store:
        yield store


class Reader:
    """Asks a query on a connection of its own, as another process would."""

    def __init__(self, db: Path) -> None:
        self._db = db

    def __call__(self, query, *args, **options):
        with reading(self._db) as connection:
            return query(connection, *args, **options)


@pytest.fixture
def ask(store: Store, db: Path) -> Reader:
    return Reader(db)
