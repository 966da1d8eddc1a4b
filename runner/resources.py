"""The files that travel with the code: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path

from runner.errors import UnusableError

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """A shipped file or folder, such as `schema/workstream.schema.json`. Raises UnusableError without it."""
    packed = _PACKAGE / "_resources"
    path = (packed if packed.is_dir() else _PACKAGE.parent) / name
    if not path.exists():
        raise UnusableError(
            "The installation of runner is incomplete",
            details=f"{path} is missing.",
            hint="Install runner again.",
        )
    return path


def templates_dir() -> Path:
    return resource("templates")


def images_dir() -> Path:
    return resource("images")


def config_dir() -> Path:
    return resource("config")


def schema_dir() -> Path:
    return resource("schema")
