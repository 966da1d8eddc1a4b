import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from runner.clock import iso
from runner.core.model import Commit, RunId, RunStatus, WsId
from runner.core.records import RunRecord
from runner.errors import EngineError
from runner.gc import Age, Item, Leftover, Standing, in_state_folder, on_engine, settle, state_folder
from runner.git import Repository, open_repository
from runner.layout import StateLayout
from runner.sandbox.leftovers import Labelled
from runner.store.lock import locked
from runner.worktree.checkout import GitWorktrees
from runner.worktree.gitbase import git_base
from runner.worktree.salvaged import list_salvaged
from tests.conftest import GIT_ENV, GitRepo

NOW = datetime(2026, 5, 20, tzinfo=UTC)
OLD, YOUNG, CUT = RunId("01OLD"), RunId("01YOUNG"), RunId("01CUT")
A, B = WsId("ws-a"), WsId("ws-b")


def run(run_id: str, status: RunStatus, *, days: float) -> RunRecord:
    ended = iso(NOW - timedelta(days=days))
    return RunRecord(
        run_id=RunId(run_id),
        status=status,
        base_commit=Commit("b" * 40),
        plan_sha256="",
        created_at=ended,
        updated_at=ended,
        metadata={},
    )


RUNS = [
    run(OLD, RunStatus.PARTIAL, days=14),
    run(YOUNG, RunStatus.FAILED, days=13.9),
    run(CUT, RunStatus.RUNNING, days=99),
]


@dataclass
class Place:
    """A state folder with what three runs left: an old one, a young one, and one that was interrupted."""

    repository: Repository
    layout: StateLayout

    def worktree(self, run_id: RunId, ws_id: WsId) -> Path:
        worktrees = GitWorktrees(self.repository, self.layout.worktrees(run_id), uid=None)
        return worktrees.checkout(ws_id, self.repository.head()).path

    def clean(self, *, days: int = 14, dry_run: bool = False, runs: Sequence[RunRecord] = RUNS) -> list[Item]:
        age = Age(now=NOW, days=days)
        return list(settle(list(in_state_folder(self.repository, self.layout, runs, age)), dry_run=dry_run))

    def files(self) -> list[str]:
        return sorted(
            path.relative_to(self.layout.root).as_posix()
            for path in self.layout.root.rglob("*")
            if path.is_file() and not path.is_relative_to(self.layout.plumbing)
        )


@pytest.fixture
def place(git_repo: GitRepo) -> Place:
    layout = StateLayout(git_repo.path / ".runner")
    (git_repo.path / ".git" / "info" / "exclude").write_text("/.runner/\n")
    place = Place(open_repository(git_repo.path, plumbing_dir=layout.plumbing, env=GIT_ENV), layout)
    for run_id in (OLD, YOUNG, CUT):
        place.worktree(run_id, A)
        for folder in (layout.logs(run_id), layout.root / "records" / run_id):
            folder.mkdir(parents=True)
            (folder / "log").write_text("x" * 5000)
    layout.reports.mkdir()
    (layout.reports / f"{OLD}_summary.md").write_text("all of it")
    return place


def removed(items: Sequence[Item]) -> list[str]:
    return [item.name for item in items if not item.kept and not item.failed]


def kept(items: Sequence[Item]) -> dict[str, str]:
    return {item.name: item.kept for item in items if item.kept}


def test_what_old_runs_left_goes_and_their_reports_stay(git_repo, place):
    items = place.clean()
    assert removed(items) == [f"worktrees/{OLD}/ws-a", f"records/{OLD}", f"logs/{OLD}"]
    assert not place.layout.worktrees(OLD).exists()
    assert (place.layout.reports / f"{OLD}_summary.md").exists()
    assert f"/{OLD}/" not in git_repo.git("worktree", "list")
    assert [item.size for item in items if item.kind == "logs"] == [8192]


def test_what_young_runs_left_stays_and_that_is_said(place):
    items = place.clean()
    assert place.layout.worktree(YOUNG, A).exists()
    assert kept(items)["1"].startswith("ended less than 14 days ago;")
    assert f"logs/{YOUNG}" in removed(place.clean(days=13))


