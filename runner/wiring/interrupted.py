"""What can be done with runs besides running them: looking at those that were cut off, giving up, taking back."""

from collections.abc import Sequence
from dataclasses import dataclass

from runner.core.digest import read_bundle
from runner.core.events import Event, EventType
from runner.core.intents import Intent, IntentKind, IntentState
from runner.core.model import Bundle, Commit, RunId
from runner.core.naming import salvage_ref
from runner.core.records import RunRecord
from runner.errors import UsageError
from runner.git import Repository
from runner.recovery import Interrupted, abandon, detect_interrupted_runs, find_interrupted
from runner.store import queries
from runner.store.db import reading
from runner.store.lock import locked
from runner.store.runs import Store
from runner.wiring.reports import complete_reports, report
from runner.wiring.state import opened
from runner.wiring.target import Target
from runner.worktree.salvage import remove_worktree, save_commit

_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    run: RunRecord
    bundles: Sequence[Bundle]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    run_id: RunId
    saved: Sequence[str]  # references


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    run_id: RunId
    branches: dict[str, Commit | None]  # where they are again; None: they were not there
    moved: Sequence[str]  # branches that are not where the run put them
    saved: Sequence[str]


def interrupted_runs(target: Target) -> list[Interrupted]:
    """Runs that were cut off. Raises StoreError while another run is at work: then nobody can know."""
    if not target.layout.db.exists():
        return []
    with locked(target.layout.lock):
        complete_reports(target.layout)
        with reading(target.layout.db) as connection:
            return detect_interrupted_runs(connection)


def refuse_interrupted(target: Target) -> None:
    """Raise UsageError when a run was cut off: nobody should start another without knowing."""
    cut = interrupted_runs(target)
    if cut:
        run_id = cut[0].run.run_id
        raise UsageError(
            "A run in this repository was cut off, and is not done",
            details="\n".join(f"{one.run.run_id}, last heard of at {one.last_heard_of}" for one in cut),
            hint=f"Go on with it: runner resume {run_id}. Or give it up: runner abandon {run_id}. "
            "What it was doing: runner recover",
        )


def find_cut_off(target: Target, wanted: str | None) -> CutOff:
    """The run that was cut off, or the one that is named. Raises UsageError when there is none."""
    with reading(target.layout.db) as connection:
        known = queries.interrupted_runs(connection)
        if wanted is not None:
            run = queries.find_run(connection, wanted)
        elif known:
            run = known[0]
        else:
            raise UsageError("No run was cut off here", hint="Start one: runner run")
        rows = queries.workstreams(connection, run.run_id)
    return CutOff(run=run, bundles=[read_bundle(row.metadata) for row in rows])


def abandon_run(target: Target, wanted: str | None) -> GivenUp:
    """Give up a run that was cut off: its unfinished work is saved, and its worktrees go."""
    run_id = find_cut_off(target, wanted).run.run_id
    with opened(target) as place:
        cut = _cut_off(target, run_id)
        if cut is None:
            raise UsageError(
                f"Run {run_id} has ended already", hint="To take its branches back: runner rollback"
            )
        saved = _clear(target, cut.run)
        abandon(place.store, cut, reason="the run was given up by its user")
        report(target.layout, run_id)
    return GivenUp(run_id=run_id, saved=saved)


def roll_back(target: Target, wanted: str | None) -> RolledBack:
    """Put the branches of a run back to where they were, unless somebody moved them since; its worktrees go.

    Nothing is lost: what a branch held is saved first. Raises UsageError when one of them is checked out.
    """
    with opened(target) as place:
        with reading(target.layout.db) as connection:
            run = queries.find_run(connection, wanted)
            made = queries.intents(connection, run.run_id, kind=IntentKind.BRANCH)
        made = [intent for intent in made if intent.state is not IntentState.UNDONE]
        _refuse_checked_out(target.repository, made)
        saved = _clear(target, run)
        if cut := _cut_off(target, run.run_id):
            # Before the branches move: nobody may go on with what is half taken back.
            abandon(place.store, cut, reason="the run was rolled back by its user")
        branches: dict[str, Commit | None] = {}
        moved = []
        for intent in made:
            name = intent.key.removeprefix(_HEADS)
            old, new = Commit(intent.params["old"]) or None, Commit(intent.params["new"])
            if target.repository.ref(intent.key) == new:
                saved.append(save_commit(target.repository, salvage_ref(run.run_id, intent.ws_id), new).ref)
                target.repository.set_ref(intent.key, old, old=new)
            elif target.repository.ref(intent.key) != old:
                moved.append(name)
                continue
            branches[name] = old
            _record_undone(place.store, intent, old)
        report(target.layout, run.run_id)
    return RolledBack(run_id=run.run_id, branches=branches, moved=moved, saved=list(dict.fromkeys(saved)))


def _cut_off(target: Target, run_id: RunId) -> Interrupted | None:
    with reading(target.layout.db) as connection:
        return find_interrupted(connection, run_id)


def _refuse_checked_out(repository: Repository, made: Sequence[Intent]) -> None:
    in_use = sorted({intent.key.removeprefix(_HEADS) for intent in made} & set(repository.checked_out()))
    if in_use:
        raise UsageError(
            "Branches of the run are checked out",
            details=", ".join(in_use),
            hint="Check out another branch there first.",
        )


def _record_undone(store: Store, intent: Intent, old: Commit | None) -> None:
    payload = {"branch": intent.key.removeprefix(_HEADS), "from": intent.params["new"], "to": old}
    with store.transaction():
        store.settle(
            intent.run_id, intent.kind, intent.key, result=intent.params["new"], state=IntentState.UNDONE
        )
        store.clear_branch(intent.run_id, intent.ws_id)
        store.record(
            Event(type=EventType.ROLLED_BACK, run_id=intent.run_id, ws_id=intent.ws_id, payload=payload)
        )


def _clear(target: Target, run: RunRecord) -> list[str]:
    """Save what a run has besides its branches, and remove its worktrees; the references that were made."""
    repository, saved = target.repository, []
    with reading(target.layout.db) as connection:
        rows = queries.workstreams(connection, run.run_id)
    for row in rows:
        if row.base_commit is None:
            continue  # it never started
        if row.branch is None and row.candidate_commit and row.candidate_commit != row.base_commit:
            saved.append(
                save_commit(repository, salvage_ref(run.run_id, row.ws_id), row.candidate_commit).ref
            )
        path = target.layout.worktree(run.run_id, row.ws_id)
        kept = remove_worktree(repository, path, f"{salvage_ref(run.run_id, row.ws_id)}-worktree")
        saved += [kept.ref] if kept else []
    return list(dict.fromkeys(saved))
