"""The built images on a real engine: what is in them, what is not, and how their first program behaves."""

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import DockerClient
from docker.models.containers import Container
from docker.types import Mount
from docker.utils.socket import frames_iter

from runner.errors import ImageError
from runner.images.build import BuiltImage, build_images
from runner.images.definitions import IMAGES, ImageDef
from runner.images.lock import Lock, check_image, read_lock, write_lock
from runner.resources import images_dir

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]  # the first test may have to build the images

PYTHON = "runner/python:latest"
BASE_REF = "debian:bookworm-slim"
ENDED = "supervisor: ended 0\n"  # the supervisor's last word


Shell = Callable[..., str]


@dataclass
class Told:
    """What a build said."""

    steps: list[str]
    log: list[str]


def provide(lock_file: Path, told: Told | None = None) -> list[BuiltImage]:
    told = told or Told([], [])
    return build_images(
        images_dir=images_dir(),
        lock_file=lock_file,
        base_ref=BASE_REF,
        env=dict(os.environ),
        say=told.steps.append,
        log=told.log.append,
    )


@pytest.fixture(scope="module")
def lock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lock file of the images, which are built when they are not there."""
    path = tmp_path_factory.mktemp("images") / "lock.json"
    provide(path)
    return path


@pytest.fixture(scope="module")
def client(lock_file: Path) -> Iterator[DockerClient]:
    with closing(docker.from_env()) as client:
        yield client


@pytest.fixture(scope="module")
def shell(lock_file: Path) -> Iterator[Shell]:
    """Runs a command in a container of the Python image; what it printed."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    testcontainers_config.ryuk_disabled = True  # its image is in no registry we can count on
    with DockerContainer(PYTHON, network_mode="none").with_command("sleep infinity") as container:

        def run(*argv: str) -> str:
            code, output = container.exec(list(argv))
            assert code == 0, output
            assert isinstance(output, bytes)
            return output.decode()

        yield run


class TestContent:
    def test_every_tool_answers_with_the_version_of_the_lock(self, shell: Shell, lock_file: Path):
        commands: dict[str, list[str]] = {}
        for definition in IMAGES:
            commands |= json.loads((images_dir() / definition.folder / "tools.json").read_text())
        locked = read_lock(lock_file).images[PYTHON].tools
        assert locked.keys() == commands.keys()
        for tool, argv in commands.items():
            assert re.search(rf"\b{re.escape(locked[tool])}\b", shell(*argv)), tool

    def test_aider_is_the_version_that_is_pinned(self, lock_file: Path):
        pinned = (images_dir() / "python" / "aider.in").read_text()
        assert f"aider-chat=={read_lock(lock_file).images[PYTHON].tools['aider']}\n" in pinned

    def test_all_of_aider_is_compiled(self, shell: Shell):
        count = "import pathlib; p = pathlib.Path('/opt/aider/lib'); print(len(list(p.rglob('*.py'))), len(list(p.rglob('*.pyc'))))"
        sources, compiled = map(int, shell("python3", "-c", count).split())
        assert 0 < sources <= compiled

    def test_it_trusts_only_the_authorities_that_debian_ships(self, shell: Shell):
        shipped = shell("sh", "-c", "find /usr/share/ca-certificates -name '*.crt' -exec cat {} +")
        trusted = shell("cat", "/etc/ssl/certs/ca-certificates.crt")
        assert _certificates(trusted)
        assert _certificates(trusted) <= _certificates(shipped)

    def test_nothing_of_a_build_is_left(self, shell: Shell):
        places = "/run/secrets /var/cache/pip /root/.cache /tmp /etc/pip.conf /var/lib/apt/lists /var/log/apt"
        assert shell("sh", "-c", f"find {places} -type f 2>/dev/null || true") == ""

    def test_it_names_no_mirror(self, shell: Shell, client: DockerClient):
        if "runner/debian:bookworm" not in str(client.images.get("runner/base:latest").labels):
            pytest.skip("the base was pulled: its mirror is its own")
        assert (
            shell("sh", "-c", "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true") == ""
        )


