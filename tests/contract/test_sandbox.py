"""What every kind of sandbox must promise; here, the one on a Docker engine."""

import threading
from pathlib import Path

import docker
import pytest

from runner.core.model import Limits
from runner.errors import ImageError
from runner.ports import Command, End, Sandbox
from tests.contract.conftest import Bench

pytestmark = pytest.mark.docker


def left(sandbox: Sandbox) -> list[tuple[str, str]]:
    return [(change.path, change.kind) for change in sandbox.changes()]


def test_a_command_sees_the_candidate_and_its_output_and_exit_code_come_back(bench: Bench):
    ran = bench.shell("cat a.txt; echo oops >&2; exit 3")
    assert (ran.end, ran.exit_code, ran.stdout.text(), ran.stderr.text()) == (
        End.EXITED,
        3,
        "one\n",
        "oops\n",
    )


def test_what_a_command_changes_is_found_and_the_checkout_is_untouched(bench: Bench):
    found: list[tuple[str, str]] = []
    script = (
        "rm a.txt; echo 'B = 2' > src/b.py; mkdir -p 'new dir'; echo x > 'new dir/ü.txt'; ln -s b.py src/l;"
        "printf x > t && mv t 'renamed'; chmod 755 src/b.py; touch src"
    )
    bench.shell(script, lambda sandbox: found.extend(left(sandbox)))
    assert found == [
        ("a.txt", "delete"),
        ("new dir/ü.txt", "add"),
        ("renamed", "add"),
        ("src/b.py", "modify"),
        ("src/l", "symlink"),
    ]
    assert (bench.worktree.path / "a.txt").read_text() == "one\n"


def test_a_removed_and_remade_folder_deletes_what_it_does_not_hold(bench: Bench):
    found: list[tuple[str, str]] = []
    script = "rm -r src; mkdir src; echo new > src/n.py"
    bench.shell(script, lambda sandbox: found.extend(left(sandbox)))
    assert found == [("src/b.py", "delete"), ("src/n.py", "add")]


def test_the_mark_of_a_removed_folder_cannot_be_forged(bench: Bench):
    """Else a command could make files vanish that it never touched."""
    found: list[tuple[str, str]] = []
    forge = "import os; os.mkdir('src2'); os.setxattr('src', 'user.overlay.opaque', b'y')"
    bench.shell(f'python3 -c "{forge}"', lambda sandbox: found.extend(left(sandbox)))
    assert found == []


def test_each_sandbox_starts_from_the_candidate_again(bench: Bench):
    bench.shell("echo changed > a.txt; echo x > left")
    assert bench.shell("cat a.txt; ls").stdout.text() == "one\na.txt\nsrc\n"


def test_git_works_inside_on_a_directory_of_its_own(bench: Bench):
    ran = bench.shell(
        "git status --porcelain && git log --format=%s && echo x >> a.txt && git commit -qam c && git log -1 --format=%s"
    )
    assert (ran.exit_code, ran.stdout.text()) == (0, "Base\nc\n"), ran.stderr.text()
    assert bench.shell("git log --format=%s").stdout.text() == "Base\n"


def test_git_inside_cannot_reach_the_targets_directory(bench: Bench):
    ran = bench.shell("cat .git; rm -f .git; mv .git x; echo 'gitdir: /evil' > .git; cat .git")
    assert set(ran.stdout.text().split("\n")) == {"gitdir: /run/runner/git", ""}


def test_there_is_no_network_but_loopback(bench: Bench):
    ran = bench.shell("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; ls /run/door 2>/dev/null")
    assert ran.stdout.text() == "lo\n"


def test_the_command_is_an_ordinary_user_without_privileges(bench: Bench):
    ran = bench.shell(
        "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; touch /x; touch /etc/x"
    )
    uid, *status = ran.stdout.text().split()
    assert uid != "0"
    assert status == ["CapEff:0000000000000000", "NoNewPrivs:1", "Seccomp:2"]
    assert ran.stderr.text().count("Read-only file system") == 2


def test_nothing_of_our_environment_gets_in(bench: Bench):
    names = {line.split("=")[0] for line in bench.shell("env").stdout.text().splitlines()}
    assert names <= {
        "PATH", "HOME", "LANG", "TERM", "NO_COLOR", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE",
        "GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG_NOSYSTEM", "GIT_OPTIONAL_LOCKS", "HOSTNAME", "PWD", "SHLVL", "_", "OLDPWD",
    }  # fmt: skip


def test_a_command_that_hangs_is_killed_at_its_deadline(bench: Bench):
    ran = bench.shell("echo started; sleep 600", timeout_s=2.0)
    assert (ran.end, ran.stdout.text()) == (End.TIMEOUT, "started\n")
    assert ran.duration_s < 30


def test_a_command_that_ignores_signals_and_daemonizes_leaves_nothing_running(bench: Bench):
    bench.shell("trap '' TERM INT HUP; setsid sleep 600 & sleep 600", timeout_s=2.0)
    assert leftovers(bench) == ([], [])


def test_a_flood_of_output_is_cut_short_and_its_head_and_tail_are_kept(bench: Bench):
    ran = bench.shell("echo first; yes 0123456789", limits=Limits(memory_mb=256, output_bytes=20 << 20))
    assert ran.end is End.OUTPUT_LIMIT
    assert ran.stdout.head.startswith(b"first\n0123456789\n")
    assert ran.stdout.dropped > 10 << 20
    assert len(ran.stdout.head) + len(ran.stdout.tail) < 3 << 20


