"""Everything a user can meet that is not an expected outcome of a run.

An expected outcome (a check failed, the agent gave up, a breaker tripped) is a value. What is raised
here means that the world is not as the runner needs it; the command line prints it and exits with
`exit_code`. Anything else that is raised is a bug of ours and exits with 3.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    NOT_ALL_DONE = 1
    USAGE = 2
    BUG = 3
    ENVIRONMENT = 4
    INTERRUPTED = 130


class RunnerError(Exception):
    """What failed (`brief`), what is known of it (`details`), and what to do about it (`hint`)."""

    exit_code = ExitCode.ENVIRONMENT

    def __init__(self, brief: str, *, details: str = "", hint: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.hint = hint


class UsageError(RunnerError):
    """The plan, the configuration or the command line is wrong."""

    exit_code = ExitCode.USAGE


class PlanError(UsageError):
    """The plan has problems; all of them are in `details`, one a line."""


class ConfigError(UsageError):
    """A setting is unknown or has an illegal value."""


class RepositoryError(UsageError):
    """The target is not a repository that a run can start from."""


class UnusableError(RunnerError):
    """The machine, rather than the request, is what is wrong."""


class GitError(UnusableError):
    """git refused to do what we rely on."""


class EngineError(UnusableError):
    """The container engine does not answer, or refuses what a safe sandbox needs."""


class ImageError(UnusableError):
    """A workstream image is missing, or is not the one that was recorded when it was built."""


class SandboxError(UnusableError):
    """The engine lost or broke a sandbox: no verdict about the code can be drawn from it."""


class ModelError(UnusableError):
    """The model's endpoint cannot be used at all (unreachable, or the key is refused)."""


class StoreError(UnusableError):
    """The state database cannot be opened, or is in use by another run."""


class IllegalTransitionError(Exception):
    """A bug of ours: a state change that the table of transitions does not know."""


_MACHINE = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EROFS: "The disk can only be read",
    errno.EIO: "The disk fails",
    errno.EMFILE: "This process may open no more files",
    errno.ENFILE: "The machine can open no more files",
    errno.ENOMEM: "The machine has no memory left",
}


@contextmanager
def machine_faults() -> Iterator[None]:
    """Let what the machine has run out of be an UnusableError; any other OSError may be a bug of ours, and flies on."""
    try:
        yield
    except OSError as error:
        brief = _MACHINE.get(error.errno or 0)
        if brief is None:
            raise
        raise UnusableError(brief, details=str(error), hint="Make room, then try again.") from error
