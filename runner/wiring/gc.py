"""Cleaning up after runs: where things may be left over, and under which locks they are looked at."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path

from runner.clock import SystemClock
from runner.config import load_settings
from runner.core.records import RunRecord
from runner.errors import EngineError, StoreError
from runner.gateway.folder import abandoned_folders, remove_abandoned
from runner.gc import Age, Item, Leftover, Standing, in_state_folder, on_engine, settle, state_folder
from runner.git import open_repository
from runner.layout import StateLayout
from runner.sandbox.docker import connect
from runner.sandbox.leftovers import list_labelled, remove_labelled
from runner.store import queries
from runner.store.db import reading
from runner.store.lock import locked
from runner.wiring.reports import complete_reports


def clean_up(
    top: Path | None, *, env: Mapping[str, str], older_than: int | None, dry_run: bool
) -> Iterator[Item]:
    """Clean up a repository (None: none) and what dead runs of any repository left on the engine.

    What could not be removed is among the items; RunnerError is raised when nothing can be known.
    """
    settings = load_settings(repo=top, env=env).settings
    days = settings.gc.keep_days if older_than is None else older_than
    layout = StateLayout(settings.paths.state)
    with ExitStack() as locks:
        own = Standing.GONE if top is None or not layout.root.is_dir() else _lock(layout, locks)
        yield from _on_engine(layout, own, dry_run=dry_run)
        yield from settle(map(_sockets, abandoned_folders()), dry_run=dry_run)
        if top is not None and own is Standing.AT_REST:
            repository = open_repository(top, plumbing_dir=layout.plumbing, env=env)
            if not dry_run:
                repository.plumbing.clear_scratch()
                complete_reports(layout)
            age = Age(now=SystemClock().now(), days=days)
            yield from settle(list(in_state_folder(repository, layout, _runs(layout), age)), dry_run=dry_run)


def _lock(layout: StateLayout, locks: ExitStack) -> Standing:
    try:
        locks.enter_context(locked(layout.lock))
    except StoreError:
        return Standing.AT_WORK
    return Standing.AT_REST


def _on_engine(layout: StateLayout, own: Standing, *, dry_run: bool) -> Iterator[Item]:
    root = str(layout.root.resolve())
    if own is Standing.AT_WORK:
        yield Item(kind="state folder", name=root, kept=own)

    def look_at(owner: str) -> AbstractContextManager[Standing]:
        return nullcontext(own) if owner == root and own is not Standing.GONE else state_folder(owner)

    try:
        client = connect()
    except EngineError as error:
        yield Item(kind="engine", name="docker", failed=f"{error.brief}: {error.details}")
        return
    with closing(client):
        listed = list_labelled(client)
        if own is Standing.AT_WORK:
            listed = [one for one in listed if one.owner != root]  # said already
        found = on_engine(listed, look_at=look_at, remove=partial(remove_labelled, client))
        yield from settle(found, dry_run=dry_run)


def _sockets(folder: Path) -> Leftover:
    return Leftover(Item(kind="sockets", name=str(folder)), partial(remove_abandoned, folder))


def _runs(layout: StateLayout) -> Sequence[RunRecord]:
    if not layout.db.exists():
        return []
    with reading(layout.db) as connection:
        return queries.all_runs(connection)
