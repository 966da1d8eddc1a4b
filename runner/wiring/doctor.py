"""Whether this machine can run workstreams safely: each need asked for, each seal tried."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.clock import SystemClock
from runner.config import load_settings
from runner.config.settings import Settings
from runner.core.model import AttemptKey, Commit, Limits, RunId, StepName, WsId
from runner.errors import RunnerError
from runner.git import OLDEST_GIT, version
from runner.images.lock import check_image, lock_path
from runner.ports import Command, End, SandboxSpec
from runner.resources import images_dir
from runner.sandbox.docker import DockerSandboxes, connect
from runner.wiring.parts import make_upstream

OLDEST_API = (1, 41)
_FREE_BYTES = 5 * 1024**3

# Prints one word for each seal that does not hold, and does one thing that must be possible.
_PROBE = """
touch /outside 2>/dev/null && echo writable-root
[ "$(id -u)" = 0 ] && echo root-user
grep -q '^CapEff:.0*$' /proc/self/status || echo capabilities
grep -q '^NoNewPrivs:.1$' /proc/self/status || echo new-privileges
grep -q '^Seccomp:.2$' /proc/self/status || echo no-seccomp
[ "$(tail -n +3 /proc/net/dev | grep -cv '^ *lo:')" = 0 ] || echo network
[ -e /var/run/docker.sock ] && echo engine-socket
echo probe > inside
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    ok: bool
    found: str
    hint: str = ""


def examine(repo: Path | None, env: Mapping[str, str]) -> Iterator[Check]:
    """Every check in turn, as it is made. None of them raises RunnerError."""
    settings = load_settings(repo=repo, env=env).settings
    yield _check("git", lambda: _git(env))
    yield _check("disk", lambda: _disk(repo or Path.cwd()))
    engine = _check("engine", _engine)
    yield engine
    if engine.ok:
        image = _check("image", lambda: _image(settings))
        yield image
        if image.ok:
            yield _check("sandbox", lambda: _sandbox(settings))
    yield _check("model", lambda: _model(settings))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, found=look())
    except RunnerError as error:
        found = f"{error.brief}: {error.details}" if error.details else error.brief
        return Check(name=name, ok=False, found=found, hint=error.hint)


def _git(env: Mapping[str, str]) -> str:
    found = version(env)
    if found < OLDEST_GIT:
        raise RunnerError(
            f"git {_dotted(found)} is too old", hint=f"{_dotted(OLDEST_GIT)} or newer is needed."
        )
    return f"version {_dotted(found)}"


def _disk(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.0f} GiB free"
    if free < _FREE_BYTES:
        raise RunnerError(f"only {text}", hint=f"Make room in the file system of {folder}.")
    return text


def _engine() -> str:
    client = connect()
    try:
        info, about = client.info(), client.version()
    finally:
        client.close()
    api = tuple(int(part) for part in about["ApiVersion"].split("."))
    if api < OLDEST_API:
        raise RunnerError(
            f"the engine's API {about['ApiVersion']} is too old", hint="Docker 20.10 or newer is needed."
        )
    return (
        f"version {about['Version']}, API {about['ApiVersion']}, {info['Driver']}, cgroup v{info.get('CgroupVersion', '1')}, "
        f"{info['NCPU']} cores, {info['MemTotal'] / 1024**3:.0f} GiB"
    )


def _image(settings: Settings) -> str:
    found = check_image(settings.images.python, lock_path(images_dir()), verify=settings.images.verify)
    return f"{settings.images.python} is {found.removeprefix('sha256:')[:12]}"


def _sandbox(settings: Settings) -> str:
    """Try the seals in a throw-away sandbox. Raises RunnerError when one does not hold."""
    with tempfile.TemporaryDirectory(prefix="runner-doctor-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        worktree, base = place / "worktree", place / "base"
        (base / "template").mkdir(parents=True)
        worktree.mkdir()
        (worktree / ".git").touch()
        (base / "gitfile").touch()
        sandboxes = DockerSandboxes(
            owner=str(place),
            scratch=place / "scratch",
            git_base=lambda _: base,
            ignored=lambda _, __: set(),
            clock=SystemClock(),
        )
        spec = SandboxSpec(
            key=AttemptKey(RunId(place.name), WsId("doctor"), StepName.STATIC, 1),
            serial=1,
            worktree=worktree,
            base=Commit(""),
            image=settings.images.python,
            limits=Limits(memory_mb=128, pids=64),
            timeout_s=60.0,
        )
        try:
            with sandboxes.open(spec) as sandbox:
                ran = sandbox.run(Command(argv=["/bin/sh", "-c", _PROBE]))
                broken = ran.stdout.text().split()
                made = [(change.path, change.kind) for change in sandbox.changes()]
        finally:
            sandboxes.close()
    if broken:
        raise RunnerError(
            f"these seals do not hold: {', '.join(broken)}", hint="Do not run agents on this engine."
        )
    if (
        ran.end is not End.EXITED
        or made != [("inside", "add")]
        or list(worktree.parent.glob("worktree/inside"))
    ):
        raise RunnerError(f"the writable layer does not work: {ran.stderr.text().strip()}")
    return "sealed: no network, no privileges, read-only root, changes only in its own layer"


def _model(settings: Settings) -> str:
    make_upstream(settings).preflight()
    if settings.model.script is not None:
        return f"scripted by {settings.model.script}"
    return f"{settings.model.base_url} answers; model {settings.model.name or 'unset'}"


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
