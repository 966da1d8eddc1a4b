import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pytest

from runner.errors import ExitCode, UnusableError
from runner.slots import Slots, default_folder, default_limit

NOBODY = 65534
STEPS = {b"+": 1, b"-": -1}

HOLDER = """
import os, sys, threading
from pathlib import Path
from runner.slots import Slots

folder, limit, umask, user = Path(sys.argv[1]), *map(int, sys.argv[2:])
os.umask(umask)
if user:
    os.setuid(user)
with Slots(folder, limit).hold(threading.Event()):
    print("held", flush=True)
    sys.stdin.read()
"""

WORKER = """
import os, sys, threading, time
from pathlib import Path
from runner.slots import Slots

folder, limit, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
journal = os.open(sys.argv[4], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
slots = Slots(folder, limit)
for _ in range(rounds):
    with slots.hold(threading.Event()):
        os.write(journal, b"+")
        time.sleep(0.01)
        os.write(journal, b"-")
"""


PARENT = """
import subprocess, sys, threading
from pathlib import Path
from runner.slots import Slots

with Slots(Path(sys.argv[1]), 1).hold(threading.Event()):
    subprocess.run(["sh", "-c", "echo lives; cat"], close_fds=False)
"""


class Holder:
    """A process that waits for a place, and holds it until it is told to leave."""

    def __init__(self, folder: Path, *, limit: int = 1, umask: int = 0o022, user: int = 0) -> None:
        words = [str(folder), str(limit), str(umask), str(user)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def wait_for_place(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def leave(self) -> None:
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)


@contextmanager
def holders(*started: Holder) -> Iterator[list[Holder]]:
    """A list of processes, of which none survives."""
    running = list(started)
    try:
        yield running
    finally:
        for holder in running:
            holder.kill()


def wait_until_there_are(tickets: int, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not folder.is_dir() or len(list(folder.iterdir())) != tickets:
        assert time.monotonic() < deadline, f"not {tickets} tickets"
        time.sleep(0.005)


def queue_up(running: list[Holder], count: int, folder: Path, *, limit: int = 1) -> None:
    """Start processes, each when the one before stands in the queue."""
    for _ in range(count):
        running.append(Holder(folder, limit=limit))
        wait_until_there_are(len(running), folder)


def is_free(folder: Path, limit: int, *, patience_s: float = 60) -> bool:
    """Whether a place can be had."""
    stop = threading.Event()
    patience = threading.Timer(patience_s, stop.set)
    patience.start()
    try:
        with Slots(folder, limit).hold(stop) as held:
            return held
    finally:
        patience.cancel()


def is_taken(folder: Path, limit: int) -> bool:
    """Whether no place could be had in some looks at the queue."""
    return not is_free(folder, limit, patience_s=0.3)


def most_at_once(journal: bytes) -> int:
    return max(accumulate(STEPS[journal[i : i + 1]] for i in range(len(journal))))


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_processes_never_hold_more_places_than_the_limit(tmp_path: Path, limit: int):
    words = [str(tmp_path / "slots"), str(limit), "8", str(tmp_path / "journal")]
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, *words]) for _ in range(6)]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * 6
    journal = (tmp_path / "journal").read_bytes()
    assert (journal.count(b"+"), journal.count(b"-")) == (48, 48)
    assert most_at_once(journal) <= limit
    assert list((tmp_path / "slots").iterdir()) == []


def test_threads_of_one_process_never_hold_more_places_than_the_limit(tmp_path: Path):
    slots, journal = Slots(tmp_path / "slots", 3), bytearray()

    def take_turns(_: int) -> None:
        for _ in range(5):
            with slots.hold(threading.Event()) as held:
                assert held
                journal.extend(b"+")
                time.sleep(0.01)
                journal.extend(b"-")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take_turns, range(8)))
    assert journal.count(b"+") == 40
    assert most_at_once(bytes(journal)) <= 3


def test_who_arrives_at_the_same_moment_gets_a_ticket_of_his_own(tmp_path: Path):
    slots, journal = Slots(tmp_path, 8), bytearray()

    def come_and_go(_: int) -> None:
        for _ in range(40):
            with slots.hold(threading.Event()):
                journal.extend(b"+")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(8)))
    assert len(journal) == 8 * 40


def test_all_places_can_be_held_at_once(tmp_path: Path):
    slots, all_there = Slots(tmp_path, 3), threading.Barrier(3, timeout=60)

    def meet(_: int) -> None:
        with slots.hold(threading.Event()):
            all_there.wait()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(meet, range(3)))