def test_no_days_means_every_run_that_has_ended_whatever_the_clock_said(place):
    runs = [replace(RUNS[1], updated_at="2030-01-01T00:00:00.000Z"), RUNS[2]]
    assert f"worktrees/{YOUNG}/ws-a" in removed(place.clean(days=0, runs=runs))


def test_an_interrupted_run_keeps_everything_and_the_ways_on_are_told(place):
    items = place.clean(days=0)
    assert place.layout.worktree(CUT, A).exists()
    assert (place.layout.logs(CUT) / "log").exists()
    assert (place.layout.root / "records" / CUT / "log").exists()
    assert f"runner resume {CUT}" in kept(items)[CUT]
    assert f"runner abandon {CUT}" in kept(items)[CUT]


def test_a_run_that_the_database_does_not_know_is_as_old_as_its_folder(place):
    for number, days in (("new", 1), ("old", 20)):
        folder = place.layout.logs(RunId(f"unknown-{number}"))
        folder.mkdir()
        moment = (NOW - timedelta(days=days)).timestamp()
        os.utime(folder, (moment, moment))
    assert [name for name in removed(place.clean()) if "unknown" in name] == ["logs/unknown-old"]


def test_work_in_a_worktree_is_saved_before_it_goes(git_repo, place):
    (place.layout.worktree(OLD, A) / "a.txt").write_text("by hand\n")
    [item] = [item for item in place.clean() if item.kind == "worktree"]
    assert item.saved == f"refs/runner/salvage/{OLD}/ws-a-worktree"
    assert git_repo.git("cat-file", "blob", f"{item.saved}:a.txt") == "by hand"


def test_a_trial_says_what_would_be_done_and_does_nothing(git_repo, place):
    (place.layout.worktree(OLD, A) / "a.txt").write_text("by hand\n")
    place.worktree(OLD, B)
    git_base(place.repository.plumbing, place.layout.bases, place.repository.head())
    before = place.files(), git_repo.git("for-each-ref"), git_repo.git("count-objects", "-v")
    trial = place.clean(dry_run=True)
    assert (place.files(), git_repo.git("for-each-ref"), git_repo.git("count-objects", "-v")) == before
    assert trial == place.clean()
    assert [item for item in trial if item.saved]


def test_nothing_is_found_the_second_time(place):
    place.clean(days=0)
    assert removed(place.clean(days=0)) == []


def test_layers_and_bases_go_also_half_made_and_half_deleted_ones(place):
    head = place.repository.head()
    git_base(place.repository.plumbing, place.layout.bases, head)
    for name in (f"{head[:12]}-x1y2z3", f"{head[:12]}-{head[12:]}"):
        (place.layout.bases / name).mkdir()
    locked_folder = place.layout.scratch / "runner-r-ws-a-edit-1-1" / "work" / "work"
    locked_folder.mkdir(parents=True)
    locked_folder.chmod(0)
    assert len([name for name in removed(place.clean()) if name.startswith(("bases/", "scratch/"))]) == 4
    assert list(place.layout.bases.iterdir()) == []
    assert list(place.layout.scratch.iterdir()) == []


def test_a_base_that_is_half_deleted_is_never_taken_for_a_whole_one(place, monkeypatch):
    head = place.repository.head()
    base = git_base(place.repository.plumbing, place.layout.bases, head)

    def killed(path: Path) -> None:
        (path / "gitfile").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            place.clean(runs=[], days=9999)
    assert git_base(place.repository.plumbing, place.layout.bases, head) == base
    assert (base / "gitfile").exists()


def test_what_cannot_be_removed_is_told_with_its_reason_and_the_rest_goes(place):
    inner = GitRepo(place.layout.worktree(OLD, A) / "x")
    inner.path.mkdir()
    inner.git("init", "-q")
    items = place.clean()
    [item] = [item for item in items if item.failed]
    assert item.name == f"worktrees/{OLD}/ws-a"
    assert item.failed == f"{inner.path.parent} holds repositories of their own: x"
    assert inner.path.exists()
    assert removed(items) == [f"records/{OLD}", f"logs/{OLD}"]


