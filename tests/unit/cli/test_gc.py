import gc
import json
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from runner.cli.gc import _human
from runner.cli.gc import gc as gc_command
from runner.cli.salvage import salvage
from runner.core.model import Commit, RunId, WsId
from runner.errors import UsageError
from runner.git import Repository, open_repository
from runner.layout import StateLayout
from runner.store.lock import locked
from runner.store.runs import open_store
from runner.worktree.checkout import GitWorktrees
from tests.builders import plan
from tests.conftest import GIT_ENV, GitRepo
from tests.fakes import FakeClock
from tests.unit.store.past import RUN

OTHER = RunId("01HUNKNOWN")

app = typer.Typer()
app.command("gc")(gc_command)
app.add_typer(salvage, name="salvage")


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What is on the engine is not a matter of these tests."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py forgets its socket when nobody answers
        yield
        gc.collect()


@pytest.fixture
def repository(git_repo: GitRepo, tmp_path: Path) -> Repository:
    return open_repository(git_repo.path, plumbing_dir=tmp_path / "plumbing", env=GIT_ENV)


@pytest.fixture
def layout(git_repo: GitRepo, repository: Repository) -> StateLayout:
    """A repository with an interrupted run, and a worktree of another that somebody worked in."""
    (git_repo.path / ".git" / "info" / "exclude").write_text("/.runner/\n")
    layout = StateLayout(git_repo.path / ".runner")
    with open_store(layout.db, FakeClock()) as store:
        store.create_run(RUN, plan("a"), base_commit=repository.head())
    layout.logs(RUN).mkdir(parents=True)
    path = (
        GitWorktrees(repository, layout.worktrees(OTHER), uid=None)
        .checkout(WsId("ws-a"), repository.head())
        .path
    )
    (path / "a.txt").write_text("by hand\n")
    return layout


def call(git_repo: GitRepo, *args: str) -> Result:
    return CliRunner().invoke(app, [*args, "--repo", str(git_repo.path)], catch_exceptions=False)


def test_what_was_done_is_told_for_a_person(git_repo: GitRepo, layout: StateLayout):
    ended = call(git_repo, "gc", "--older-than", "0")
    engine, worktree, run, last = ended.stdout.splitlines()[1:]
    assert engine.startswith("engine\tdocker\t\tFAILED: No container engine answers: ")
    assert worktree.startswith(f"worktree\tworktrees/{OTHER}/ws-a\t")
    assert worktree.endswith(f" KiB\tsaved as refs/runner/salvage/{OTHER}/ws-a-worktree")
    assert run.startswith(f"Kept: run {RUN}: it was interrupted: go on with `runner resume {RUN}`")
    assert last.startswith("Removed 1 of 2, ")
    assert not layout.worktrees(OTHER).exists()


def test_a_trial_tells_programs_the_same_and_changes_nothing(git_repo: GitRepo, layout: StateLayout):
    trial = call(git_repo, "gc", "--older-than", "0", "--dry-run", "--json")
    assert layout.worktrees(OTHER).exists()
    real = call(git_repo, "gc", "--older-than", "0", "--json")
    assert (trial.exit_code, real.exit_code) == (4, 4)  # the engine could not be asked
    told, done = json.loads(trial.stdout), json.loads(real.stdout)
    assert (told.pop("dry_run"), done.pop("dry_run")) == (True, False)
    assert told == done
    [worktree] = [item for item in done["items"] if item["kind"] == "worktree"]
    assert worktree == {
        "kind": "worktree",
        "name": f"worktrees/{OTHER}/ws-a",
        "action": "remove",
        "bytes": done["freed_bytes"],
        "saved": f"refs/runner/salvage/{OTHER}/ws-a-worktree",
        "reason": None,
        "failed": None,
    }


def test_what_is_young_stays_by_default(git_repo: GitRepo, layout: StateLayout):
    assert "runs 1: ended less than 14 days ago" in call(git_repo, "gc").stdout
    assert layout.worktrees(OTHER).exists()


