"""What can be set, with its default, its bounds and what it is for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from runner.core.model import BreakerLimits, Limits, Timeouts

PREFIX = "RUNNER_"
MIB = 1024 * 1024

_LIMITS, _TIMEOUTS, _BREAKER = Limits(), Timeouts(), BreakerLimits()


def _http_url(value: str) -> str:
    if "@" in value:  # its own error type, so that the value, which holds a password, is not shown
        raise PydanticCustomError("secret", "should not hold a user name or key; use model.api_key")
    if not value.startswith(("http://", "https://")) or not value.partition("://")[2].strip("/"):
        raise PydanticCustomError("url", "should be a URL such as https://api.example.com/v1")
    return value.rstrip("/")


def _empty_is_unset(value: object) -> object:
    return None if value == "" else value


_EmptyIsUnset = BeforeValidator(_empty_is_unset)  # TOML has no word for "none"
Url = Annotated[str, AfterValidator(_http_url)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OptionalPath = Annotated[Path | None, _EmptyIsUnset]
AuthorText = Annotated[str, Field(pattern=r"^[^<>\r\n]+$")]  # may stand in a commit's author line


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelSettings(Section):
    base_url: Annotated[Url | None, _EmptyIsUnset] = None
    """The OpenAI-compatible endpoint, with its version: https://api.example.com/v1"""
    name: Annotated[str | None, _EmptyIsUnset] = None
    """The model that the endpoint is asked for; a bundle may name another."""
    api_key: Annotated[SecretStr | None, _EmptyIsUnset] = None
    """The endpoint's key. Better given as RUNNER_MODEL__API_KEY, or in a file of its own."""
    api_key_file: OptionalPath = None
    """A file that holds the key and nothing else; used when there is no api_key."""
    script: OptionalPath = None
    """A file with answers that are given instead of asking a model: for demonstrations and tests."""
    timeout_s: Seconds = 300.0
    """How long one request to the model may take, in seconds."""
    max_output_tokens: Count = 8192
    """The longest answer that is asked for."""
    context_tokens: Count = 131072
    """What the model can take in, its answer included."""
    temperature: Annotated[float | None, Field(ge=0, le=2), _EmptyIsUnset] = 0.0
    """How freely the model answers; 0 is the most repeatable. Empty: not sent, for models that refuse it."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a request is sent again after a passing fault of the endpoint."""


class RunSettings(Section):
    parallel: Count = 4
    """How many workstreams are worked on at the same time."""
    plan: Path = Path("workstreams")
    """The folder (or the one file) with the bundles."""
    infra_retries: Annotated[int, Field(ge=0)] = 3
    """How often a step is done again when the machine, and not the code, was at fault."""
    grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """How long steps at work may take to end by themselves once a run is asked to stop, in seconds."""


class HostSettings(Section):
    sandboxes: Annotated[int | None, Field(ge=1), _EmptyIsUnset] = None
    """Sandboxes of all runs on this machine together. Empty: as many as its cores and memory allow."""
    folder: OptionalPath = None
    """The folder in which the runs of a machine meet. Empty: below /run/lock or the temporary files."""


class CleaningSettings(Section):
    keep_days: Annotated[int, Field(ge=0)] = 14
    """How long `runner gc` keeps worktrees and logs of runs that have ended, in days."""


class LimitSettings(Section):
    memory_mb: Count = _LIMITS.memory_mb
    """Memory of one sandbox, in MiB."""
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] = _LIMITS.cpus
    """Processor cores of one sandbox."""
    pids: Count = _LIMITS.pids
    """Processes and threads of one sandbox."""
    output_mb: Count = _LIMITS.output_bytes // MIB
    """What a command may print, in MiB; more ends the step."""
    file_mb: Count = _LIMITS.file_bytes // MIB
    """The largest file a command may write, in MiB."""

    def to_model(self) -> Limits:
        return Limits(
            memory_mb=self.memory_mb,
            cpus=self.cpus,
            pids=self.pids,
            output_bytes=self.output_mb * MIB,
            file_bytes=self.file_mb * MIB,
        )


class TimeoutSettings(Section):
    edit_s: Seconds = _TIMEOUTS.edit_s
    """Wall time of one edit step, in seconds."""
    static_s: Seconds = _TIMEOUTS.static_s
    """Wall time of the static checks, in seconds."""
    fix_s: Seconds = _TIMEOUTS.fix_s
    """Wall time of one fix step, in seconds."""
    runtime_s: Seconds = _TIMEOUTS.runtime_s
    """Wall time of the acceptance tests, in seconds."""

    def to_model(self) -> Timeouts:
        return Timeouts(**self.model_dump())


class BreakerSettings(Section):
    max_attempts: Count = _BREAKER.max_attempts
    """So many edits, and so many fixes, are tried."""
    max_error_repeats: Count = _BREAKER.max_error_repeats
    """In so many checks the same error may be found."""
    oscillation_threshold: Count = _BREAKER.oscillation_threshold
    """So many times the same tree may be proposed."""

    def to_model(self) -> BreakerLimits:
        return BreakerLimits(**self.model_dump())


class ImageSettings(Section):
    base: str = "debian:bookworm-slim"
    """What the base image is built from."""
    python: str = "runner/python:latest"
    """The image that steps run in."""
    verify: bool = True
    """Refuse an image that is not the one recorded when the images were built."""


class PathSettings(Section):
    state: Path = Path(".runner")
    """The folder with everything a run leaves behind: state, worktrees, logs, reports."""
    tool_profiles: OptionalPath = None
    """A file of tool profiles that are added to the built-in ones, or replace them by name."""


class AgentSettings(Section):
    author_name: AuthorText = "Aider via runner"
    """The author of the commits."""
    author_email: AuthorText = "noreply@runner.invalid"
    """The author's address."""

    @property
    def author(self) -> str:
        """As git writes it: `name <address>`."""
        return f"{self.author_name} <{self.author_email}>"


class Settings(BaseSettings):
    """All settings. Made directly it holds defaults and what is passed, and reads nothing."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    model: ModelSettings = ModelSettings()
    run: RunSettings = RunSettings()
    host: HostSettings = HostSettings()
    limits: LimitSettings = LimitSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    breaker: BreakerSettings = BreakerSettings()
    images: ImageSettings = ImageSettings()
    paths: PathSettings = PathSettings()
    agent: AgentSettings = AgentSettings()
    gc: CleaningSettings = CleaningSettings()

    layers: ClassVar[Sequence[PydanticBaseSettingsSource]] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, *cls.layers)