def test_files_and_links_that_are_not_ours_stay(place, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    for folder in (
        place.layout.logs(OLD).parent,
        place.layout.worktrees(OLD),
        place.layout.worktrees(OLD).parent,
    ):
        (folder / "link").symlink_to(outside)
        (folder / "note").touch()
    place.clean(days=0, runs=[])
    assert (outside / "precious").exists()
    assert (place.layout.worktrees(OLD) / "link").is_symlink()
    assert (place.layout.worktrees(OLD) / "note").exists()


def test_a_worktree_whose_removal_was_cut_off_goes_without_being_taken_for_work(git_repo, place):
    path = place.layout.worktree(OLD, A)
    (path / ".git").unlink()
    (path / "src" / "b.py").unlink()
    path.rename(path.with_name("ws-a.going"))
    [item] = [item for item in place.clean() if item.kind == "worktree"]
    assert (item.name, item.saved) == (f"worktrees/{OLD}/ws-a", "")
    assert not place.layout.worktrees(OLD).exists()
    assert list_salvaged(place.repository) == []
    assert f"/{OLD}/" not in git_repo.git("worktree", "list")


KILLED_AT = """
import os, shutil, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from runner.gc import Age, in_state_folder, settle
from runner.git import open_repository
from runner.layout import StateLayout

acts = 0
def counted(event, args):
    global acts
    if event in ("subprocess.Popen", "os.rename", "os.rmdir", "shutil.rmtree"):
        acts += 1
        if acts == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

layout = StateLayout(Path(sys.argv[1]) / ".runner")
repository = open_repository(Path(sys.argv[1]), plumbing_dir=layout.plumbing, env=dict(os.environ))
age = Age(now=datetime(2026, 5, 20, tzinfo=UTC), days=0)
found = list(in_state_folder(repository, layout, [], age))
sys.addaudithook(counted)
for item in settle(found, dry_run=False):
    assert not item.failed, item
"""


def test_killed_before_any_act_and_run_again_it_comes_to_the_same(place, git_repo, tmp_path):
    path = place.layout.worktree(OLD, A)
    (path / "a.txt").write_text("by hand\n")
    worktree = GitRepo(path)
    worktree.git("add", "a.txt")
    (path / "a.txt").write_text("by hand, later\n")
    for run_id in (YOUNG, CUT):
        place.clean(days=0, runs=[replace(RUNS[2], run_id=other) for other in {OLD, YOUNG, CUT} - {run_id}])
    (place.layout.bases / ("0" * 40) / "objects").mkdir(parents=True)
    seed = git_repo.path.rename(tmp_path / "seed")
    ref = f"refs/runner/salvage/{OLD}/ws-a-worktree"
    for act in count(1):
        shutil.copytree(seed, git_repo.path, symlinks=True)
        killed = subprocess.run([sys.executable, "-c", KILLED_AT, git_repo.path, str(act)], env=child_env())
        assert [item.failed for item in place.clean(days=0, runs=[]) if item.failed] == []
        assert git_repo.git("for-each-ref", "--format=%(refname)", "refs/runner") == ref
        assert git_repo.git("cat-file", "blob", f"{ref}:a.txt") == "by hand, later"
        assert git_repo.git("cat-file", "blob", f"{ref}^:a.txt") == "by hand"
        assert git_repo.git("worktree", "list").count("\n") == 0
        assert git_repo.git("fsck", "--no-dangling") == ""
        assert place.files() == [f"reports/{OLD}_summary.md"]
        shutil.rmtree(git_repo.path)
        if killed.returncode == 0:
            break
    assert act > 20, "too few acts were seen"


def child_env() -> dict[str, str]:
    return {**GIT_ENV, "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}


def labelled(owner: object, name: str = "c", *, at_work: bool = False) -> Labelled:
    return Labelled(kind="container", id=name, name=name, owner=str(owner), at_work=at_work)


def on(*things: Labelled, standing: Standing) -> tuple[list[Item], list[str]]:
    """What is told of things on the engine whose state folder is as given, and the names of those removed."""

    @contextmanager
    def look_at(owner: str) -> Iterator[Standing]:
        yield standing

    gone: list[str] = []
    items = settle(
        on_engine(things, look_at=look_at, remove=lambda one: gone.append(one.name)), dry_run=False
    )
    return list(items), gone


@pytest.mark.parametrize("at_work", [True, False])
def test_of_a_state_folder_that_we_hold_everything_goes(at_work):
    assert on(labelled("/x", at_work=at_work), standing=Standing.AT_REST)[1] == ["c"]


def test_of_a_folder_that_is_gone_what_runs_stays():
    items, gone = on(labelled("/x", "runs", at_work=True), labelled("/x", "dead"), standing=Standing.GONE)
    assert gone == ["dead"]
    assert kept(items) == {"runs": "it is in use, although /x cannot be seen here"}


@pytest.mark.parametrize("standing", [Standing.AT_WORK, Standing.CLOSED, Standing.NO_FOLDER])
def test_of_other_folders_nothing_goes_and_each_is_told_once(standing):
    items, gone = on(labelled("/x", "one"), labelled("/x", "two"), standing=standing)
    assert gone == []
    assert [(item.kind, item.name, item.kept) for item in items] == [("state folder", "/x", str(standing))]


def test_a_refusal_of_the_engine_is_told_and_the_rest_goes():
    def remove(one: Labelled) -> None:
        if one.name == "bad":
            raise EngineError("It would not", details="it is busy")

    @contextmanager
    def look_at(owner: str) -> Iterator[Standing]:
        yield Standing.AT_REST

    found = on_engine([labelled("/x", "bad"), labelled("/x", "good")], look_at=look_at, remove=remove)
    assert [item.failed for item in settle(found, dry_run=False)] == ["It would not: it is busy", ""]


def test_a_folder_stays_locked_while_its_things_are_removed(tmp_path):
    root = state(tmp_path)
    seen: list[bool] = []

    def remove(_: Labelled) -> None:
        with state_folder(str(root)) as standing:
            seen.append(standing is Standing.AT_WORK)

    found = on_engine([labelled(root)], look_at=state_folder, remove=remove)
    assert removed(list(settle(found, dry_run=False))) == ["c"]
    assert seen == [True]
    with state_folder(str(root)) as standing:
        assert standing is Standing.AT_REST


def state(tmp_path: Path) -> Path:
    root = tmp_path / "repo" / ".runner"
    with locked(StateLayout(root).lock):
        return root


def test_a_folder_whose_lock_is_held_is_at_work(tmp_path):
    root = state(tmp_path)
    with locked(StateLayout(root).lock), state_folder(str(root)) as standing:
        assert standing is Standing.AT_WORK


def test_a_folder_that_is_not_there_is_gone_and_is_not_made(tmp_path):
    (tmp_path / "file").touch()
    for owner in (tmp_path / "none" / ".runner", tmp_path / "file" / ".runner"):
        with state_folder(str(owner)) as standing:
            assert standing is Standing.GONE
        assert not owner.exists()


def test_a_label_that_names_no_folder_is_not_followed(tmp_path, monkeypatch):
    state(tmp_path)
    monkeypatch.chdir(tmp_path / "repo")
    for owner in ("", ".runner", "test-0123"):
        with state_folder(owner) as standing:
            assert standing is Standing.NO_FOLDER


def test_a_lock_that_is_a_pipe_or_a_link_is_not_opened(tmp_path):
    root = state(tmp_path)
    lock = StateLayout(root).lock
    lock.rename(tmp_path / "real")
    lock.symlink_to(tmp_path / "real")
    with state_folder(str(root)) as standing:
        assert standing is Standing.CLOSED
    lock.unlink()
    os.mkfifo(lock)
    with state_folder(str(root)):
        pass  # it comes back


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach."""
    with tempfile.TemporaryDirectory(prefix="runner-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_that_we_may_not_enter_is_closed(open_folder):
    root = state(open_folder)
    root.chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    try:
        with state_folder(str(root)) as standing:
            assert standing is Standing.CLOSED
    finally:
        os.seteuid(os.getuid())
        root.chmod(0o700)


def test_a_trial_removes_nothing():
    def remove() -> None:
        pytest.fail("it was removed")

    item = Item(kind="container", name="c")
    assert list(settle([Leftover(item, remove)], dry_run=True)) == [item]