def test_a_repository_where_a_run_is_at_work_is_left_alone(git_repo: GitRepo, layout: StateLayout):
    with locked(layout.lock):
        ended = call(git_repo, "gc", "--older-than", "0")
    assert f"Kept: state folder {layout.root}: a run is at work there\n" in ended.stdout
    assert layout.worktrees(OTHER).exists()


def test_a_repository_without_a_run_is_left_as_it_is(git_repo: GitRepo):
    call(git_repo, "gc")
    assert not (git_repo.path / ".runner").exists()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 50, "3072.0 TiB")],
)
def test_sizes_are_told_in_units_of_a_fitting_size(size: int, text: str):
    assert _human(size) == text


@pytest.fixture
def saved(git_repo: GitRepo, layout: StateLayout) -> Commit:
    """A commit of the recorded run that was saved; its subject would steer a terminal."""
    made = git_repo.commit({"new.txt": "n\n", "src/b.py": "B = 2\n"}, "Say \x1b[2J it")
    git_repo.git("update-ref", f"refs/runner/salvage/{RUN}/ws-a", made)
    git_repo.git("reset", "-q", "--hard", "HEAD~1")
    return Commit(made)


def test_what_was_saved_is_listed(git_repo: GitRepo, saved: Commit):
    names, row = call(git_repo, "salvage").stdout.splitlines()
    assert names == "REF\tDATE\tFILES\tSUBJECT"
    ref, date, files, subject = row.split("\t")
    assert (ref, files, subject) == (f"{RUN}/ws-a", "2", r"Say \x1b[2J it")
    assert datetime.fromisoformat(date) <= datetime.now(UTC)


def test_what_was_saved_is_listed_for_programs(git_repo: GitRepo, saved: Commit):
    [entry] = json.loads(call(git_repo, "salvage", "--json").stdout)
    assert (entry["ref"], entry["run_id"], entry["ws_id"], entry["commit"]) == (
        f"refs/runner/salvage/{RUN}/ws-a", RUN, "ws-a", saved,
    )  # fmt: skip
    assert entry["changed"] == [{"status": "A", "path": "new.txt"}, {"status": "M", "path": "src/b.py"}]


def test_of_a_run_that_is_not_recorded_the_files_are_not_known(git_repo: GitRepo, saved: Commit):
    git_repo.git("update-ref", f"refs/runner/salvage/{OTHER}/ws-a", saved)
    git_repo.git("update-ref", "-d", f"refs/runner/salvage/{RUN}/ws-a")
    [entry] = json.loads(call(git_repo, "salvage", "--json").stdout)
    assert entry["changed"] is None
    assert call(git_repo, "salvage").exit_code == 0


def test_a_saved_commit_is_shown_with_its_files(git_repo: GitRepo, saved: Commit):
    first, *files = call(git_repo, "salvage", "show", "ws-a").stdout.splitlines()
    assert first.startswith(saved[:12])
    assert first.endswith(r"Say \x1b[2J it")
    assert files == ["  A new.txt", "  M src/b.py"]


def test_a_saved_commit_becomes_a_branch(git_repo: GitRepo, saved: Commit):
    ended = call(git_repo, "salvage", "restore", "ws-a")
    assert ended.stdout == f"The branch salvage/ws-a is at {saved[:12]}: Say \\x1b[2J it\n"
    assert git_repo.git("rev-parse", "salvage/ws-a") == saved
    with pytest.raises(UsageError, match="exists already"):
        call(git_repo, "salvage", "restore", "ws-a")
    call(git_repo, "salvage", "restore", "ws-a", "--branch", "again")
    assert git_repo.git("rev-parse", "again") == saved


def test_nothing_saved_is_an_empty_list(git_repo: GitRepo):
    assert json.loads(call(git_repo, "salvage", "--json").stdout) == []
