"""Cleaning up: what is left over and may go, and its removal.

A thing is left over when a label or its place proves that it is ours and no run that is at work or could be
resumed needs it. All is decided first, so that a trial says what the real thing would do.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import groupby
from pathlib import Path

from runner.clock import iso
from runner.core.model import RunId, RunStatus, WsId
from runner.core.naming import salvage_ref
from runner.core.records import RunRecord
from runner.errors import RunnerError
from runner.git import Repository
from runner.layout import StateLayout
from runner.sandbox.leftovers import Labelled
from runner.sandbox.overlay import remove_scratch
from runner.worktree.salvage import GOING, remove_worktree, would_save


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that was found, and what became of it, or would."""

    kind: str
    name: str
    size: int = 0  # bytes on the disk of this machine
    saved: str = ""  # the reference that holds what would have been lost with it
    kept: str = ""  # why it stays
    failed: str = ""  # why it is still there although it should go


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that may go. `remove` raises RunnerError or OSError."""

    item: Item
    remove: Callable[[], object]


Found = Item | Leftover  # an Item is only told of


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """From when on what is left of ended runs is old."""

    now: datetime
    days: int

    def is_reached(self, moment: str) -> bool:
        """Of a moment as the database has it. In no days everything is old, whatever a clock once said."""
        return self.days == 0 or moment <= iso(self.now - timedelta(days=self.days))


def settle(found: Iterable[Found], *, dry_run: bool) -> Iterator[Item]:
    """Remove what may go; with `dry_run` only say so."""
    for one in found:
        match one:
            case Item():
                yield one
            case Leftover(item):
                yield item if dry_run else _removed(one)


def _removed(leftover: Leftover) -> Item:
    try:
        leftover.remove()
    except (RunnerError, OSError) as error:
        return _failed(leftover.item, error)
    return leftover.item


def _failed(item: Item, error: RunnerError | OSError) -> Item:
    told = f"{error.brief}: {error.details}".rstrip(": ") if isinstance(error, RunnerError) else str(error)
    return replace(item, saved="", failed=told)


class Standing(StrEnum):
    """Of a state folder that something on the engine belongs to."""

    AT_REST = "no run is at work there"
    AT_WORK = "a run is at work there"
    GONE = "there is no such folder"
    CLOSED = "it belongs to another user"
    NO_FOLDER = "it is not a state folder"


def on_engine(
    labelled: Sequence[Labelled],
    *,
    look_at: Callable[[str], AbstractContextManager[Standing]],
    remove: Callable[[Labelled], object],
) -> Iterator[Found]:
    """What dead runs left on the engine. A state folder is looked at once, for as long as its things are settled."""
    by_owner = sorted(labelled, key=lambda one: one.owner)  # stable: containers stay before volumes
    for owner, things in groupby(by_owner, key=lambda one: one.owner):
        with look_at(owner) as standing:
            match standing:
                case Standing.AT_REST:
                    yield from (_labelled(one, remove) for one in things)
                case Standing.GONE:
                    for one in things:
                        # Somebody who sees the folder from another place holds the input of what runs.
                        yield _kept(one, owner) if one.at_work else _labelled(one, remove)
                case _:
                    yield Item(kind="state folder", name=owner, kept=standing)


def _labelled(one: Labelled, remove: Callable[[Labelled], object]) -> Leftover:
    return Leftover(Item(kind=one.kind, name=one.name), partial(remove, one))


def _kept(one: Labelled, owner: str) -> Item:
    return Item(kind=one.kind, name=one.name, kept=f"it is in use, although {owner} cannot be seen here")


@contextmanager
def state_folder(owner: str) -> Iterator[Standing]:
    """How it stands with a state folder that may be anybody's. One that is at rest is locked meanwhile.

    Nothing is made there: a file of ours could keep its owner from running.
    """
    folder = Path(owner)
    if not folder.is_absolute():
        yield Standing.NO_FOLDER
        return
    try:
        lock = os.open(StateLayout(folder).lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield Standing.GONE
    except OSError:
        yield Standing.CLOSED
    else:
        try:
            yield _try_lock(lock)
        finally:
            os.close(lock)


def _try_lock(lock: int) -> Standing:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return Standing.AT_WORK
    return Standing.AT_REST


def in_state_folder(
    repository: Repository, layout: StateLayout, runs: Sequence[RunRecord], age: Age
) -> Iterator[Found]:
    """What runs left in the state folder of a repository. Its lock must be held."""
    for scratch in _entries(layout.scratch):
        yield _folder("scratch", scratch, layout, partial(remove_scratch, scratch))
    for base in _entries(layout.bases):
        yield _folder("base", base, layout, partial(_remove_base, base))
    yield from _of_runs(repository, layout, {run.run_id: run for run in runs}, age)


def _of_runs(
    repository: Repository, layout: StateLayout, runs: Mapping[RunId, RunRecord], age: Age
) -> Iterator[Found]:
    places = {name: layout.root / name for name in ("worktrees", "records", "logs")}
    there = sorted({RunId(entry.name) for place in places.values() for entry in _entries(place)})
    young = 0
    for run_id in there:
        run = runs.get(run_id)
        if run is not None and run.status in (RunStatus.PENDING, RunStatus.RUNNING):
            yield Item(kind="run", name=run_id, kept=_interrupted(run_id))
            continue
        old = [place / run_id for place in places.values() if _is_old(place / run_id, run, age)]
        young += not old
        for folder in old:
            if folder.parent == places["worktrees"]:
                yield from _worktrees(repository, layout, folder)
            else:
                yield _folder(folder.parent.name, folder, layout, partial(shutil.rmtree, folder))
    if young:
        why = (
            f"ended less than {age.days} days ago; --older-than DAYS removes their worktrees and logs sooner"
        )
        yield Item(kind="runs", name=str(young), kept=why)


def _interrupted(run_id: RunId) -> str:
    return f"it was interrupted: go on with `runner resume {run_id}`, or give it up with `runner abandon {run_id}`"


def _is_old(folder: Path, run: RunRecord | None, age: Age) -> bool:
    """By the end of the run; of a run that the database does not know, by the folder."""
    if not folder.is_dir():
        return False
    ended = run.updated_at if run else iso(datetime.fromtimestamp(folder.stat().st_mtime, UTC))
    return age.is_reached(ended)


def _worktrees(repository: Repository, layout: StateLayout, folder: Path) -> Iterator[Found]:
    run_id = RunId(folder.name)
    if not any(folder.iterdir()):
        yield _folder("worktree", folder, layout, folder.rmdir)
    for ws_id in sorted({WsId(entry.name.removesuffix(GOING)) for entry in _entries(folder)}):
        path = layout.worktree(run_id, ws_id)
        ref = f"{salvage_ref(run_id, ws_id)}-worktree"
        going = path.with_name(path.name + GOING)
        item = Item(
            kind="worktree",
            name=_name(path, layout),
            size=_size(path) + (_size(going) if going.exists() else 0),
        )
        try:
            saved = would_save(repository, path, ref) if path.is_dir() else None
        except (RunnerError, OSError) as error:
            yield _failed(item, error)
            continue
        yield Leftover(
            replace(item, saved=saved.ref if saved else ""),
            partial(_remove_worktree, repository, path, ref),
        )


def _remove_worktree(repository: Repository, path: Path, ref: str) -> None:
    remove_worktree(repository, path, ref)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()


def _remove_base(path: Path) -> None:
    """First under the name of a half-made one: a base that is half deleted must not be taken for a whole one."""
    half = path.with_name(f"{path.name[:12]}-{path.name[12:]}")
    shutil.rmtree(path.rename(half))


def _folder(kind: str, path: Path, layout: StateLayout, remove: Callable[[], object]) -> Leftover:
    return Leftover(Item(kind=kind, name=_name(path, layout), size=_size(path)), remove)


def _name(path: Path, layout: StateLayout) -> str:
    return path.relative_to(layout.root).as_posix()


def _entries(folder: Path) -> list[Path]:
    """The folders in a folder of ours. Files and links there are not ours."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())


def _size(folder: Path) -> int:
    places = [Path(place) / name for place, folders, names in os.walk(folder) for name in (*folders, *names)]
    return sum(path.lstat().st_blocks * 512 for path in places)
