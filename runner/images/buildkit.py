"""Image builds. The host's certificates and pip settings go in as BuildKit secrets, so that nothing of the host
stays in an image; a client that has no BuildKit is refused rather than worked around."""

import ast
import configparser
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from runner.errors import ImageError
from runner.images.commands import Say, perform
from runner.process import CommandError, run

_BUILD_S = 3600.0
_LAST_WITHOUT_BUILDX = 22  # clients up to this version have BuildKit built in

# BuildKit in old clients; in new ones the engine's own builder, which sees the engine's images, and an image
# whose id does not depend on when it was built.
_CLIENT_ENV = {"DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}

_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CA_DEFAULT = "/etc/ssl/certs/ca-certificates.crt"
_CA_INSIDE = "/run/secrets/ca"

# Predefined build arguments: known to every RUN, kept out of the image and of its history.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")

_PIP_URLS = ("index-url", "extra-index-url")
_PIP_PLAIN = ("trusted-host", "timeout", "default-timeout", "retries", "proxy")
_PIP_SETTING = re.compile(r"(?P<section>[^.]+)\.(?P<name>[^=]+)=(?P<value>.+)")
_PIP_PRECEDENCE = ("global", "install", ":env:")


def find_client(env: Mapping[str, str], *, beyond_path: Sequence[str] = ("/usr/bin",)) -> str:
    """The first docker client that can build with BuildKit. Raises ImageError when there is none."""
    folders = dict.fromkeys([*os.get_exec_path(dict(env)), *beyond_path])
    clients = [
        str(Path(folder, "docker")) for folder in folders if os.access(Path(folder, "docker"), os.X_OK)
    ]
    for client in clients:
        if _has_buildkit(client, env):
            return client
    raise ImageError(
        "No docker client here can build with BuildKit",
        details=f"tried: {', '.join(clients) or 'none on the PATH'}",
        hint="Install docker-buildx-plugin (docker.com's packages), docker-buildx, or Debian's docker.io",
    )


def _has_buildkit(client: str, env: Mapping[str, str]) -> bool:
    try:
        if run([client, "buildx", "version"], timeout_s=60, env=env, check=False).returncode == 0:
            return True
        version = run([client, "--version"], timeout_s=60, env=env).text
    except CommandError:
        return False
    found = re.match(r"Docker version (\d+)\.", version)
    return found is not None and int(found[1]) <= _LAST_WITHOUT_BUILDX


def build(
    client: str,
    folder: Path,
    *,
    base: str,
    tag: str,
    labels: Mapping[str, str],
    fresh: bool,
    env: Mapping[str, str],
    log: Say,
) -> None:
    """Build a folder's Dockerfile on `base` and tag the result. Raises ImageError with the log's end."""
    with _secrets(env) as secrets:
        argv = [
            *(client, "build", "--progress=plain", f"--build-arg=BASE={base}", f"--tag={tag}"),
            *(f"--label={name}={value}" for name, value in labels.items()),
            *(f"--build-arg={name}" for name in _proxy_names(env)),  # by name: the value may hold a password
            *secrets,
            *(["--no-cache"] if fresh else []),
            str(folder),
        ]
        perform(
            argv,
            failure=f"Building {tag} failed",
            hint="The whole log: runner build-images --verbose",
            timeout_s=_BUILD_S,
            env={**env, **_CLIENT_ENV},
            log=log,
        )


def _proxy_names(env: Mapping[str, str]) -> list[str]:
    return [name for proxy in _PROXIES for name in (proxy, proxy.lower()) if name in env]


@contextmanager
def _secrets(env: Mapping[str, str]) -> Iterator[list[str]]:
    """The build's options for the host's certificates and pip settings; their files go with the context."""
    certificates = find_certificates(env)
    settings = container_pip_conf(_pip_settings(env), certificates=certificates is not None)
    with tempfile.TemporaryDirectory(prefix="runner-build-") as folder:
        conf = Path(folder, "pip.conf")
        conf.touch(mode=0o600)  # an index's address may hold a password
        with conf.open("w", encoding="utf-8") as file:
            settings.write(file)
        options = [f"--secret=id=pipconf,src={conf}"]
        if certificates:
            options.append(f"--secret=id=ca,src={certificates}")
        yield options


def find_certificates(env: Mapping[str, str]) -> Path | None:
    """The host's bundle of certificate authorities."""
    named = [env[name] for name in _CA_VARIABLES if env.get(name)]
    return next((path for path in map(Path, [*named, _CA_DEFAULT]) if path.is_file()), None)


def _pip_settings(env: Mapping[str, str]) -> dict[str, str]:
    try:
        listed = run(["pip", "config", "list"], timeout_s=60, env=env).text
    except CommandError:  # no pip of its own on the host: then there is only the environment
        names = [name for name in env if name.startswith("PIP_")]
        listed = "\n".join(f":env:.{name[4:].lower().replace('_', '-')}={env[name]!r}" for name in names)
    return read_pip_settings(listed)


def read_pip_settings(listed: str) -> dict[str, str]:
    """The effective settings in the output of `pip config list`."""
    found = [match for line in listed.splitlines() if (match := _PIP_SETTING.fullmatch(line))]
    known = [match for match in found if match["section"] in _PIP_PRECEDENCE]
    known.sort(key=lambda match: _PIP_PRECEDENCE.index(match["section"]))
    return {match["name"]: str(ast.literal_eval(match["value"])) for match in known}


def container_pip_conf(settings: Mapping[str, str], *, certificates: bool) -> configparser.RawConfigParser:
    """The settings that make sense in a build: no folders, indexes or wheels of the host's disk."""
    conf = configparser.RawConfigParser()
    conf["global"] = {"disable-pip-version-check": "true", "no-input": "true"}
    for name in _PIP_URLS:
        urls = [url for url in settings.get(name, "").split() if url.startswith(("http://", "https://"))]
        if urls:
            conf["global"][name] = "\n".join(urls)
    conf["global"].update({name: settings[name] for name in _PIP_PLAIN if name in settings})
    if certificates:
        conf["global"]["cert"] = _CA_INSIDE
    return conf