def test_places_are_given_in_the_order_of_arrival(tmp_path: Path):
    folder = tmp_path / "slots"
    with holders() as running:
        queue_up(running, 5, folder)
        for holder, later in zip(running, [*running[1:], None], strict=True):
            holder.wait_for_place()
            if later is not None:
                os.set_blocking(later.process.stdout.fileno(), False)  # type: ignore[union-attr]
                assert later.process.stdout.read() is None  # type: ignore[union-attr]
                os.set_blocking(later.process.stdout.fileno(), True)  # type: ignore[union-attr]
            holder.leave()


def test_who_comes_later_does_not_overtake_when_several_places_get_free(tmp_path: Path):
    folder = tmp_path / "slots"
    with holders() as running:
        queue_up(running, 5, folder, limit=2)
        for holder in running[:2]:
            holder.wait_for_place()
            holder.leave()
        for holder in running[2:4]:
            holder.wait_for_place()
        assert is_taken(folder, 2)
        running[2].leave()
        running[4].wait_for_place()


def test_a_killed_holder_frees_its_place(tmp_path: Path):
    folder = tmp_path / "slots"
    with holders() as running:
        queue_up(running, 2, folder)
        running[0].wait_for_place()
        running[0].kill()
        running[1].wait_for_place()
        assert [ticket.name for ticket in folder.iterdir()] == ["2"]


def test_a_killed_waiter_does_not_block_those_behind_it(tmp_path: Path):
    folder = tmp_path / "slots"
    with holders() as running:
        queue_up(running, 3, folder)
        running[1].kill()
        assert is_taken(folder, 1)
        running[0].leave()
        running[2].wait_for_place()


def test_a_ticket_whose_owner_died_before_it_was_locked_is_cleared_away(tmp_path: Path):
    (tmp_path / "7").touch()
    with Slots(tmp_path, 1).hold(threading.Event()) as held:
        assert held
        assert [ticket.name for ticket in tmp_path.iterdir()] == ["8"]


def test_each_run_counts_those_before_it_against_its_own_limit(tmp_path: Path):
    folder = tmp_path / "slots"
    with holders() as running:
        queue_up(running, 2, folder, limit=3)
        for holder in running:
            holder.wait_for_place()
        assert is_taken(folder, 2)
        assert is_free(folder, 3)


def test_stop_ends_the_waiting_and_leaves_the_queue(tmp_path: Path):
    slots, stop = Slots(tmp_path, 1), threading.Event()

    def wait_in_vain() -> tuple[bool, int]:
        with slots.hold(stop) as held:
            return held, len(list(tmp_path.iterdir()))

    with ThreadPoolExecutor(1) as pool, slots.hold(threading.Event()):
        waiting = pool.submit(wait_in_vain)
        wait_until_there_are(2, tmp_path)
        assert not waiting.done()
        stop.set()
        assert waiting.result(timeout=60) == (False, 1)


def test_stop_ends_the_waiting_for_a_process_that_hangs_while_it_draws_a_ticket(tmp_path: Path):
    script = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as hanging:
        assert hanging.stdout is not None
        hanging.stdout.readline()
        assert is_taken(tmp_path, 1)
        hanging.kill()
    assert is_free(tmp_path, 1)


def test_who_is_stopped_already_gets_no_place(tmp_path: Path):
    stop = threading.Event()
    stop.set()
    with Slots(tmp_path, 1).hold(stop) as held:
        assert not held
        assert list(tmp_path.iterdir()) == []


