"""The container engine, as far as images need it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import docker  # noqa: TID251
from docker import DockerClient  # noqa: TID251
from docker.errors import ContainerError, DockerException, ImageNotFound  # noqa: TID251
from docker.models.images import Image  # noqa: TID251
from requests.exceptions import RequestException

from runner.errors import EngineError, ImageError

INPUTS_LABEL = "io.runner.inputs-sha256"

_TIMEOUT_S = 300  # importing a whole file system is one request
_VERSIONS = ["/usr/bin/python3", "-I", "/opt/runner/versions.py"]


@contextmanager
def engine() -> Iterator[DockerClient]:
    """A connection to the engine that DOCKER_HOST (or its default) names.

    Raises EngineError when it does not answer, and for what it refuses inside the context.
    """
    try:
        client = docker.from_env(timeout=_TIMEOUT_S)
    except DockerException as error:
        raise EngineError(
            "The container engine does not answer",
            details=str(error),
            hint="Start Docker, or join the group that may use it. On Debian and Ubuntu, as root: images/engine.sh",
        ) from error
    try:
        yield client
    except (DockerException, RequestException) as error:
        raise EngineError("The container engine refused a request", details=str(error)) from error
    finally:
        client.close()


def find_image(client: DockerClient, reference: str) -> Image | None:
    """The image that a reference names on this machine."""
    try:
        return client.images.get(reference)
    except ImageNotFound:
        return None


def read_tools(client: DockerClient, image: Image) -> dict[str, str]:
    """Ask an image of ours for the versions of its tools. Raises ImageError when one does not answer."""
    try:
        answer = client.containers.run(
            image,
            _VERSIONS,
            user="1000:1000",
            network_mode="none",
            cap_drop=["ALL"],
            read_only=True,
            remove=True,
        )
    except ContainerError as error:
        raise ImageError(
            f"The tools of {image.tags} do not all answer",
            details=str(error),
            hint="Rebuild it: runner build-images --force",
        ) from error
    tools: dict[str, str] = json.loads(answer)
    return tools
