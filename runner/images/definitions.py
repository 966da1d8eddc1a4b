"""The images that can be built, and the fingerprint that tells whether one has to be."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDef:
    """One image of ours."""

    name: str
    folder: str  # below the images folder: its Dockerfile and everything it copies
    parent: str | None  # the name of the image it stands on; None: Debian

    @property
    def reference(self) -> str:
        """What a run asks for."""
        return f"{self.name}:latest"

    def tagged(self, inputs: str) -> str:
        """The reference that stays with one state of the inputs."""
        return f"{self.name}:{inputs[:12]}"


# Parents stand before their children.
IMAGES = (
    ImageDef(name="runner/base", folder="base", parent=None),
    ImageDef(name="runner/python", folder="python", parent="runner/base"),
)


def inputs_sha256(folder: Path, *, parent_id: str) -> str:
    """A fingerprint of all that an image is made from: its folder's files and the image it stands on."""
    digest = hashlib.sha256(parent_id.encode())
    for file in _files(folder):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"\n{file.relative_to(folder).as_posix()}\0{content}".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    """The files that reach the build, as the folders' .dockerignore has it."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(file for file in files if file.suffix != ".pyc" and "__pycache__" not in file.parts)
