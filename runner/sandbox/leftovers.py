"""Containers and volumes that bear our labels, of every state folder that uses this engine."""

from dataclasses import dataclass
from typing import Literal

import docker
import docker.errors

from runner.errors import EngineError
from runner.sandbox.container import ENGINE_FAULTS
from runner.sandbox.options import LABEL

_OWNER = f"{LABEL}.owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    kind: Literal["container", "volume"]
    id: str
    name: str
    owner: str  # the state folder that it belongs to, as its label says
    at_work: bool  # a container that runs, or its volume


def list_labelled(client: docker.APIClient) -> list[Labelled]:
    """Everything on the engine that bears our label, containers first. Raises EngineError."""
    ours = {"label": _OWNER}
    try:
        volumes = client.volumes(filters=ours)["Volumes"] or []
        containers = client.containers(all=True, filters=ours)
    except ENGINE_FAULTS as error:
        raise EngineError("The engine could not list what bears our labels", details=str(error)) from error
    found = [
        Labelled(
            kind="container",
            id=one["Id"],
            name=one["Names"][0].lstrip("/") if one["Names"] else one["Id"][:12],
            owner=one["Labels"][_OWNER],
            at_work=one["State"] not in ("created", "exited", "dead"),
        )
        for one in containers
    ]
    busy = {one.name for one in found if one.at_work}  # a sandbox's volume has the name of its container
    return found + [
        Labelled(
            kind="volume",
            id=one["Name"],
            name=one["Name"],
            owner=one["Labels"][_OWNER],
            at_work=one["Name"] in busy,
        )
        for one in volumes
    ]


def remove_labelled(client: docker.APIClient, one: Labelled) -> None:
    """Remove it; nothing happens when it has gone meanwhile. Raises EngineError."""
    try:
        if one.kind == "container":
            client.remove_container(one.id, force=True, v=True)
        else:
            client.remove_volume(one.id)
    except docker.errors.NotFound:
        return
    except ENGINE_FAULTS as error:
        details = str(getattr(error, "explanation", None) or error)
        raise EngineError(f"The engine could not remove {one.name}", details=details) from error
