"""What a sandbox on a Docker engine promises beyond test_sandbox.py: its seals, its limits, its leftovers."""

import threading
from pathlib import Path

import docker
import pytest

from runner.core.model import Limits, WsId
from runner.errors import ImageError
from runner.ports import Command, End
from runner.worktree.checkout import GitWorktrees
from tests.contract.conftest import DockerBench

pytestmark = pytest.mark.docker


def test_the_mark_of_a_removed_folder_cannot_be_forged(bench: DockerBench):
    """Else a command could make files vanish that it never touched."""
    forge = "import os; os.mkdir('src2'); os.setxattr('src', 'user.overlay.opaque', b'y')"
    assert bench.left_by(f'python3 -c "{forge}"') == []


def test_git_works_inside_on_a_directory_of_its_own(bench: DockerBench):
    ran = bench.shell(
        "git status --porcelain && git log --format=%s && echo x >> a.txt && git commit -qam c && git log -1 --format=%s"
    )
    assert (ran.exit_code, ran.stdout.text()) == (0, "Base\nc\n"), ran.stderr.text()
    assert bench.shell("git log --format=%s").stdout.text() == "Base\n"


def test_git_inside_cannot_reach_the_targets_directory(bench: DockerBench):
    ran = bench.shell("cat .git; rm -f .git; mv .git x; echo 'gitdir: /evil' > .git; cat .git")
    assert set(ran.stdout.text().split("\n")) == {"gitdir: /run/runner/git", ""}


def test_there_is_no_network_but_loopback(bench: DockerBench):
    ran = bench.shell("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; ls /run/door 2>/dev/null")
    assert ran.stdout.text() == "lo\n"


def test_the_command_is_an_ordinary_user_without_privileges(bench: DockerBench):
    ran = bench.shell(
        "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; touch /x; touch /etc/x"
    )
    uid, *status = ran.stdout.text().split()
    assert uid != "0"
    assert status == ["CapEff:0000000000000000", "NoNewPrivs:1", "Seccomp:2"]
    assert ran.stderr.text().count("Read-only file system") == 2


def test_nothing_of_our_environment_gets_in(bench: DockerBench):
    names = {line.split("=")[0] for line in bench.shell("env").stdout.text().splitlines()}
    assert names <= {
        "PATH", "HOME", "LANG", "TERM", "NO_COLOR", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE",
        "GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG_NOSYSTEM", "GIT_OPTIONAL_LOCKS", "HOSTNAME", "PWD", "SHLVL", "_", "OLDPWD",
    }  # fmt: skip


def test_a_command_that_hangs_is_killed_at_its_deadline(bench: DockerBench):
    ran = bench.shell("echo started; sleep 600", timeout_s=2.0)
    assert (ran.end, ran.stdout.text()) == (End.TIMEOUT, "started\n")
    assert ran.duration_s < 30


def test_a_command_that_ignores_signals_and_daemonizes_leaves_nothing_running(bench: DockerBench):
    bench.shell("trap '' TERM INT HUP; setsid sleep 600 & sleep 600", timeout_s=2.0)
    assert leftovers(bench) == ([], [])


def test_a_flood_of_output_is_cut_short_and_its_head_and_tail_are_kept(bench: DockerBench):
    ran = bench.shell("echo first; yes 0123456789", limits=Limits(memory_mb=256, output_bytes=20 << 20))
    assert ran.end is End.OUTPUT_LIMIT
    assert ran.stdout.head.startswith(b"first\n0123456789\n")
    assert ran.stdout.dropped > 10 << 20
    assert len(ran.stdout.head) + len(ran.stdout.tail) < 3 << 20


def test_memory_beyond_the_limit_ends_the_command_as_oom(bench: DockerBench):
    hog = "x = bytearray(900 * 1024 * 1024)"
    ran = bench.shell(f"python3 -c '{hog}'", limits=Limits(memory_mb=128))
    assert ran.end is End.OOM


def test_a_fork_bomb_is_contained(bench: DockerBench):
    bomb = "import os,time\nfor i in range(500):\n  try:\n    if os.fork() == 0: time.sleep(60)\n  except OSError: print('refused'); break"
    ran = bench.shell(f'python3 -c "{bomb}"', timeout_s=20.0, limits=Limits(memory_mb=256, pids=64))
    assert "refused" in ran.stdout.text()
    assert leftovers(bench) == ([], [])


def test_files_of_a_command_are_laid_beside_the_workspace(bench: DockerBench):
    with bench.sandboxes.open(bench.spec()) as sandbox:
        ran = sandbox.run(
            Command(argv=["cat", "/run/runner/job/task.json"], files={"task.json": "{'ü': 1}" * 100_000})
        )
        assert ran.stdout.text() == "{'ü': 1}" * 100_000
        assert sandbox.changes() == []


def test_a_cancelled_command_ends_at_once_and_says_so(bench: DockerBench):
    timer = threading.Timer(1.5, bench.sandboxes.cancel)
    timer.start()
    ran = bench.shell("sleep 600")
    timer.join()
    assert ran.end is End.CANCELLED


def test_a_leftover_of_the_same_name_makes_way(bench: DockerBench):
    spec = bench.spec()
    with bench.sandboxes.open(spec), bench.sandboxes.open(spec) as second:
        assert second.run(Command(argv=["true"])).exit_code == 0


def test_an_image_that_is_not_there_says_what_to_do(bench: DockerBench):
    with pytest.raises(ImageError) as caught, bench.sandboxes.open(bench.spec(image="no/such:image")):
        pass
    assert caught.value.hint == "Build it: runner build-images"
    assert leftovers(bench) == ([], [])


def test_reaping_removes_what_a_dead_process_left_and_nothing_of_others(bench: DockerBench, tmp_path: Path):
    client = docker.from_env()
    stranger = client.volumes.create(f"stranger-{tmp_path.name}", labels={"runner.owner": "someone else"})
    opened = bench.sandboxes.open(bench.spec())
    opened.__enter__()
    assert len(bench.sandboxes.reap()) == 1
    assert leftovers(bench) == ([], [])
    stranger.remove()  # raises when it is gone
    opened.__exit__(None, None, None)
    client.close()


def test_a_path_with_spaces_commas_and_colons_works(bench: DockerBench, tmp_path: Path):
    odd = GitWorktrees(bench.repository, tmp_path / "a,b:c d", uid=bench.worktree.uid)
    worktree = odd.checkout(WsId("ws-odd"), bench.repository.head())
    assert bench.shell("cat a.txt", worktree=worktree.path).stdout.text() == "one\n"
    assert bench.left_by("rm a.txt", worktree=worktree.path) == [("a.txt", "delete")]


def test_no_scratch_folder_stays(bench: DockerBench, tmp_path: Path):
    bench.shell("mkdir x; echo y > x/y; rm -r src; mkdir src")
    assert list((tmp_path / "scratch").iterdir()) == []


def leftovers(bench: DockerBench) -> tuple[list[str], list[str]]:
    """The names of the containers and volumes of this bench that are still there."""
    client = docker.APIClient()
    ours: dict[str, str | list[str] | bool] = {"label": f"runner.owner={bench.sandboxes._owner}"}
    found = (
        [name for container in client.containers(all=True, filters=ours) for name in container["Names"]],
        [volume["Name"] for volume in client.volumes(filters=ours)["Volumes"] or []],
    )
    client.close()
    return found
