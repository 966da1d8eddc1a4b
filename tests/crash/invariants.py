"""What must hold once a run has come to its end, however often it was killed on its way."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

from runner.core.events import EventType
from runner.core.intents import IntentState
from runner.core.model import AttemptKey, Outcome, WsId
from runner.core.records import AttemptRecord, ErrorRecord, EventRecord, RunRecord, WorkstreamRecord
from runner.store import queries
from runner.store.db import reading
from tests.crash.world import World
from tests.unit.engine.trace import AT_WORK, LEGAL

_RUN_LEGAL = {"pending": {"running"}, "running": {"completed", "partial", "failed"}}
_PARALLEL = 2
_PROBE_OF_PYTHON = re.compile(
    r"[a-z0-9_]{8}"
)  # `tempfile` tries with such a file whether a folder can be written


@dataclass(frozen=True, kw_only=True)
class EndState:
    """What a run came to, without what differs from run to run: ids, times and the hashes of commits."""

    run: str
    workstreams: Mapping[str, str]
    attempts: Mapping[str, Sequence[object]]  # of each workstream, in the order they began
    errors: Mapping[tuple[str, ...], int]
    refs: Mapping[str, str]  # trees
    worktrees: Sequence[str]

    def differences(self, other: "EndState") -> Iterator[str]:
        for field in fields(self):
            wanted, found = getattr(self, field.name), getattr(other, field.name)
            if wanted != found:
                yield f"{field.name}: {found} instead of {wanted}"


@dataclass(frozen=True)
class Recorded:
    """What the database says."""

    run: RunRecord
    rows: Mapping[WsId, WorkstreamRecord]
    attempts: Sequence[AttemptRecord]
    errors: Sequence[ErrorRecord]
    events: Sequence[EventRecord]
    open_intents: Sequence[str]


def recorded(world: World) -> Recorded:
    with reading(world.db) as connection:
        run = queries.find_run(connection)
        return Recorded(
            run,
            {row.ws_id: row for row in queries.workstreams(connection, run.run_id)},
            queries.attempts(connection, run.run_id),
            queries.errors(connection, run.run_id),
            queries.events(connection, run.run_id),
            [
                f"{one.kind} {one.key}"
                for one in queries.intents(connection, run.run_id, state=IntentState.OPEN)
            ],
        )


def end_state(world: World, told: Recorded) -> EndState:
    attempts: dict[str, list[object]] = {}
    for attempt in told.attempts:
        attempts.setdefault(attempt.key.ws_id, []).append(_told_of(attempt))
    return EndState(
        run=told.run.status.value,
        workstreams={ws_id: row.status.value for ws_id, row in told.rows.items()},
        attempts=attempts,
        errors={(one.ws_id, one.step, one.code, one.signature): one.count for one in told.errors},
        refs={
            _without(told.run, name): world.target.repo.git("rev-parse", f"{name}^{{tree}}")
            for name in world.target.refs()
        },
        worktrees=sorted(_without(told.run, str(Path(one).name)) for one in world.target.worktrees()),
    )


def problems(world: World, undisturbed: EndState | None) -> list[str]:
    """What is wrong with a run that has ended; `undisturbed` is how it should have ended (None: this is that run).

    Cleans up in between: what costs nothing and harms nobody may stay until then.
    """
    found = [*_left_running(world)]
    world.clean_up()
    told = recorded(world)
    found += [*_unlike_the_sample(world, told), *_history(world, told), *_commits(world, told)]
    found += [*_repository(world), *_leftovers(world, told), *_questions(world)]
    if undisturbed is not None:
        found += undisturbed.differences(end_state(world, told))
    return found


def _told_of(attempt: AttemptRecord) -> object:
    result = attempt.result
    name = f"{attempt.key.step} {attempt.key.attempt}"
    if result is None:
        return name, "in progress"
    return (
        name,
        result.outcome.value,
        result.tree,
        result.changed,
        [finding.signature for finding in result.findings],
        [refusal.path for refusal in result.refusals],
        result.usage,
    )


def _without(run: RunRecord, name: str) -> str:
    return name.replace(run.run_id, "RUN")


def _unlike_the_sample(world: World, told: Recorded) -> Iterator[str]:
    states = {ws_id: row.status.value for ws_id, row in told.rows.items()}
    if states != world.sample.states:
        reasons = {ws_id: row.reason for ws_id, row in told.rows.items() if row.reason}
        yield f"the workstreams ended as {states}, {reasons}"


# Events


def _history(world: World, told: Recorded) -> Iterator[str]:
    """The events lead by legal steps to what the rows say, and nobody started before what it needs was done."""
    states = dict.fromkeys(told.rows, "pending")
    needs = {ws_id: row.depends_on for ws_id, row in told.rows.items()}
    path = ["pending"]
    for event in told.events:
        if event.type is not EventType.STATE_TRANSITION:
            continue
        old, new = str(event.payload["from"]), str(event.payload["to"])
        if event.ws_id is None:
            path.append(new)
            continue
        if states[event.ws_id] != old or new not in LEGAL[old]:
            yield f"event {event.id}: {event.ws_id} went from {old} to {new}, and was {states[event.ws_id]}"
        states[event.ws_id] = new
        if new in ("ready", "editing") and any(states[need] != "done" for need in needs[event.ws_id]):
            yield f"event {event.id}: {event.ws_id} became {new} before what it needs was done: {states}"
        if sum(state in AT_WORK for state in states.values()) > _PARALLEL:
            yield f"event {event.id}: more than {_PARALLEL} at work: {states}"
    if states != {ws_id: row.status.value for ws_id, row in told.rows.items()}:
        yield f"the events lead to {states}"
    if path[-1] != told.run.status or any(new not in _RUN_LEGAL.get(old, ()) for old, new in pairwise(path)):
        yield f"the run went through {path}, and is {told.run.status}"
    if world.resumed and EventType.RESUME_INITIATED not in {event.type for event in told.events}:
        yield "no event tells of the resume"
    yield from (f"an intent is still open: {one}" for one in told.open_intents)


# Commits


def _commits(world: World, told: Recorded) -> Iterator[str]:
    """One commit for each accepted attempt, with its name on it; besides there are only merges of dependencies."""
    accepted = {
        attempt.result.candidate: attempt.key
        for attempt in told.attempts
        if attempt.result and attempt.key.step.is_agent and attempt.result.outcome is Outcome.OK
    }
    merges = {row.base_commit for row in told.rows.values() if len(row.depends_on) > 1} - {None}
    reachable = set(world.target.repo.git("rev-list", "--all", f"^{told.run.base_commit}").split())
    if reachable != accepted.keys() | merges:
        yield f"reachable are {sorted(reachable)}, accepted were {accepted}, merges are {merges}"
    for commit, key in accepted.items():
        if (found := _trailers(world, commit)) != _named(key):
            yield f"commit {commit} of {key} bears {found}"
    for row in told.rows.values():
        if (
            row.status.value == "done"
            and world.target.repo.git("rev-parse", str(row.branch)) != row.candidate_commit
        ):
            yield f"{row.branch} is not at {row.candidate_commit}"


def _trailers(world: World, commit: str) -> dict[str, str]:
    message = world.target.repo.git("log", "-1", "--format=%B", commit)
    return dict(re.findall(r"^(Run-Id|Workstream|Step|Attempt): (\S+)$", message, re.MULTILINE))


def _named(key: AttemptKey) -> dict[str, str]:
    return {"Run-Id": key.run_id, "Workstream": key.ws_id, "Step": key.step, "Attempt": str(key.attempt)}


# The world


def _repository(world: World) -> Iterator[str]:
    repo = world.target.repo
    checked = repo.git("fsck", "--strict", "--no-dangling", "--no-progress")
    if checked:
        yield f"git fsck says {checked}"
    if changed := repo.git("status", "--porcelain"):
        yield f"git status says {changed}"
    locks = [
        path for folder in (repo.path / ".git", world.target.state / "git") for path in folder.rglob("*.lock")
    ]
    if locks:
        yield f"stale locks: {locks}"


def _left_running(world: World) -> Iterator[str]:
    """What must be gone at the end of a run, without anybody cleaning up."""
    target = world.target
    if left := [*target.containers(), *target.volumes(), *(target.state / "scratch").iterdir()]:
        yield f"left running: {left}"


def _leftovers(world: World, told: Recorded) -> Iterator[str]:
    if left := [name for name in world.target.leftovers() if not _PROBE_OF_PYTHON.fullmatch(name)]:
        yield f"left behind: {left}"
    half_made = [
        path.name
        for path in (world.target.state / "bases").glob("*")
        if not re.fullmatch("[0-9a-f]+", path.name)
    ]
    half_made += [path.name for path in world.target.state.rglob("*.partial")]
    if half_made:
        yield f"half made: {half_made}"
    for name in (f"{told.run.run_id}_summary.json", f"{told.run.run_id}_summary.md"):
        if not (world.target.state / "reports" / name).is_file():
            yield f"there is no report {name}"
    folder = world.target.state / "worktrees" / told.run.run_id
    kept = {path.name for path in folder.glob("*")}
    if kept != {Path(one).name for one in world.target.worktrees()}:
        yield f"{kept} are in the folder of worktrees, git knows {world.target.worktrees()}"


def _questions(world: World) -> Iterator[str]:
    """No question twice, unless whoever asked it was killed before the answer had come."""
    for question, times in Counter(world.model.asked).items():
        if times > 1 + world.deaths:
            yield f"{times} times the same question was asked: {question}"
    yield from (f"asked again although the answer was on record: {one}" for one in world.asked_in_vain)
