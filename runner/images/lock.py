"""The lock file: which images were built here, and what is in them."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from runner.errors import ImageError
from runner.images.engine import engine, find_image

_REBUILD = "Run: runner build-images"


class LockedImage(BaseModel):
    """One image as it was when it was built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    inputs_sha256: str
    layers: tuple[str, ...]
    tools: dict[str, str]  # name -> version
    built_at: str


class Lock(BaseModel):
    """All images, by reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    images: dict[str, LockedImage] = {}


def lock_path(images_dir: Path) -> Path:
    """Where the lock file is: beside the images, or in the user's state where those can't be written."""
    if os.access(images_dir, os.W_OK):
        return images_dir / "lock.json"
    return Path.home() / ".local" / "state" / "runner" / "images-lock.json"


def read_lock(path: Path) -> Lock:
    """The lock file's content; an empty lock when there is no file. Raises ImageError when it is damaged."""
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Lock()
    except (ValidationError, OSError) as error:
        raise ImageError(
            "The lock file of the images can't be read", details=f"{path}: {error}", hint=_REBUILD
        ) from error


def write_lock(path: Path, lock: Lock) -> None:
    """Replace the lock file, whole or not at all; a file that says the same stays as it is."""
    text = lock.model_dump_json(indent=2) + "\n"
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def check_image(reference: str, lock_file: Path, *, verify: bool = True) -> str:
    """The id of the image that a run must use: the very one that was recorded when it was built.

    Raises ImageError when there is no such image, or when it is another one. Without `verify` whatever
    the reference names is taken.
    """
    with engine() as client:
        image = find_image(client, reference)
    if image is None or image.id is None:
        raise ImageError(f"The image '{reference}' is missing", hint=_REBUILD)
    if verify:
        _compare(reference, image.id, read_lock(lock_file).images.get(reference))
    return image.id


def _compare(reference: str, found: str, locked: LockedImage | None) -> None:
    anyway = f"{_REBUILD}. To use it as it is: RUNNER_IMAGES__VERIFY=false (images.verify = false)"
    if locked is None:
        raise ImageError(
            f"The image '{reference}' is not one that was built here", details=f"found: {found}", hint=anyway
        )
    if locked.id != found:
        raise ImageError(
            f"The image '{reference}' is not the one that was built here",
            details=f"recorded: {locked.id}\nfound:    {found}",
            hint=anyway,
        )