def _certificates(pem: str) -> set[str]:
    return set(re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END", pem.replace("\n", "")))


class TestConfig:
    def test_nothing_of_the_host_is_in_the_environment(self, client: DockerClient):
        config = client.images.get(PYTHON).attrs["Config"]
        assert {setting.partition("=")[0] for setting in config["Env"]} == {"PATH", "LANG"}
        assert config["User"] == "1000:1000"
        assert config["WorkingDir"] == "/workspace"

    def test_the_history_tells_no_address_and_no_proxy(self, client: DockerClient):
        history = json.dumps(client.images.get(PYTHON).history())
        assert not re.search(r"https?://|_proxy=|_PROXY=", history)

    def test_it_is_labelled(self, client: DockerClient):
        labels = client.images.get(PYTHON).labels
        assert labels["org.opencontainers.image.title"] == "runner python"
        assert labels["org.opencontainers.image.base.name"].startswith("runner/base:")
        assert labels["io.runner.inputs-sha256"].startswith(labels["org.opencontainers.image.version"])


class TestAgain:
    def test_a_second_build_does_nothing(self, lock_file: Path):
        before, told = lock_file.stat(), Told([], [])
        again = provide(lock_file, told)
        assert {image.status for image in again} == {"up to date"}
        assert told == Told([], [])
        assert lock_file.stat().st_mtime_ns == before.st_mtime_ns

    def test_a_lost_lock_file_is_written_without_a_build(self, lock_file: Path, tmp_path: Path):
        provide(tmp_path / "lock.json")
        assert read_lock(tmp_path / "lock.json") == read_lock(lock_file)

    def test_a_damaged_lock_file_is_replaced(self, lock_file: Path, tmp_path: Path):
        (tmp_path / "lock.json").write_text("{")
        told = Told([], [])
        provide(tmp_path / "lock.json", told)
        assert told.steps == ["The lock file of the images can't be read: it is replaced"]
        assert read_lock(tmp_path / "lock.json") == read_lock(lock_file)


class TestSmallImage:
    """Builds of an image of a few bytes, in place of ours that take minutes."""

    @pytest.fixture
    def definition(self, client: DockerClient) -> Iterator[ImageDef]:
        name = f"runner-test/small-{os.getpid()}"
        yield ImageDef(name=name, folder="small", parent=None)
        for image in client.images.list(name):
            client.images.remove(str(image.id), force=True)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "base").mkdir()
        (tmp_path / "base" / "packages.txt").write_text("git\n")
        (tmp_path / "small").mkdir()
        (tmp_path / "small" / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY Dockerfile /etc/small\n")
        return tmp_path

    @staticmethod
    def build(folder: Path, definition: ImageDef, **env: str) -> BuiltImage:
        [image] = build_images(
            images_dir=folder,
            lock_file=folder / "lock.json",
            base_ref="runner/base:latest",
            env={**os.environ, **env},
            say=lambda _: None,
            log=lambda _: None,
            definitions=[definition],
        )
        return image

    def test_a_change_of_its_inputs_builds_it_anew(self, folder: Path, definition: ImageDef):
        first = self.build(folder, definition)
        assert self.build(folder, definition).status == "up to date"
        with (folder / "small" / "Dockerfile").open("a") as file:
            file.write("RUN true\n")
        second = self.build(folder, definition)
        assert (first.status, second.status) == ("built", "built")
        assert first.id != second.id == check_image(definition.reference, folder / "lock.json")

    def test_a_failed_build_tells_why(self, folder: Path, definition: ImageDef):
        with (folder / "small" / "Dockerfile").open("a") as file:
            file.write("RUN echo the reason && exit 5\n")
        with pytest.raises(ImageError, match=f"Building {definition.name}:[0-9a-f]+ failed") as raised:
            self.build(folder, definition)
        assert "the reason" in raised.value.details
        assert not (folder / "lock.json").exists()

    def test_host_settings_reach_the_build_and_stay_out_of_the_image(
        self, folder: Path, definition: ImageDef, client: DockerClient
    ):
        (folder / "ca.pem").write_text("a certificate of the host\n")
        with (folder / "small" / "Dockerfile").open("a") as file:
            file.write(
                "USER root\n"
                "RUN --mount=type=secret,id=ca --mount=type=secret,id=pipconf"
                ' grep -q "certificate of the host" /run/secrets/ca && grep -q index.invalid /run/secrets/pipconf'
                ' && echo "$HTTPS_PROXY" | grep -q "user:hunter[0-9]@"\n'
            )
        image = self.build(
            folder,
            definition,
            PIP_CERT=str(folder / "ca.pem"),
            PIP_INDEX_URL="https://index.invalid/simple",
            HTTPS_PROXY="http://user:hunter2@proxy.invalid",
        )
        built = client.images.get(image.id)
        assert "hunter2" not in json.dumps([built.attrs, built.history()])
        find = "grep -rlE 'certificate of the host|index.invalid|hunter2' /etc /opt /run /root /tmp /var --exclude=small || true"
        assert client.containers.run(built, ["sh", "-c", find], user="0", remove=True, stderr=False) == b""


class TestCheck:
    def test_the_recorded_image_is_accepted(self, client: DockerClient, lock_file: Path):
        assert check_image(PYTHON, lock_file) == client.images.get(PYTHON).id

    def test_another_image_is_refused_unless_told_otherwise(
        self, client: DockerClient, lock_file: Path, tmp_path: Path
    ):
        found = client.images.get(PYTHON).id
        locked = read_lock(lock_file).images[PYTHON]
        write_lock(
            tmp_path / "lock.json", Lock(images={PYTHON: locked.model_copy(update={"id": "sha256:0"})})
        )
        with pytest.raises(ImageError) as raised:
            check_image(PYTHON, tmp_path / "lock.json")
        assert raised.value.brief == f"The image '{PYTHON}' is not the one that was built here"
        assert raised.value.details == f"recorded: sha256:0\nfound:    {found}"
        assert "runner build-images" in raised.value.hint
        assert "RUNNER_IMAGES__VERIFY=false" in raised.value.hint
        assert check_image(PYTHON, tmp_path / "lock.json", verify=False) == found

    def test_an_unrecorded_image_is_refused(self, lock_file: Path, tmp_path: Path):
        with pytest.raises(ImageError, match="is not one that was built here"):
            check_image(PYTHON, tmp_path / "no-lock.json")

    def test_a_missing_image_says_how_to_get_it(self, lock_file: Path):
        with pytest.raises(ImageError) as raised:
            check_image("runner/none:latest", lock_file, verify=False)
        assert raised.value.brief == "The image 'runner/none:latest' is missing"
        assert raised.value.hint == "Run: runner build-images"


@dataclass
class Supervised:
    """A container with the supervisor in it, and the socket that is its standard input and output."""

    container: Container
    stream: socket.socket

    def tell(self, **job: object) -> None:
        self.stream.sendall(json.dumps(job).encode() + b"\n")

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What it prints, as it comes: the stream's number and some bytes."""
        yield from frames_iter(self.stream, tty=False)  # type: ignore[no-untyped-call]

    def output(self) -> tuple[str, str]:
        """What it prints to the end, on both streams."""
        printed = {1: b"", 2: b""}
        for number, chunk in self.frames():
            printed[number] += chunk
        return printed[1].decode(), printed[2].decode()

    def exit_code(self) -> int:
        return int(self.container.wait(timeout=20)["StatusCode"])


class TestSupervisor:
    @pytest.fixture
    def supervised(self, client: DockerClient) -> Iterator[Supervised]:
        with supervise(client) as supervised:
            yield supervised

    @pytest.mark.parametrize(
        ("argv", "code"),
        [
            (["true"], 0),
            (["sh", "-c", "exit 7"], 7),
            (["sh", "-c", "kill -9 $$"], 137),
            (["no-such-program"], 127),
            (["/etc/passwd"], 126),
        ],
    )
    def test_the_exit_code_passes_through(self, supervised: Supervised, argv: list[str], code: int):
        supervised.tell(argv=argv)
        assert supervised.exit_code() == code

    @pytest.mark.parametrize("code", [0, 125, 137])
    def test_its_last_word_is_that_the_command_ended_by_itself(self, supervised: Supervised, code: int):
        supervised.tell(argv=["sh", "-c", f"(setsid sh -c 'while :; do echo on; done' >&2 &); exit {code}"])
        assert supervised.output()[1].endswith(f"supervisor: ended {code}\n")
        assert supervised.exit_code() == code

    def test_a_job_that_it_cannot_do_has_no_such_word(self, supervised: Supervised):
        supervised.tell(argv=["true"], files={"no/such/folder": "text"})
        assert "supervisor: ended" not in supervised.output()[1]
        assert supervised.exit_code() == 1

    def test_nothing_inside_can_end_it(self, supervised: Supervised):
        supervised.tell(argv=["sh", "-c", "for s in KILL TERM INT HUP; do kill -$s 1; done; exit 3"])
        assert supervised.exit_code() == 3

    def test_a_missing_program_is_named(self, supervised: Supervised):
        supervised.tell(argv=["no-such-program"])
        out, err = supervised.output()
        assert out == ""
        assert err.startswith("supervisor: ")
        assert "no-such-program" in err

    def test_the_job_is_as_it_was_told(self, supervised: Supervised):
        script = "pwd; echo $A $LANG; cat /run/runner/job/*; cat; echo err >&2"
        supervised.tell(
            argv=["sh", "-c", script], env={"A": "b"}, cwd="/opt", files={"1": "é\n", "2": "x" * 300_000}
        )
        out, err = supervised.output()
        assert out == "/opt\nb C.UTF-8\né\n" + "x" * 300_000
        assert err == f"err\n{ENDED}"

    def test_the_end_of_standard_input_ends_everything(self, supervised: Supervised):
        supervised.tell(argv=["sh", "-c", "trap '' TERM; (setsid sleep 600 &); echo started; sleep 600"])
        assert b"started" in next(supervised.frames())[1]
        supervised.stream.shutdown(socket.SHUT_RDWR)
        assert supervised.exit_code() == 125

    def test_a_job_that_was_never_told_is_not_run(self, supervised: Supervised):
        supervised.stream.sendall(b'{"argv": ["true"]}')
        supervised.stream.shutdown(socket.SHUT_RDWR)
        assert supervised.exit_code() == 125

    def test_what_outlives_the_command_does_not_hold_the_container(self, supervised: Supervised):
        supervised.tell(argv=["sh", "-c", "sleep 600 & exit 3"])
        assert supervised.exit_code() == 3

    def test_the_git_directory_is_a_private_copy(self, client: DockerClient, tmp_path: Path):
        (tmp_path / "template" / "objects" / "info").mkdir(parents=True)
        (tmp_path / "template" / "objects" / "info" / "alternates").write_text("/opt/git-base/objects\n")
        tmp_path.chmod(0o755)
        mount = Mount("/opt/git-base", str(tmp_path), type="bind", read_only=True)
        with supervise(client, mount) as supervised:
            supervised.tell(
                argv=["sh", "-c", "cd /run/runner/git && touch mine && cat objects/info/alternates"], git=True
            )
            assert supervised.output() == ("/opt/git-base/objects\n", ENDED)
        assert not (tmp_path / "template" / "mine").exists()

    def test_the_model_door_is_forwarded(self, client: DockerClient, tmp_path: Path):
        ask = (
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8088/v1/models').read().decode())"
        )
        with door(tmp_path / "door"):
            mount = Mount("/run/door", str(tmp_path / "door"), type="bind", read_only=True)
            with supervise(client, mount) as supervised:
                supervised.tell(argv=["python3", "-c", ask])
                assert supervised.output() == ("GET /v1/models HTTP/1.1\n", ENDED)

    def test_without_a_door_there_is_no_way_out(self, supervised: Supervised):
        ask = "import socket; print(socket.socket().connect_ex(('127.0.0.1', 8088)))"
        supervised.tell(argv=["python3", "-c", ask])
        assert supervised.output() == ("111\n", ENDED)


@contextmanager
def supervise(client: DockerClient, *mounts: Mount) -> Iterator[Supervised]:
    """A sealed container that waits for its job."""
    container = client.containers.create(
        PYTHON,
        stdin_open=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/run/runner": "rw,noexec,uid=1000,gid=1000,mode=0700"},
        mounts=list(mounts),
    )
    try:
        raw: Any = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        # docker-py hands out a file and keeps the connection; both want to be closed.
        with (
            closing(raw._response),
            closing(socket.fromfd(raw.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)) as stream,
        ):
            container.start()
            yield Supervised(container, stream)
    finally:
        container.remove(force=True)


@contextmanager
def door(folder: Path) -> Iterator[None]:
    """A server at `model.sock` that answers every request with its first line."""
    folder.mkdir()
    folder.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "model.sock"))
        (folder / "model.sock").chmod(0o666)
        server.listen()
        thread = threading.Thread(target=_serve, args=(server,))
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            caller, _ = server.accept()
        except OSError:
            return
        with caller:
            if first := caller.recv(4096).partition(b"\r\n")[0]:
                caller.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + first)