def test_a_failure_inside_flies_as_it_is_and_frees_the_place(tmp_path: Path):
    slots = Slots(tmp_path, 1)
    with pytest.raises(FileNotFoundError, match="mine"), slots.hold(threading.Event()):
        raise FileNotFoundError("mine")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_frees_its_place_although_what_it_started_lives_on(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"lives\n"
        assert is_taken(tmp_path, 1)
        parent.kill()
        parent.wait()
        assert is_free(tmp_path, 1)
        output, _ = parent.communicate(b"still\n", timeout=60)
        assert output == b"still\n"


def test_places_can_be_had_again_when_the_folder_was_deleted(tmp_path: Path):
    slots = Slots(tmp_path / "slots", 1)
    (tmp_path / "slots").rmdir()
    with slots.hold(threading.Event()) as held:
        assert held


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_other_users_can_join_whatever_our_umask(tmp_path: Path):
    folder = tmp_path / "slots"
    with holders(Holder(folder, umask=0o077)) as (holder,):
        holder.wait_for_place()
        assert (mode(folder), mode(folder / "1")) == (0o1777, 0o644)


def test_the_mode_of_a_folder_that_was_there_is_left_alone(tmp_path: Path):
    folder = tmp_path / "slots"
    folder.mkdir(mode=0o700)
    Slots(folder, 1)
    assert mode(folder) == 0o700


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user reaches, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@as_root
@pytest.mark.parametrize("users", [(0, NOBODY), (NOBODY, 0)])
def test_users_wait_for_each_other(shared: Path, users: tuple[int, int]):
    folder = shared / "slots"
    with holders() as running:
        for user in users:
            running.append(Holder(folder, umask=0o077, user=user))
            wait_until_there_are(len(running), folder)
        running[0].wait_for_place()
        assert is_taken(folder, 1)
        running[0].leave()
        running[1].wait_for_place()


@as_root
def test_a_dead_ticket_of_another_user_takes_no_place(shared: Path):
    (shared / "1").touch()
    (shared / "2").touch(mode=0o600)
    with holders(Holder(shared, user=NOBODY)) as (holder,):
        holder.wait_for_place()
        assert sorted(ticket.name for ticket in shared.iterdir()) == ["1", "2", "3"]


@as_root
@pytest.mark.parametrize(("bits", "refused"), [(0o777, True), (0o1777, False)])
def test_a_folder_of_another_user_must_be_sticky(shared: Path, bits: int, refused: bool):
    folder = shared / "slots"
    folder.mkdir()
    os.chown(folder, NOBODY, -1)
    folder.chmod(bits)
    if refused:
        with pytest.raises(UnusableError) as caught:
            Slots(folder, 1)
        assert caught.value.details == "It belongs to another user, and has no sticky bit."
    else:
        Slots(folder, 1)


@as_root
def test_a_folder_that_may_not_be_written_to_is_refused(shared: Path):
    shared.chmod(0o755)
    script = (
        "import os, sys; from pathlib import Path; from runner.errors import UnusableError; "
        "from runner.slots import Slots; os.setuid(65534)\n"
        "try: Slots(Path(sys.argv[1]), 1)\n"
        "except UnusableError as error: print(error.details)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(shared)], capture_output=True, check=True)
    assert done.stdout == b"It may not be read and written by this user.\n"


def test_a_folder_that_cannot_be_used_names_the_setting(tmp_path: Path):
    with pytest.raises(UnusableError) as caught:
        Slots(tmp_path / "no" / "slots", 1)
    error = caught.value
    assert (error.brief, error.details, error.hint, error.exit_code) == (
        f"The folder in which the runs of this machine meet cannot be used: {tmp_path}/no/slots",
        "No such file or directory",
        "Set host.folder to a folder that everybody who starts runs here may write to "
        "(made by `mkdir -m 1777 FOLDER`).",
        ExitCode.ENVIRONMENT,
    )


def test_a_link_or_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(UnusableError):
            Slots(tmp_path / name, 1)


def test_a_folder_that_becomes_unusable_is_told_when_a_place_is_wanted(tmp_path: Path):
    slots = Slots(tmp_path / "slots", 1)
    (tmp_path / "slots").rmdir()
    (tmp_path / "slots").touch()
    with pytest.raises(UnusableError), slots.hold(threading.Event()):
        pass


def test_a_link_among_the_tickets_is_refused_and_not_followed(tmp_path: Path):
    (tmp_path / "1").symlink_to("/etc/passwd")
    with pytest.raises(UnusableError), Slots(tmp_path, 1).hold(threading.Event()):
        pass


def test_files_of_other_names_are_left_alone(tmp_path: Path):
    (tmp_path / "notes").touch()
    assert is_free(tmp_path, 1)
    assert (tmp_path / "notes").exists()


def machine_memory_mb() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (1024 * 1024)


@pytest.mark.parametrize(("percent", "limit"), [(39, 2), (41, 1), (79, 1), (200, 1)])
def test_the_default_limit_leaves_a_fifth_of_the_memory(percent: int, limit: int):
    assert default_limit(machine_memory_mb() * percent // 100) == limit


def test_the_default_limit_is_two_for_each_core_that_may_be_used():
    script = (
        "import os; from runner.slots import default_limit; "
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(default_limit(1))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"2\n"


def test_all_users_meet_in_the_same_folder_whatever_their_environment(tmp_path: Path):
    script = (
        "import os; from runner.slots import default_folder; "
        "os.geteuid() or os.setuid(65534); print(default_folder())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"TMPDIR": str(tmp_path)}, capture_output=True, check=True
    )
    assert done.stdout.decode() == f"{default_folder()}\n"
    assert mode(default_folder().parent) & 0o1002 == 0o1002
