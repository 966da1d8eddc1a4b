"""A disk that is full: the command sees it as any command does, and what we cannot do is raised, not guessed."""

from pathlib import Path

import pytest

from runner.core.model import WsId
from runner.errors import RunnerError, SandboxError
from runner.ports import Sandbox
from runner.sandbox.docker import sandbox_uid
from runner.worktree.checkout import GitWorktrees
from tests.contract.test_sandbox import INFO
from tests.faults.conftest import MakeBench, left

pytestmark = pytest.mark.docker

FILL = "head -c 8000000 /dev/zero > big"


def test_a_command_that_fills_the_disk_fails_by_itself(make_bench: MakeBench, small_disk: Path):
    bench = make_bench(small_disk / "scratch")
    changed: list[str] = []
    ran = bench.shell(FILL, lambda sandbox: changed.extend(change.path for change in sandbox.changes()))
    assert ran.exit_code != 0
    assert "No space left on device" in ran.stderr.text()
    assert changed == ["big"]
    assert (left(bench), list((small_disk / "scratch").iterdir())) == (([], []), [])


def test_a_scratch_folder_that_cannot_be_made_is_no_verdict(make_bench: MakeBench, small_disk: Path):
    bench = make_bench(small_disk / "scratch")
    for number in range(100):
        try:
            (small_disk / str(number)).touch()
        except OSError:
            break
    with pytest.raises(SandboxError) as caught:
        bench.shell("true")
    assert caught.value.brief == "Could not make the scratch folder of a sandbox"
    assert "No space left on device" in caught.value.details
    assert left(bench) == ([], [])


def test_a_checkout_without_room_accepts_nothing_and_works_again_later(
    make_bench: MakeBench, small_disk: Path
):
    bench = make_bench()
    worktrees = GitWorktrees(bench.repository, small_disk / "worktrees", uid=sandbox_uid())
    base = bench.repository.head()
    tight = worktrees.checkout(WsId("ws-tight"), base)

    def accept(sandbox: Sandbox) -> None:
        tight.accept(sandbox, sandbox.changes(), INFO)

    with pytest.raises((RunnerError, OSError)):
        bench.shell(FILL, accept, worktree=tight.path)
    assert left(bench) == ([], [])
    tight = worktrees.checkout(WsId("ws-tight"), base)
    bench.shell("echo two > a.txt", accept, worktree=tight.path)
    assert (tight.path / "a.txt").read_text() == "two\n"
