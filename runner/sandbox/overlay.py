"""The writable layer over a checkout: an overlay that the engine mounts, and that we read afterwards."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

OPAQUE = b"user.overlay.opaque"  # our mounts say `userxattr`; the kernel keeps containers from setting it


@dataclass(frozen=True, slots=True)
class Overlay:
    """The folders of one overlay: `lower` is never written, `upper` takes what the container changes."""

    lower: Path
    scratch: Path

    @property
    def upper(self) -> Path:
        return self.scratch / "upper"

    @property
    def work(self) -> Path:
        return self.scratch / "work"

    def make(self, uid: int) -> None:
        """Make the scratch folders. The merged root takes its owner and mode from `upper`."""
        self.upper.mkdir(parents=True, mode=0o755)
        self.work.mkdir(mode=0o755)
        if os.getuid() == 0:
            os.chown(self.upper, uid, uid)

    def driver_options(self) -> dict[str, str]:
        """Options for the engine's `local` volume driver.

        `volatile` leaves out the fsync of each first write (2,000 edits: 0.4 s instead of 10 s); a layer is
        read once, and thrown away after a crash. The mark it leaves below `work` can be removed by root only, so
        others do without. `userxattr` keeps the marks of the overlay readable without
        privileges, and switches `redirect_dir` and `metacopy` off, which would hide what a layer holds.
        """
        folders = (
            f"lowerdir={_escape(self.lower)},upperdir={_escape(self.upper)},workdir={_escape(self.work)}"
        )
        speed = ",volatile" if os.getuid() == 0 else ""
        return {"type": "overlay", "device": "overlay", "o": f"{folders},userxattr{speed}"}

    def remove(self) -> None:
        """Delete the scratch folders."""
        remove_scratch(self.scratch)


def remove_scratch(scratch: Path) -> None:
    """Delete what an overlay left. The kernel leaves folders of mode 000 behind, empty ones, below `work`."""
    shutil.rmtree(scratch, onerror=_remove_locked)


def _escape(path: Path) -> str:
    """The kernel splits at commas and colons unless a backslash stands before them."""
    text = str(path)
    for character in ("\\", ",", ":"):
        text = text.replace(character, "\\" + character)
    return text


def _remove_locked(function: object, path: str, error: object) -> None:
    del function, error
    entry = Path(path)
    if entry.is_dir() and not entry.is_symlink():
        entry.rmdir()
