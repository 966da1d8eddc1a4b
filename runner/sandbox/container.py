"""One container, from its creation to the last trace of it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, NoReturn

import docker
import docker.errors
import requests.exceptions
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from runner.clock import Clock
from runner.errors import ImageError, SandboxError
from runner.ports import WORKSPACE, Command, End, Output, Ran, SandboxSpec
from runner.sandbox.options import (
    ENVIRONMENT,
    Sealed,
    create_arguments,
    host_arguments,
    labels,
)
from runner.sandbox.output import STDERR, Bounded, Frames, without_ending

KEPT_BYTES = 2 * 1024 * 1024  # of each stream
_POLL_S = 0.5
_REMOVAL_S = 30  # that a removal which somebody else has begun may take
_LAST_WORDS = 1000  # characters of a lost container's output that an error tells

ENGINE_FAULTS = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)

_FAREWELL = b"supervisor: ended %d\n"  # the last line that images/base/supervisor.py writes to standard error

_NEVER_STARTED = Ran(end=End.CANCELLED, exit_code=137, stdout=Output(), stderr=Output(), duration_s=0.0)


class Container:
    """A sealed container that runs one command. Raises SandboxError when the engine does not play along.

    No call on the engine lasts longer than the client's timeout, and neither does the end of a killed container.
    """

    def __init__(
        self, client: docker.APIClient, sealed: Sealed, clock: Clock, cancelled: threading.Event
    ) -> None:
        self._client = client
        self._sealed = sealed
        self._clock = clock
        self._cancelled = cancelled

    @property
    def name(self) -> str:
        return self._sealed.name

    def create(self, volume_options: dict[str, str]) -> None:
        """Make the volume and the container; nothing may stand under their names."""
        try:
            self._client.create_volume(
                self._sealed.volume,
                driver="local",
                driver_opts=volume_options,
                labels=labels(self._sealed.spec, self._sealed.owner),
            )
            host_config = self._client.create_host_config(**host_arguments(self._sealed))
            self._client.create_container(**create_arguments(self._sealed), host_config=host_config)
        except docker.errors.ImageNotFound as error:
            raise ImageError(
                f"The engine has no image {self._sealed.spec.image}", hint="Build it: runner build-images"
            ) from error
        except ENGINE_FAULTS as error:
            self._fail("create", error)

    def run(self, command: Command) -> Ran:
        """Run the command to its end, its deadline, its output limit or its cancelling. Blocks."""
        began = self._clock.monotonic()
        if self._cancelled.is_set():
            return _NEVER_STARTED
        try:
            with self._attached() as stream:
                self._client.start(self.name)
                pump = _Pump(self._clock, self._sealed.spec, engine_timeout_s=self._client.timeout)
                self._send(stream, _request(command))
                end = pump.drain(stream, self._cancelled, kill=self.kill)
            exit_code, oom = self._result()
        except ENGINE_FAULTS as error:
            self._fail("run", error)
        if self._cancelled.is_set():
            end = End.CANCELLED
        elif oom and end is End.EXITED:
            end = End.OOM
        return Ran(
            end=end,
            exit_code=exit_code,
            stdout=pump.stdout.output(),
            stderr=self._stderr(pump.stderr.output(), end, exit_code),
            duration_s=self._clock.monotonic() - began,
        )

    def kill(self) -> None:
        """Kill what runs; a container that does not run is left as it is."""
        try:
            self._client.kill(self.name)
        except ENGINE_FAULTS:
            return  # it has ended by itself, or `remove` will say what is wrong

    def remove(self) -> None:
        """Remove the container and its volume; nothing happens when they are not there."""
        try:
            until_gone(lambda: self._client.remove_container(self.name, force=True, v=True))
            until_gone(lambda: self._client.remove_volume(self._sealed.volume))
        except ENGINE_FAULTS as error:
            self._fail("remove", error)

    def _stderr(self, stderr: Output, end: End, exit_code: int) -> Output:
        """What the command printed, without the supervisor's word that it ended by itself.

        An end that is nobody's, neither the command's nor ours, is no verdict: the engine was stopped, somebody
        killed the container, the connection was lost before all output had come, or the supervisor failed.
        """
        told = without_ending(stderr, _FAREWELL % exit_code)
        if told is not None:
            return told
        if end is not End.EXITED:
            return stderr
        raise SandboxError(
            f"The container of {self._sealed.spec.key} was lost while its command ran",
            details=f"exit code {exit_code}, last words: {stderr.text()[-_LAST_WORDS:].strip() or 'none'}",
            hint="It was killed from outside, or the engine was stopped. When it happens each time, "
            "the image is of another version than this program: runner build-images",
        )

    @contextmanager
    def _attached(self) -> Iterator[socket.socket]:
        """The container's streams. Closing them closes its standard input, which ends what still runs."""
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        raw = self._client.attach_socket(self.name, params=params)
        stream: socket.socket = raw._sock  # docker-py hands out a wrapper that cannot time out
        stream.settimeout(_POLL_S)
        try:
            yield stream
        finally:
            raw.close()
            stream.close()

    def _send(self, stream: socket.socket, request: bytes) -> None:
        """Hand over the request; a container that died before it took all of it shows why by its end."""
        with suppress(BrokenPipeError, ConnectionResetError):
            stream.settimeout(self._client.timeout)
            stream.sendall(request)
        stream.settimeout(_POLL_S)

    def _result(self) -> tuple[int, bool]:
        # Without being told, `wait` alone of all calls would wait for ever.
        exit_code = int(self._client.wait(self.name, timeout=self._client.timeout)["StatusCode"])
        state: dict[str, Any] = self._client.inspect_container(self.name)["State"]
        return exit_code, bool(state["OOMKilled"])

    def _fail(self, verb: str, error: Exception) -> NoReturn:
        raise SandboxError(
            f"The engine could not {verb} the sandbox of {self._sealed.spec.key}",
            details=str(getattr(error, "explanation", None) or error),
            hint="Ask the engine itself: docker info. `runner doctor` checks what a sandbox needs.",
        ) from error


