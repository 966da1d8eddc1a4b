"""Growth with the size of the plan, in calls and statements instead of seconds. `bench/scale.py` has the figures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from bench.scale import read_back, record_run, run_all, summarize_run, write_plan
from runner.bundles import check_plan, load_plan
from runner.core.model import RunStatus, WsId
from runner.core.plan import Placed, Plan, plan_problems
from runner.core.schedule import Schedule
from runner.layout import StateLayout
from runner.report.files import write_reports
from tests.builders import bundle
from tests.counting import function_calls

TINY = 20
FEW = 100
MANY = 2 * FEW
LINEAR = 2.5  # twice the workstreams, and some that does not divide evenly; quadratic is 4


def written(folder: Path, count: int) -> Path:
    write_plan(folder / str(count), count)
    return folder / str(count)


def growth(cost: Callable[[int], int], *, few: int = FEW) -> float:
    """The cost of twice as many workstreams against that of a few, when all that is made once has been made."""
    cost(few)
    return cost(2 * few) / cost(few)


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The SQL statements that any engine is given meanwhile."""
    given: list[str] = []

    def note(connection, cursor, statement, *rest):
        given.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield given
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_checking_a_plan_costs_as_much_a_workstream_in_a_large_one(tmp_path: Path) -> None:
    folders = {count: written(tmp_path, count) for count in (FEW, MANY)}
    assert check_plan(folders[MANY])[1] == []
    assert growth(lambda count: function_calls(lambda: check_plan(folders[count]))) < LINEAR


def test_checking_a_plan_full_of_unknown_ids_does_too() -> None:
    def calls(count: int) -> int:
        lost = [
            bundle(f"w{n}", files_scope=(f"/{n}.py",), depends_on=(WsId(f"ws-lost-{n}"),))
            for n in range(count)
        ]
        graph = {item.id: item.depends_on for item in lost}
        placed = [Placed(bundle=item, path="$") for item in lost]
        assert len(plan_problems(placed, graph)) == count
        return function_calls(lambda: plan_problems(placed, graph))

    assert growth(calls, few=600) < LINEAR  # from there on no more hints are looked for


def test_a_schedule_empties_at_the_same_cost_a_workstream_whether_all_is_done_or_all_is_blocked() -> None:
    def graph_of(count: int) -> dict[WsId, list[WsId]]:
        names = [WsId(f"ws-{n}") for n in range(count)]
        return {ws: sorted({names[n // 2], names[n // 3], names[0]} - {ws}) for n, ws in enumerate(names)}

    def empty(count: int) -> None:
        schedule = Schedule(graph_of(count))
        while ws := schedule.take():
            schedule.newly_ready()
            schedule.done(ws)
        assert schedule.is_finished

    def block(count: int) -> None:
        schedule = Schedule(graph_of(count))
        first = schedule.take()
        assert first is not None
        assert len(schedule.ended(first)) == count - 1

    assert growth(lambda count: function_calls(lambda: empty(count)), few=1000) < LINEAR
    assert growth(lambda count: function_calls(lambda: block(count)), few=1000) < LINEAR


@dataclass(frozen=True)
class Past:
    """A plan that was run to its end, and what that took."""

    plan: Plan
    layout: StateLayout
    calls: int
    statements: int


@pytest.fixture(scope="module")
def pasts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Past]:
    """A large run and a small one; a tiny one was before them, so that all that is made once is made."""
    folder = tmp_path_factory.mktemp("runs")
    return {count: past(folder, count) for count in (TINY, FEW, MANY)}


def past(folder: Path, count: int) -> Past:
    plan, layout = load_plan(written(folder, count)), StateLayout(folder / f"state-{count}")
    record_run(plan, layout.db)
    with counted_statements() as given:
        calls = function_calls(lambda: run_all(plan, layout.db))
    assert summarize_run(layout.db).status is RunStatus.COMPLETED
    return Past(plan, layout, calls, len(given))


def test_running_a_plan_takes_as_many_calls_and_statements_a_workstream_in_a_large_one(
    pasts: dict[int, Past],
) -> None:
    assert pasts[MANY].calls < LINEAR * pasts[FEW].calls
    assert pasts[MANY].statements < 2.1 * pasts[FEW].statements


def test_a_run_is_reported_and_read_back_at_the_same_cost_a_workstream_and_by_as_many_statements(
    pasts: dict[int, Past],
) -> None:
    statements: dict[int, int] = {}

    def look(past: Past) -> None:
        write_reports(summarize_run(past.layout.db), past.layout)
        read_back(past.plan, past.layout.db)

    def calls(count: int) -> int:
        with counted_statements() as given:
            made = function_calls(lambda: look(pasts[count]))
        statements[count] = len(given)
        return made

    assert growth(calls) < LINEAR
    assert statements[MANY] == statements[FEW]
