"""What a workstream costs in small and in large plans: to check, to schedule and record, to report, to read back.

    python bench/scale.py [--workstreams N ...]

The engine, the store and the files are real; jobs end well at once, and git is left out. One column a size of
plan: seconds by the clock, and microseconds of processor time a workstream, which other work on the machine does
not blur; the last is what one costs in the largest plan against the smallest: about 1 is linear. (Some of the growth where many small objects are made is Python's garbage collector.)
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from runner.bundles import load_plan
from runner.clock import SystemClock
from runner.core.events import Event, EventType
from runner.core.model import (
    AttemptKey,
    BreakerLimits,
    Commit,
    Limits,
    Outcome,
    RunId,
    RunStatus,
    StepResult,
    Timeouts,
    Tree,
    WsId,
)
from runner.core.plan import Plan
from runner.core.summary import Summary
from runner.engine.live import Live
from runner.engine.loop import Engine
from runner.job.model import Job, RuntimeWork
from runner.layout import StateLayout
from runner.ports import Base
from runner.report.files import write_reports
from runner.store import queries
from runner.store.db import reading
from runner.store.runs import open_store
from runner.store.schema import events

SIZES = (1_000, 2_000, 5_000, 10_000)
LAYERS = 20
PARALLEL = 8
RUN = RunId("01BENCH")
BASE = Commit("b" * 40)
TREE = Tree("c" * 40)


def write_plan(folder: Path, count: int) -> None:
    """A plan of `count` workstreams, a file for each area of the code.

    A foundation lays out all of `src`; on it, areas grow layer by layer. Each workstream needs the one before it in
    its area, whose files it may share, and about two of other areas, whose files it may not.
    """
    chance = random.Random(count)
    ids: list[str] = ["ws-foundation"]
    areas: dict[int, list[dict[str, object]]] = {
        0: [_bundle("ws-foundation", [], ["src/", "/pyproject.toml", "tests/**/conftest.py"], [])]
    }
    width = max(1, (count - 1) // LAYERS)
    for number in range(count - 1):
        area, layer = number % width, number // width
        ws_id = f"ws-area-{area}-step-{layer}"
        earlier = ids[1 + max(0, layer - 3) * width : 1 + layer * width]
        own = f"ws-area-{area}-step-{layer - 1}" if layer else "ws-foundation"
        others = chance.sample(earlier, k=min(len(earlier), chance.choice((1, 2, 2, 3))))
        scope = [
            f"src/area_{area}/step_{layer}/",
            f"src/area_{area}/__init__.py",
            f"tests/**/test_area_{area}_step_{layer}_*.py",
            f"!src/area_{area}/step_{layer}/generated/",
        ]
        created = [f"docs/area_{area}/step_{layer}.md", f"migrations/*/area_{area}_step_{layer}_*.sql"]
        areas.setdefault(area, []).append(_bundle(ws_id, sorted({own, *others}), scope, created))
        ids.append(ws_id)
    folder.mkdir()
    for area, bundles in areas.items():
        (folder / f"area-{area:04}.json").write_text(json.dumps(bundles, indent=2), encoding="utf-8")


def _bundle(ws_id: str, needs: list[str], scope: list[str], created: list[str]) -> dict[str, object]:
    return {
        "id": ws_id,
        "openspec_change": "grow-everything",
        "files_scope": scope,
        "files_create": created,
        "tasks": [f"Build what {ws_id} stands for.", "Describe it."],
        "acceptance_tests": [f"python -m pytest -q tests/{ws_id}"],
        "depends_on": needs,
    }


class NoWork:
    """See engine.Workers: every job has ended well by the time it is submitted."""

    def free(self) -> int:
        return PARALLEL

    def submit(self, job: Job) -> Future[StepResult | None]:
        key = job.key
        tree = Tree(f"tree of {key}") if key.step.is_agent else job.tree
        future: Future[StepResult | None] = Future()
        future.set_result(
            StepResult(
                key=key, outcome=Outcome.OK, message="nothing to do", candidate=job.candidate, tree=tree
            )
        )
        return future

    def cancel(self) -> None:
        pass


class NoGit:
    """See ports.Results."""

    def base_of(self, ws_id: WsId, candidates: Sequence[Commit]) -> Base:
        return Base(BASE, TREE)

    def hand_back(self, ws_id: WsId, branch: str, candidate: Commit, *, old: Commit | None) -> None:
        pass

    def keep(self, ws_id: WsId, *, base: Commit | None, candidate: Commit | None) -> str:
        return ""


class Nobody:
    """See engine.Progress."""

    def event(self, event: Event) -> None:
        pass

    def result(self, result: StepResult) -> None:
        pass


def make_job(live: Live, key: AttemptKey, started_at: datetime) -> Job:
    assert live.base is not None
    assert live.candidate is not None
    assert live.tree is not None
    return Job(
        key=key,
        base=live.base,
        candidate=live.candidate,
        tree=live.tree,
        image="image",
        limits=live.limits,
        timeout_s=1,
        started_at=started_at,
        infra_retries=0,
        work=RuntimeWork(tests=()),
    )


def fresh(plan: Plan) -> list[Live]:
    return [
        Live(run_id=RUN, bundle=bundle, limits=Limits(), timeouts=Timeouts(), breaker=BreakerLimits())
        for bundle in plan
    ]


def record_run(plan: Plan, db: Path) -> None:
    """Write the run's first rows."""
    with open_store(db, SystemClock()) as store:
        store.create_run(RUN, plan, base_commit=BASE)


