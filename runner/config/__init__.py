"""The layers that the settings come from, and what was wrong with them.

Every setting is in a section, so an environment name always holds two underscores
(`RUNNER_MODEL__NAME`). GitHub's own runner sets `RUNNER_OS`, `RUNNER_TEMP` and more of that kind:
names without the two underscores are not ours and are left alone.
"""

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from runner.config.settings import PREFIX, Section, Settings
from runner.errors import ConfigError
from runner.resources import config_dir


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and where each came from, by dotted name."""

    settings: Settings
    origins: Mapping[str, str]


def environment() -> Mapping[str, str]:
    """The process's environment: read here, passed on as an argument everywhere."""
    return dict(os.environ)  # noqa: TID251


def load_settings(
    *,
    repo: Path | None,
    env: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    installed: Path | None = None,
) -> Resolved:
    """The settings from all layers; relative paths in them mean the target repository.

    `flags` are by dotted name; those that are None were not given. `installed` replaces the
    installation's own file. Raises ConfigError with every problem of every layer.
    """
    files = [installed or config_dir() / "runner.toml"]
    if repo is not None:
        files.append(repo / ".runner" / "config.toml")
    layers, problems = _read(files)
    layers += [_env_layer(env), _flag_layer(flags or {})]
    problems += [problem for layer in layers for problem in _problems(layer)]
    if problems:
        raise ConfigError(
            "The settings cannot be used",
            details="\n".join(problems),
            hint="`config/runner.toml` of the installation lists every setting; `runner config` shows what is in force.",
        )
    settings = _settings(*(layer.source for layer in reversed(layers)))
    return Resolved(settings if repo is None else _anchored(settings, repo), _origins(layers))


def leaves(settings: Settings) -> Iterator[tuple[str, object]]:
    """Every setting by its dotted name."""
    for section_name, section in settings:
        for name, value in section:
            yield f"{section_name}.{name}", value


def model_key(settings: Settings) -> SecretStr | None:
    """The key of the model's endpoint, if there is one. Reads its file; raises ConfigError when it is no key."""
    model = settings.model
    if model.api_key is not None:
        return _checked_key(model.api_key.get_secret_value(), "model.api_key")
    if model.api_key_file is None:
        return None
    try:
        text = model.api_key_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "The model's key cannot be read",
            details=f"model.api_key_file: {error}",
            hint="Name a readable file that holds the key, or set RUNNER_MODEL__API_KEY.",
        ) from error
    return _checked_key(text, str(model.api_key_file))


def _checked_key(text: str, where: str) -> SecretStr:
    key = text.strip()
    if not key or not key.isascii() or len(key.split()) != 1:  # it has to fit into one HTTP header
        raise ConfigError(
            "The model's key is not usable",
            details=f"{where} {'is not one word of ASCII characters' if key else 'is empty'}.",
            hint="It should hold the key and nothing else.",
        )
    return SecretStr(key)


@dataclass(frozen=True, slots=True)
class _Layer:
    source: PydanticBaseSettingsSource
    origin: Callable[[str], str]  # where a dotted name stands in this layer


class _EnvSource(EnvSettingsSource):
    """A given environment. Unlike its base it keeps sections that do not exist, to be complained of."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(Settings)
        self.env_vars = {
            name.lower(): value
            for name, value in env.items()
            if name.upper().startswith(PREFIX) and "__" in name[len(PREFIX) :] and value
        }

    def __call__(self) -> dict[str, Any]:
        data = super().__call__()
        for name, value in self.env_vars.items():
            section, _, rest = name.removeprefix(PREFIX.lower()).partition("__")
            if section not in Settings.model_fields:
                data.setdefault(section, {})[rest] = value
        return data


def _read(files: Sequence[Path]) -> tuple[list[_Layer], list[str]]:
    layers: list[_Layer] = []
    problems: list[str] = []
    for path in files:
        try:
            source = TomlConfigSettingsSource(Settings, path)
        except (OSError, ValueError) as error:  # unreadable, not UTF-8, or not TOML (which names the line)
            problems.append(f"{path}: {error}")
        else:
            layers.append(_Layer(source, partial(_in_file, path)))
    return layers, problems


def _in_file(path: Path, _key: str) -> str:
    return str(path)


def _env_layer(env: Mapping[str, str]) -> _Layer:
    return _Layer(_EnvSource(env), lambda key: f"environment {PREFIX}{key.replace('.', '__').upper()}")


def _flag_layer(flags: Mapping[str, object]) -> _Layer:
    nested: dict[str, dict[str, object]] = {}
    for key, value in flags.items():
        if value is not None:
            section, _, name = key.partition(".")
            nested.setdefault(section, {})[name] = value
    source = InitSettingsSource(Settings, dict(nested))
    return _Layer(source, lambda key: f"flag --{key.rpartition('.')[2].replace('_', '-')}")


def _settings(*sources: PydanticBaseSettingsSource) -> Settings:
    """The settings that some sources make, the strongest first."""

    class Layered(Settings):
        layers = sources

    return Layered()


def _problems(layer: _Layer) -> list[str]:
    """What is wrong with a layer. Each is valid by itself, so a fault is found even where it is overridden."""
    try:
        _settings(layer.source)
    except ValidationError as error:
        return [line for fault in error.errors() for line in _explain(fault, layer)]
    return []


def _explain(fault: ErrorDetails, layer: _Layer) -> list[str]:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        unknown = [name for name, _ in _flat(fault["input"], key)]
        return [f"{layer.origin(name)}: there is no setting {name}{_did_you_mean(name)}" for name in unknown]
    if fault["type"] == "model_type":
        return [f"{layer.origin(key)}: {key} should be a table"]
    hidden = key == "model.api_key" or fault["type"] == "secret"
    value = "" if hidden else f" = {fault['input']!r}"
    return [f"{layer.origin(key)}: {key}{value} {fault['msg'].removeprefix('Input ')}"]


def _did_you_mean(key: str) -> str:
    known = [name for name, _ in leaves(Settings())]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _flat(value: object, key: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _origins(layers: Sequence[_Layer]) -> dict[str, str]:
    origins = {key: "default" for key, _ in leaves(Settings())}
    for layer in layers:
        origins |= {key: layer.origin(key) for key, _ in _flat(layer.source(), "") if key in origins}
    return origins


def _anchored(settings: Settings, repo: Path) -> Settings:
    def anchor(section: Section) -> Section:
        paths = {name: repo / value.expanduser() for name, value in section if isinstance(value, Path)}
        return section.model_copy(update=paths)

    return settings.model_copy(update={name: anchor(section) for name, section in settings})