def test_undecodable_output_is_replaced(bench: Bench):
    assert bench.shell("printf '\\377\\376ok\\n'").stdout.text() == "\ufffd\ufffdok\n"


def test_memory_beyond_the_limit_ends_the_command_as_oom(bench: Bench):
    hog = "x = bytearray(900 * 1024 * 1024)"
    ran = bench.shell(f"python3 -c '{hog}'", limits=Limits(memory_mb=128))
    assert ran.end is End.OOM


def test_a_fork_bomb_is_contained(bench: Bench):
    bomb = "import os,time\nfor i in range(500):\n  try:\n    if os.fork() == 0: time.sleep(60)\n  except OSError: print('refused'); break"
    ran = bench.shell(f'python3 -c "{bomb}"', timeout_s=20.0, limits=Limits(memory_mb=256, pids=64))
    assert "refused" in ran.stdout.text()
    assert leftovers(bench) == ([], [])


def test_a_missing_command_is_a_result_not_an_error(bench: Bench):
    with bench.sandboxes.open(bench.spec()) as sandbox:
        ran = sandbox.run(Command(argv=["no-such-tool"]))
    assert ran.exit_code == 127
    assert "no-such-tool" in ran.stderr.text()


def test_files_of_a_command_are_laid_beside_the_workspace(bench: Bench):
    with bench.sandboxes.open(bench.spec()) as sandbox:
        ran = sandbox.run(
            Command(argv=["cat", "/run/runner/job/task.json"], files={"task.json": "{'ü': 1}" * 100_000})
        )
        assert ran.stdout.text() == "{'ü': 1}" * 100_000
        assert sandbox.changes() == []


def test_a_cancelled_command_ends_at_once_and_says_so(bench: Bench):
    timer = threading.Timer(1.5, bench.sandboxes.cancel)
    timer.start()
    ran = bench.shell("sleep 600")
    timer.join()
    assert ran.end is End.CANCELLED
    assert bench.shell("sleep 600").end is End.CANCELLED, "nothing starts after a cancellation"


def test_git_ignored_leftovers_are_left_out(bench: Bench):
    found: list[tuple[str, str]] = []
    (bench.worktree.path / ".gitignore").write_text("*.pyc\n/build/\n")
    script = "touch x.pyc src/y.pyc z.txt; mkdir build; touch build/o"
    bench.shell(script, lambda sandbox: found.extend(left(sandbox)))
    assert found == [("z.txt", "add")]


def test_accepted_content_is_what_the_command_wrote(bench: Bench):
    content: dict[str, bytes] = {}

    def read(sandbox: Sandbox) -> None:
        content.update({change.path: sandbox.content(change) for change in sandbox.changes()})

    bench.shell("printf 'a\\r\\n\\000b' > bin; ln -s bin link", read)
    assert content == {"bin": b"a\r\n\0b", "link": b"bin"}


def test_a_leftover_of_the_same_name_makes_way(bench: Bench):
    spec = bench.spec()
    with bench.sandboxes.open(spec), bench.sandboxes.open(spec) as second:
        assert second.run(Command(argv=["true"])).exit_code == 0


def test_an_image_that_is_not_there_says_what_to_do(bench: Bench):
    with pytest.raises(ImageError) as caught, bench.sandboxes.open(bench.spec(image="no/such:image")):
        pass
    assert caught.value.hint == "Build it: runner build-images"
    assert leftovers(bench) == ([], [])


def test_reaping_removes_what_a_dead_process_left_and_nothing_of_others(bench: Bench, tmp_path: Path):
    client = docker.from_env()
    stranger = client.volumes.create(f"stranger-{tmp_path.name}", labels={"runner.owner": "someone else"})
    opened = bench.sandboxes.open(bench.spec())
    opened.__enter__()
    assert len(bench.sandboxes.reap()) == 1
    assert leftovers(bench) == ([], [])
    assert client.volumes.get(stranger.name)
    stranger.remove()
    opened.__exit__(None, None, None)
    client.close()


def test_a_path_with_spaces_commas_and_colons_works(bench: Bench, tmp_path: Path):
    from runner.worktree.checkout import GitWorktrees

    odd = GitWorktrees(bench.repository, tmp_path / "a,b:c d", uid=bench.worktree.uid)
    worktree = odd.checkout("ws-odd", bench.repository.head())
    found: list[tuple[str, str]] = []
    ran = bench.shell("cat a.txt; rm a.txt", lambda s: found.extend(left(s)), worktree=worktree.path)
    assert (ran.stdout.text(), found) == ("one\n", [("a.txt", "delete")])


def test_no_scratch_folder_stays(bench: Bench, tmp_path: Path):
    bench.shell("mkdir x; echo y > x/y; rm -r src; mkdir src")
    assert list((tmp_path / "scratch").iterdir()) == []


def leftovers(bench: Bench) -> tuple[list[str], list[str]]:
    client = docker.from_env()
    ours = {"label": f"runner.owner={bench.sandboxes._owner}"}
    found = (
        [container.name for container in client.containers.list(all=True, filters=ours)],
        [volume.name for volume in client.volumes.list(filters=ours)],
    )
    client.close()
    return found
