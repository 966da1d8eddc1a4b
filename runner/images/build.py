"""Builds the images that are not there yet, and records what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from docker import DockerClient  # noqa: TID251
from docker.models.images import Image  # noqa: TID251

from runner.errors import ImageError
from runner.images.buildkit import build, find_client
from runner.images.commands import Say
from runner.images.debian import Base, find_debian
from runner.images.definitions import IMAGES, ImageDef, inputs_sha256
from runner.images.engine import INPUTS_LABEL, engine, find_image, read_tools
from runner.images.lock import Lock, LockedImage, read_lock, write_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """One image that is there now."""

    reference: str
    id: str
    tools: Mapping[str, str]
    status: Literal["built", "up to date"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    """What all builds of one call share."""

    client: DockerClient
    images_dir: Path
    env: Mapping[str, str]
    say: Say
    log: Say
    force: bool


def build_images(
    *,
    images_dir: Path,
    lock_file: Path,
    base_ref: str,
    env: Mapping[str, str],
    say: Say,
    log: Say,
    force: bool = False,
    definitions: Sequence[ImageDef] = IMAGES,
) -> list[BuiltImage]:
    """Build every image whose inputs changed, and write the lock file. Without a change nothing is done.

    `env` is the host's environment, `say` hears the steps and `log` every line of the builds. `force` builds
    everything anew.
    """
    locked = dict(_recorded(lock_file, say))
    done = []
    with engine() as client:
        host = _Host(client=client, images_dir=images_dir, env=env, say=say, log=log, force=force)
        bases: dict[str | None, Base] = {None: _debian(host, base_ref)}
        for definition in definitions:
            base = bases[definition.parent]
            inputs = inputs_sha256(images_dir / definition.folder, parent_id=base.id)
            built = force or not _is_there(client, definition, inputs)
            if built:
                _build(host, definition, base=base, inputs=inputs)
            image = client.images.get(definition.tagged(inputs))
            image.tag(definition.name, "latest")
            bases[definition.name] = Base(definition.tagged(inputs), str(image.id))
            entry = _entry(client, image, known=locked.get(definition.reference))
            locked[definition.reference] = entry
            done.append(_report(definition, entry, built=built))
    write_lock(lock_file, Lock(images=locked))
    return done


def _recorded(lock_file: Path, say: Say) -> Mapping[str, LockedImage]:
    try:
        return read_lock(lock_file).images
    except ImageError as error:  # it is about to be written anew anyway
        say(f"{error.brief}: it is replaced")
        return {}


def _debian(host: _Host, reference: str) -> Base:
    packages = (host.images_dir / "base" / "packages.txt").read_text(encoding="utf-8").split()
    return find_debian(
        host.client, reference, packages=packages, env=host.env, say=host.say, log=host.log, force=host.force
    )


def _is_there(client: DockerClient, definition: ImageDef, inputs: str) -> bool:
    image = find_image(client, definition.tagged(inputs))
    return image is not None and image.labels.get(INPUTS_LABEL) == inputs


def _build(host: _Host, definition: ImageDef, *, base: Base, inputs: str) -> None:
    host.say(f"Building {definition.name}")
    build(
        find_client(host.env),
        host.images_dir / definition.folder,
        base=base.reference,
        tag=definition.tagged(inputs),
        labels={
            INPUTS_LABEL: inputs,
            "org.opencontainers.image.version": inputs[:12],
            "org.opencontainers.image.base.name": base.reference,
        },
        fresh=host.force,
        env=host.env,
        log=host.log,
    )


def _entry(client: DockerClient, image: Image, *, known: LockedImage | None) -> LockedImage:
    """The image's line in the lock file; its tools are asked only when it is not the one known already."""
    if known and known.id == image.id:
        return known
    return LockedImage(
        id=str(image.id),
        inputs_sha256=image.labels[INPUTS_LABEL],
        layers=tuple(image.attrs["RootFS"]["Layers"]),
        tools=read_tools(client, image),
        built_at=image.attrs["Created"],
    )


def _report(definition: ImageDef, entry: LockedImage, *, built: bool) -> BuiltImage:
    return BuiltImage(
        reference=definition.reference,
        id=entry.id,
        tools=entry.tools,
        status="built" if built else "up to date",
    )
