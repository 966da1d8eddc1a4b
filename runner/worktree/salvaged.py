"""What was saved under refs/runner/salvage: finding it, and giving it back as a branch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from runner.core.model import Commit, RunId, WsId
from runner.core.naming import SALVAGE
from runner.errors import GitError, UsageError
from runner.git import Repository

_FORMAT = "%(refname)%00%(objectname)%00%(committerdate:iso-strict)%00%(contents:subject)"
_KIND = re.compile(r"-(replaced|worktree)(-\d+)?$")  # what follows a workstream's id
_LISTED = 5  # references named in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """A commit that was saved."""

    ref: str
    commit: Commit
    date: str  # ISO 8601, of the commit
    subject: str

    @property
    def name(self) -> str:
        """The reference without what all of them begin with: `run/workstream`."""
        return self.ref.removeprefix(f"{SALVAGE}/")

    @property
    def run_id(self) -> RunId:
        return RunId(self.name.partition("/")[0])

    @property
    def last_part(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def ws_id(self) -> WsId:
        return WsId(_KIND.sub("", self.last_part))


def list_salvaged(repository: Repository) -> list[Salvaged]:
    """Everything that was saved, the newest first."""
    listed = repository.git.text("for-each-ref", f"--format={_FORMAT}", "--sort=-committerdate", SALVAGE)
    rows = (line.split("\0", 3) for line in listed.splitlines())
    return [
        Salvaged(ref=ref, commit=Commit(commit), date=date, subject=subject)
        for ref, commit, date, subject in rows
    ]


def find_salvaged(repository: Repository, wanted: str) -> Salvaged:
    """What a reference names, in full or shortened: without its beginning, `run/workstream` with a part of the
    run's id, or the last part alone. Raises UsageError when nothing or more than one is meant."""
    known = list_salvaged(repository)
    exact = [one for one in known if wanted in (one.ref, one.name)]
    match exact or [one for one in known if _means(wanted, one)]:
        case [one]:
            return one
        case []:
            raise _unknown(wanted, known)
        case several:
            raise UsageError(
                f"{wanted!r} names more than one saved commit",
                details="\n".join(one.name for one in several),
                hint="Give more of the reference.",
            )


def restore(repository: Repository, one: Salvaged, branch: str | None = None) -> str:
    """Make a branch at a saved commit; the branch's name, by default `salvage/` and the reference's last part.

    Raises UsageError when the branch exists already or cannot have this name. The reference stays.
    """
    name = branch or f"salvage/{one.last_part}"
    checked = repository.git.call("check-ref-format", "--branch", name, check=False)
    if checked.text != name:
        raise UsageError(f"{name!r} cannot be the name of a branch", hint="Give another: --branch NAME")
    ref = f"refs/heads/{name}"
    if repository.ref(ref) is not None:
        raise UsageError(f"The branch {name} exists already", hint="Give another name: --branch NAME")
    try:
        repository.set_ref(ref, one.commit, old=None)
    except GitError as error:  # a branch and a folder of the same name
        raise UsageError(
            f"The branch {name} cannot be made",
            details=error.details,
            hint="Give another name: --branch NAME",
        ) from error
    return name


def _means(wanted: str, one: Salvaged) -> bool:
    run, slash, last = wanted.rpartition("/")
    if last != one.last_part:
        return False
    known = one.run_id.upper()
    return not slash or known.startswith(run.upper()) or known.endswith(run.upper())


def _unknown(wanted: str, known: Sequence[Salvaged]) -> UsageError:
    if not known:
        return UsageError(f"There is no saved commit {wanted!r}", details="Nothing has been saved here.")
    names = {name: one.name for one in reversed(known) for name in (one.last_part, one.name)}
    close = get_close_matches(wanted, names, n=1)
    listed = [one.name for one in known[:_LISTED]]
    more = [f"... and {len(known) - _LISTED} more"] if len(known) > _LISTED else []
    return UsageError(
        f"There is no saved commit {wanted!r}",
        details="\n".join(["Known are:", *listed, *more]),
        hint=f"Did you mean {names[close[0]]}?" if close else "",
    )
