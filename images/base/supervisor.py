"""The first program of every sandbox: it sets the scene, runs one command, and dies with its orchestrator.

It reads one line of JSON from standard input: {"argv": [...], "env": {...}, "cwd": "/workspace",
"files": {"name": "text"}, "git": true}. The orchestrator then holds that input open for as long as it lives,
so its end, however it came, is the end of the command. Its last line on standard error tells the command's exit
code: a container that ends without this word was ended by somebody else, and a code alone can't tell (137 is also
what a killed container leaves). Nothing here is imported that is not needed: every step of every workstream waits
for this start.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time

JOB_DIR = "/run/runner/job"
GIT_TEMPLATE, GIT_DIR = "/opt/git-base/template", "/run/runner/git"
DOOR, DOOR_PORT, DOOR_OPENS_WITHIN_S = "/run/door/model.sock", 8088, 5.0

UNSUPERVISED, CANNOT_START, NOT_FOUND = 125, 126, 127  # exit codes, as a shell and `docker run` use them


def main() -> None:
    # The kernel keeps from a container's first process what it has no handler for: nobody inside can end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    job = read_job()
    lay_files(job.get("files", {}))
    if job.get("git"):
        copy_git_dir()
    if os.path.exists(DOOR):  # noqa: PTH110 - pathlib would cost milliseconds
        open_door()
    child = start(job)
    threading.Thread(target=end_with_stdin, args=(child.pid,), daemon=True).start()
    end_with(wait_for(child.pid))


def read_job() -> dict:
    """Read one line without buffering, so that what follows it is left to `end_with_stdin`."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)
        if not chunk:
            give_up("standard input ended before the job was told")
        line += chunk
    return json.loads(line)


def lay_files(files: dict[str, str]) -> None:
    os.makedirs(JOB_DIR, exist_ok=True)  # noqa: PTH103
    for name, text in files.items():
        with open(f"{JOB_DIR}/{name}", "wb") as file:  # noqa: PTH123
            file.write(text.encode("utf-8", "surrogateescape"))


def copy_git_dir() -> None:
    import shutil

    shutil.copytree(GIT_TEMPLATE, GIT_DIR, symlinks=True)


def open_door() -> None:
    """Forward a local port to the model door's socket, for clients that can't speak to a socket."""
    listen = f"TCP-LISTEN:{DOOR_PORT},bind=127.0.0.1,fork,reuseaddr"
    quiet = subprocess.DEVNULL
    subprocess.Popen(["socat", listen, f"UNIX-CONNECT:{DOOR}"], stdin=quiet, stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + DOOR_OPENS_WITHIN_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", DOOR_PORT)) == 0:
                return
        time.sleep(0.005)
    give_up(f"the model door did not open within {DOOR_OPENS_WITHIN_S:g} s")


def start(job: dict) -> subprocess.Popen:
    env = {**os.environ, **job.get("env", {})}
    cwd = job.get("cwd", "/workspace")
    try:
        return subprocess.Popen(
            job["argv"], env=env, cwd=cwd, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except FileNotFoundError as error:
        say(str(error))
        end_with(NOT_FOUND)
    except OSError as error:
        say(str(error))
        end_with(CANNOT_START)


def wait_for(pid: int) -> int:
    """The exit code of the command. The first process of a container also gets every orphan to reap."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def end_with(code: int) -> None:
    """End as the command did. Nothing else runs any more when the last line is written, so it is the last."""
    if os.getpid() == 1:
        end_all_others()
    os.set_blocking(2, True)  # the command shared it, and may have changed that
    say(f"ended {code}")
    os._exit(code)


def end_all_others() -> None:
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except OSError:
        return  # nobody is left


def end_with_stdin(pid: int) -> None:
    while os.read(0, 1 << 16):
        pass
    try:
        os.killpg(pid, signal.SIGKILL)
    finally:  # the command may have ended in this very moment
        os._exit(UNSUPERVISED)


def give_up(why: str) -> None:
    say(why)
    os._exit(UNSUPERVISED)


def say(what: str) -> None:
    os.write(2, f"supervisor: {what}\n".encode("utf-8", "backslashreplace"))


main()
