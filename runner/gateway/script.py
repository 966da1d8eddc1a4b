"""The file that a scripted model reads its answers from: written by hand, in TOML.

    delay_s = 0                  # before each answer (optional)

    [[answers]]
    workstream = "add-parser"    # its requests are answered in the order of the file
    content = \'\'\'...\'\'\'          # what the model says

    [[answers]]
    workstream = "add-parser"
    status = 503                 # an HTTP error instead of an answer
    retry_after_s = 2            # optional: with the error, a Retry-After header
    times = 2                    # optional: so many times in a row

    [[answers]]
    workstream = "add-parser"
    drop = true                  # the connection is closed: at once, or half-way through `content`

An answer may also have `delay_s` (instead of the file's), `finish_reason` (`stop`, `length` or
`content_filter`) and `usage = {prompt_tokens = 100, completion_tokens = 20}`. Without `usage`, the
tokens are counted roughly, as a quarter of the characters.
"""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from runner.errors import ConfigError


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ScriptedUsage(_Table):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class ScriptedAnswer(_Table):
    workstream: str = Field(min_length=1)
    content: str | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    drop: bool = False
    delay_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    times: int = Field(default=1, ge=1)
    finish_reason: Literal["stop", "length", "content_filter"] = "stop"
    usage: ScriptedUsage | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.content is None and self.status is None and not self.drop:
            raise ValueError("needs one of `content`, `status` and `drop`")
        if self.status is not None and (self.content is not None or self.drop):
            raise ValueError("`status` stands instead of `content` and `drop`")
        if self.retry_after_s is not None and self.status is None:
            raise ValueError("`retry_after_s` belongs to a `status`")
        return self


class Script(_Table):
    delay_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    answers: list[ScriptedAnswer] = Field(default_factory=list)


def load_script(path: Path) -> Script:
    """Read a script; a ConfigError tells all that is wrong with it at once."""
    try:
        return Script.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(
            f"The script {path} cannot be read.", details=error.strerror or str(error)
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The script {path} is not TOML.", details=str(error)) from None
    except ValidationError as error:
        problems = [_problem(path, item["loc"], item["msg"]) for item in error.errors()]
        raise ConfigError(f"The script {path} has problems.", details="\n".join(problems)) from None


def _problem(path: Path, place: tuple[int | str, ...], message: str) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{path.name}: {where.lstrip('.')}: {message.removeprefix('Value error, ')}"
