"""The scripts that make two commands enough on a fresh machine, run as a user runs them."""

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path | None = None, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(argv, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def listener(path: Path, answer: bytes) -> Iterator[None]:
    """A server at a unix socket that gives one caller this answer."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(1024)
                caller.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(timeout=10)


def test_an_engine_that_answers_is_left_alone(tmp_path: Path) -> None:
    with listener(tmp_path / "engine", b"HTTP/1.0 200 OK\r\n\r\nOK"):
        outcome = run(ROOT / "images/engine.sh", DOCKER_HOST=f"unix://{tmp_path}/engine")
    assert outcome == (0, "", "")


def test_an_engine_on_another_machine_is_not_looked_for() -> None:
    assert run(ROOT / "images/engine.sh", DOCKER_HOST="tcp://192.0.2.1:2375") == (0, "", "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "No such file or directory"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "what listens there is not a Docker engine"),
        (b"", "what listens there is not a Docker engine"),
    ],
)
def test_a_silent_engine_of_the_users_choice_is_said_and_nothing_installed(
    tmp_path: Path, answer: bytes | None, why: str
) -> None:
    host = f"unix://{tmp_path}/engine"
    if answer is None:
        outcome = run(ROOT / "images/engine.sh", DOCKER_HOST=host)
    else:
        with listener(tmp_path / "engine", answer):
            outcome = run(ROOT / "images/engine.sh", DOCKER_HOST=host)
    assert outcome == (
        4,
        "",
        f"error: no Docker engine answers at {host}: {why}\n"
        "hint: DOCKER_HOST says to look there: start that engine, or unset DOCKER_HOST\n",
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of which only the parts that `justw` needs are there."""
    root = tmp_path / "the checkout"
    (root / ".ci").mkdir(parents=True)
    for name in ("justw", "justfile", ".ci/tools.txt"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with the commands every Unix has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "cksum", "tr", "mkdir", "mktemp", "rm"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return str(folder)


def test_justw_without_a_usable_python_says_what_to_install(checkout: Path, bare_path: str) -> None:
    assert run(checkout / "justw", PATH=bare_path) == (
        4,
        "",
        "error: no Python 3.11 or newer that has pip or venv was found on the PATH\n"
        "hint: On Debian and Ubuntu: apt-get install python3 python3-venv. "
        "Elsewhere: https://www.python.org/downloads/\n",
    )
    assert not (checkout / ".tools").exists()


def test_justw_fetches_nothing_when_its_tools_are_there(
    checkout: Path, bare_path: str, tmp_path: Path
) -> None:
    install_fake_just(checkout)
    outcome = run(checkout / "justw", "demo", "a b", cwd=tmp_path, PATH=bare_path)
    assert outcome == (0, f"--justfile\n{checkout}/justfile\ndemo\na b\n", "")


def test_justw_fetches_anew_when_other_versions_are_wanted(checkout: Path, bare_path: str) -> None:
    install_fake_just(checkout)
    with (checkout / ".ci/tools.txt").open("a") as wanted:
        wanted.write("# newer\n")
    code, _, error = run(checkout / "justw", PATH=bare_path)
    assert (code, "no Python" in error) == (4, True)


def install_fake_just(checkout: Path) -> None:
    _, key, _ = run("sh", "-c", "cksum <.ci/tools.txt | tr ' ' -", cwd=checkout)
    just = checkout / ".tools" / key.strip() / "just"
    just.parent.mkdir(parents=True)
    just.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    just.chmod(0o755)


@pytest.mark.parametrize("page", ["README.md", ".ci/run"])
def test_every_recipe_that_is_written_down_exists(page: str) -> None:
    named = set(re.findall(r"\./justw ([a-z][a-z0-9-]*)", (ROOT / page).read_text()))
    recipes = set(
        re.findall(r"^@?([a-z][a-z0-9-]*)(?: [^:=\n]*)?:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE)
    )
    assert named <= recipes
