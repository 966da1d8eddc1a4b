"""The Debian that everything stands on: an image the engine has or can pull, else one made from packages."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker  # noqa: TID251
from docker import DockerClient  # noqa: TID251
from docker.errors import DockerException  # noqa: TID251
from docker.models.images import Image  # noqa: TID251
from requests.exceptions import RequestException

from runner.errors import ImageError
from runner.images.commands import Say, perform
from runner.images.engine import find_image
from runner.process import CommandError, run

SUITE = "bookworm"
REPOSITORY = "runner/debian"
BOOTSTRAPPED = f"{REPOSITORY}:{SUITE}"

_PACKAGES_LABEL = "io.runner.packages-sha256"
_SILENCE_S = 20  # a pull that says nothing for so long has no registry to talk to
_BOOTSTRAP_S = 1800.0

# What debootstrap leaves behind: downloads, logs, and the host's own names and mirror.
_LEFT_OUT = (
    "./dev/*",
    "./etc/apt/sources.list",
    "./etc/hostname",
    "./etc/resolv.conf",
    "./var/cache/apt/*",
    "./var/cache/debconf/*-old",
    "./var/cache/ldconfig/*",
    "./var/lib/apt/lists/*",
    "./var/log/*",
)


@dataclass(frozen=True, slots=True)
class Base:
    """What an image stands on."""

    reference: str  # BuildKit takes local images by name only
    id: str


def find_debian(
    client: DockerClient,
    reference: str,
    *,
    packages: Sequence[str],
    env: Mapping[str, str],
    say: Say,
    log: Say,
    force: bool,
) -> Base:
    """What to build on: `reference` when it can be had, else Debian made from packages.

    `force` makes Debian anew where the packages are the only source. Raises ImageError when nothing works.
    """
    if image := find_image(client, reference):
        return Base(reference, str(image.id))
    made = find_image(client, BOOTSTRAPPED)
    if made and not force and made.labels.get(_PACKAGES_LABEL) == _fingerprint(packages):
        return Base(BOOTSTRAPPED, str(made.id))
    say(f"Pulling {reference}")
    if image := _pull(reference, log):
        return Base(reference, str(image.id))
    say(f"{reference} can't be pulled: making Debian {SUITE} from packages instead (about a minute)")
    image = _bootstrap(client, packages=packages, env=env, say=say, log=log)
    return Base(BOOTSTRAPPED, str(image.id))


def _pull(reference: str, log: Say) -> Image | None:
    """Pull with an own connection, whose time-out is the longest silence we bear."""
    impatient = docker.from_env(timeout=_SILENCE_S)
    try:
        return impatient.images.pull(reference)
    except (DockerException, RequestException) as error:
        log(str(error))
        return None
    finally:
        impatient.close()


def _bootstrap(
    client: DockerClient, *, packages: Sequence[str], env: Mapping[str, str], say: Say, log: Say
) -> Image:
    _require_debootstrap(env)
    with tempfile.TemporaryDirectory(prefix="runner-debian-", dir="/var/tmp") as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        _debootstrap(root, packages=packages, env=env, log=log)
        left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
        run(["tar", "--numeric-owner", *left_out, "-C", str(root), "-cf", str(archive), "."], timeout_s=600)
        say("Importing Debian")
        label = f"LABEL {_PACKAGES_LABEL}={_fingerprint(packages)}"
        client.api.import_image_from_file(str(archive), repository=REPOSITORY, tag=SUITE, changes=[label])
    return client.images.get(BOOTSTRAPPED)


def _require_debootstrap(env: Mapping[str, str]) -> None:
    if os.geteuid() != 0:
        raise ImageError(
            "A Debian image can be made from packages by root only",
            hint="Run `runner build-images` once as root, or set images.base to an image that can be pulled",
        )
    if shutil.which("debootstrap", path=env.get("PATH")) is None:
        raise ImageError(
            "debootstrap is not installed, so no Debian image can be made",
            hint="apt-get install debootstrap debian-archive-keyring, "
            "or set images.base to an image that can be pulled",
        )


def _debootstrap(root: Path, *, packages: Sequence[str], env: Mapping[str, str], log: Say) -> None:
    # Namespaces of its own: killed at any instant, it leaves no process and no mount inside `root`.
    contained = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    options = ["--variant=minbase", "--force-check-gpg", f"--include={','.join(packages)}"]
    perform(
        [*contained, "debootstrap", *options, SUITE, str(root), *_mirror(env)],
        failure="debootstrap failed",
        hint="Are Debian's packages reachable, and is debian-archive-keyring installed?",
        timeout_s=_BOOTSTRAP_S,
        env=env,
        log=log,
    )


def _mirror(env: Mapping[str, str]) -> list[str]:
    """The Debian mirror of the host's own apt; none leaves the choice to debootstrap."""
    targets = ["--no-release-info", "--format", "$(COMPONENT) $(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    try:
        listed = run(["apt-get", "indextargets", *targets], timeout_s=60, env=env).text
    except CommandError:
        return []
    return choose_mirror(listed)


def choose_mirror(listed: str) -> list[str]:
    """The first web address among lines of `component release uri` that serves our suite."""
    rows = [line.split(" ", 2) for line in listed.splitlines() if line.count(" ") >= 2]
    web = [
        (release, uri) for component, release, uri in rows if component == "main" and uri.startswith("http")
    ]
    same_suite = [uri for release, uri in web if release == SUITE]
    any_debian = [uri for _, uri in web if uri.rstrip("/").endswith("/debian")]
    return [*same_suite, *any_debian][:1]


def _fingerprint(packages: Sequence[str]) -> str:
    return hashlib.sha256("\n".join((SUITE, *packages)).encode()).hexdigest()