class _Pump:
    """Moves a container's output into bounded buffers and watches the limits meanwhile."""

    def __init__(self, clock: Clock, spec: SandboxSpec, *, engine_timeout_s: float) -> None:
        self.stdout = Bounded(KEPT_BYTES)
        self.stderr = Bounded(KEPT_BYTES)
        self._clock = clock
        self._deadline = clock.monotonic() + spec.timeout_s
        self._output_bytes = spec.limits.output_bytes
        self._engine_timeout_s = engine_timeout_s

    def drain(self, stream: socket.socket, cancelled: threading.Event, *, kill: Callable[[], None]) -> End:
        """Read to the end of the stream; a limit that is passed kills the container, and reading goes on."""
        frames = Frames()
        end = End.EXITED
        killer: threading.Thread | None = None
        while True:
            if killer is None:
                end = self._passed(cancelled)
                if end is not End.EXITED:
                    # Beside the reading: the engine ends a container only once its output has been taken.
                    killer = threading.Thread(target=kill, name="kill")
                    killer.start()
                    self._deadline = self._clock.monotonic() + self._engine_timeout_s
            elif self._clock.monotonic() > self._deadline:
                raise SandboxError("The engine does not end a container that was killed")
            try:
                data = stream.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                break
            for number, chunk in frames.feed(data):
                (self.stderr if number == STDERR else self.stdout).add(chunk)
        if killer is not None:
            killer.join()
        return end

    def _passed(self, cancelled: threading.Event) -> End:
        """Which limit has been passed; `End.EXITED` when none has."""
        if cancelled.is_set():
            return End.CANCELLED
        if self.stdout.total + self.stderr.total > self._output_bytes:
            return End.OUTPUT_LIMIT
        return End.TIMEOUT if self._clock.monotonic() > self._deadline else End.EXITED


def _request(command: Command) -> bytes:
    request = {
        "argv": list(command.argv),
        "env": {**ENVIRONMENT, **command.env},
        "cwd": WORKSPACE,
        "files": dict(command.files),
        "git": True,
    }
    return json.dumps(request).encode() + b"\n"


def _being_removed(error: BaseException) -> bool:
    """Whether somebody else, perhaps a runner that was killed meanwhile, has asked for the removal before us."""
    return isinstance(error, docker.errors.APIError) and error.status_code == HTTPStatus.CONFLICT


def until_gone(remove: Callable[[], object]) -> None:
    """Remove what may be absent; a removal that is under way is waited for."""
    patient = Retrying(
        retry=retry_if_exception(_being_removed),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(_REMOVAL_S),
        reraise=True,
    )
    with suppress(docker.errors.NotFound):
        patient(remove)
