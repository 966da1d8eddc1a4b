"""State changes a second: the store's, one and a hundred to a transaction, beside plain sqlite3's.

    python bench/store.py [CHANGES]

Every change is an update and an event, durable (WAL, synchronous=FULL); with intents, it also records one
and settles one. Rounds are interleaved; medians.
"""

import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runner.clock import SystemClock
from runner.core.intents import Intent, IntentKind
from runner.core.model import Bundle, Commit, RunId, WsId, WsStatus
from runner.core.plan import Plan
from runner.store import queries
from runner.store.db import reading
from runner.store.runs import open_store

ROUNDS = 5
GROUP = 100
RUN = RunId("bench")


def plain(db: Path, names: list[WsId], group: int, *, intents: bool) -> float:
    connection = sqlite3.connect(db, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE workstreams (id TEXT PRIMARY KEY, status TEXT)")
    connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, ws_id TEXT, payload TEXT)")
    connection.execute("CREATE TABLE intents (key TEXT PRIMARY KEY, ws_id TEXT, state TEXT)")
    connection.executemany("INSERT INTO workstreams VALUES (?, 'pending')", [(name,) for name in names])
    payload = json.dumps({"from": "pending", "to": "ready"})
    start = time.perf_counter()
    for some in groups(names, group):
        connection.execute("BEGIN IMMEDIATE")
        for name in some:
            connection.execute(
                "UPDATE workstreams SET status = 'ready' WHERE id = ? AND status = 'pending'", (name,)
            )
            connection.execute("INSERT INTO events (ws_id, payload) VALUES (?, ?)", (name, payload))
            if intents:
                connection.execute("INSERT INTO intents VALUES (?, ?, 'open')", (name, name))
                connection.execute("UPDATE intents SET state = 'done' WHERE key = ?", (name,))
        connection.execute("COMMIT")
    took = time.perf_counter() - start
    connection.close()
    return took


def ours(db: Path, names: list[WsId], group: int, *, intents: bool) -> float:
    plan = Plan(bundles=tuple(Bundle(id=name, change="c", files_scope=(f"{name}.py",)) for name in names))
    with open_store(db, SystemClock()) as store:
        store.create_run(RUN, plan, base_commit=Commit("0" * 40))
        start = time.perf_counter()
        for some in groups(names, group):
            with store.transaction():
                for name in some:
                    store.move_workstream(
                        RUN, name, expected=WsStatus.PENDING, new=WsStatus.READY, cause="dependencies done"
                    )
                    if intents:
                        store.intend(Intent(run_id=RUN, ws_id=name, kind=IntentKind.SANDBOX, key=name))
                        store.settle(RUN, IntentKind.SANDBOX, name)
        return time.perf_counter() - start


def groups(names: list[WsId], size: int) -> Iterator[list[WsId]]:
    for first in range(0, len(names), size):
        yield names[first : first + size]


def reading_back(count: int) -> float:
    """Seconds to make the summary of a run with so many workstreams."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "state.db"
        ours(db, [WsId(f"ws-{number}") for number in range(count)], GROUP, intents=True)
        start = time.perf_counter()
        with reading(db) as connection:
            queries.summary(connection, queries.find_run(connection))
        return time.perf_counter() - start


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    names = [WsId(f"ws-{number}") for number in range(count)]
    cases = [
        (with_intents, group, change)
        for with_intents in (False, True)
        for group in (1, GROUP)
        for change in (plain, ours)
    ]
    times: dict[tuple[bool, int, Callable[..., float]], list[float]] = {case: [] for case in cases}
    for _ in range(ROUNDS):
        for with_intents, group, change in cases:
            with tempfile.TemporaryDirectory() as folder:
                took = change(Path(folder) / "state.db", names, group, intents=with_intents)
                times[with_intents, group, change].append(took)
    rates = {case: count / statistics.median(measured) for case, measured in times.items()}
    for with_intents, group, _ in cases[::2]:
        ours_rate, floor = rates[with_intents, group, ours], rates[with_intents, group, plain]
        print(
            f"{group:4} to a transaction, {'with' if with_intents else 'no  '} intents: {ours_rate:8.0f} changes/s, "
            f"plain sqlite3 {floor:8.0f}/s, ratio {ours_rate / floor:.2f}"
        )
    for size in (1000, 10_000):
        print(f"summary of {size:6} workstreams: {reading_back(size) * 1e6 / size:6.1f} us each")


if __name__ == "__main__":
    main()
