import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from stint.errors import StintError


@dataclass(frozen=True, slots=True)
class Settings:
    clients: Mapping[str, str] = field(default_factory=dict)  # short name -> full name

    def full_name(self, client: str) -> str:
        return self.clients.get(client, client)


def load_settings(path: Path) -> Settings:
    """The settings of a file; the defaults when there is none."""
    if not path.exists():
        return Settings()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise StintError(f"{path}: {error}") from error
    known = [each.name for each in fields(Settings)]
    for key in values:
        if key not in known:
            raise StintError(f"{path}: unknown key '{key}'; known are: {', '.join(known)}")
    return Settings(**values)