def run_all(plan: Plan, db: Path) -> RunStatus:
    """Run a recorded plan to its end."""
    clock = SystemClock()
    with open_store(db, clock) as store:
        engine = Engine(
            RUN,
            fresh(plan),
            store=store,
            workers=NoWork(),
            results=NoGit(),
            job_of=make_job,
            progress=Nobody(),
            clock=clock,
            infra_retries=0,
            grace_s=0,
        )
        return engine.run()


def summarize_run(db: Path) -> Summary:
    with reading(db) as connection:
        return queries.summary(connection, queries.find_run(connection, RUN))


def read_back(plan: Plan, db: Path) -> list[Live]:
    """All workstreams as a resume begins with them."""
    with reading(db) as connection:
        rows = {row.ws_id: row for row in queries.workstreams(connection, RUN)}
        attempts: dict[WsId, list[queries.AttemptRecord]] = {ws_id: [] for ws_id in rows}
        for attempt in queries.attempts(connection, RUN):
            attempts[attempt.key.ws_id].append(attempt)
    found = fresh(plan)
    for live in found:
        live.restore(rows[live.bundle.id], attempts[live.bundle.id], lambda _: TREE)
    return found


@dataclass
class Measured:
    """One size of plan: seconds by phase, by the clock and of the processor, and what they were spent on."""

    workstreams: int
    seconds: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    edges: int = 0
    transitions: int = 0
    peak_mb: float = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start, used = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = time.perf_counter() - start
        self.processor[name] = time.process_time() - used

    def each(self, name: str) -> float:
        """Microseconds of processor time a workstream."""
        return self.processor[name] * 1e6 / self.workstreams


def measure(count: int) -> Measured:
    measured = Measured(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_plan(folder / "plan", count)
        layout = StateLayout(folder / "state")
        with measured.phase("load and validate"):
            plan = load_plan(folder / "plan")
        with measured.phase("record the run"):
            record_run(plan, layout.db)
        with measured.phase("schedule"):
            status = run_all(plan, layout.db)
        assert status is RunStatus.COMPLETED
        with measured.phase("summary"):
            summary = summarize_run(layout.db)
        with measured.phase("reports"):
            write_reports(summary, layout)
        with measured.phase("read back to resume"):
            read_back(plan, layout.db)
        measured.edges = sum(len(bundle.depends_on) for bundle in plan)
        measured.transitions = count_transitions(layout.db)
    measured.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return measured


def count_transitions(db: Path) -> int:
    made = events.c.event_type == EventType.STATE_TRANSITION
    with reading(db) as connection:
        return connection.execute(select(func.count()).where(made)).scalar_one()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workstreams", type=int, nargs="+", default=SIZES, metavar="N")
    # Ascending, as the peak of memory is the process's so far.
    found = []
    for count in sorted(parser.parse_args().workstreams):
        print(f"{count} workstreams ...", file=sys.stderr, flush=True)
        found.append(measure(count))
    row("workstreams", found, lambda one: f"{one.workstreams}", "")
    row("dependencies", found, lambda one: f"{one.edges}", "")
    for name in found[0].seconds:
        growth = f"x {found[-1].each(name) / found[0].each(name):.2f}"
        row(f"{name}, s", found, lambda one, name=name: f"{one.seconds[name]:.2f}", "")
        row("  us of processor each", found, lambda one, name=name: f"{one.each(name):.0f}", growth)
    row("transitions a second", found, lambda one: f"{one.transitions / one.seconds['schedule']:.0f}", "")
    row("peak memory, MB", found, lambda one: f"{one.peak_mb:.0f}", "")


def row(title: str, found: Sequence[Measured], cell: Callable[[Measured], str], growth: str) -> None:
    print(f"{title:<24}{''.join(f'{cell(one):>10}' for one in found)}  {growth}".rstrip())


if __name__ == "__main__":
    main()
