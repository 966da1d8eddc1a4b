"""Which paths a workstream may change, and which it may create."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pathspec import PathSpec, RegexPattern
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from runner.core.pattern import CONTROL, PatternError, fault, is_git_name, literal, normal, segments


@dataclass(frozen=True, slots=True)
class Scope:
    """Two lists of gitignore-style patterns; in each the last pattern that matches decides.

    A pattern for a folder stands for everything below it, also in a negation: `!src/gen/` takes all of
    `src/gen` out. Raises PatternError where `core.pattern.fault` objects.
    """

    files_scope: tuple[str, ...]
    files_create: tuple[str, ...] = ()
    _change: PathSpec[RegexPattern] = field(init=False, repr=False, compare=False)
    _create: PathSpec[RegexPattern] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_change", _compile(self.files_scope))
        object.__setattr__(self, "_create", _compile(self.files_create))

    def judge(self, path: str, *, existed_at_base: bool, kind: str = "modify") -> str | None:
        """Why a change of a path (relative, with `/`) is refused; None when the scope allows it."""
        if reason := _never(path):
            return reason
        name = normal(path)
        if self._change.match_file(name):
            return None
        if not self._create.match_file(name):
            return "is outside files_scope and files_create"
        if existed_at_base:
            return f"is in files_create only, and it existed before: it may not be changed ({kind})"
        return None

    def plain_files(self, existing: Sequence[str], *, at_most: int = 200) -> tuple[str, ...]:
        """The files to hand to an agent: those named one by one, then those of `existing` in files_scope.

        A name without wildcard that stands for a folder of `existing`, or for files of that name elsewhere in
        the repository, is not a file of its own.
        """
        present = [path for path in existing if self._change.match_file(normal(path))]
        spelling = {normal(path): path for path in existing}
        named = [
            *(name for name in _literals(self.files_scope) if name in spelling or not _covers(name, present)),
            *_literals(self.files_create),
        ]
        folders = {parent for path in spelling for parent in _parents(path)}
        files = [spelling.get(name, name) for name in named if name not in folders and self._allows(name)]
        return tuple(dict.fromkeys([*files, *present]))[:at_most]

    def _allows(self, path: str) -> bool:
        return self.judge(path, existed_at_base=False) is None


def _compile(patterns: Sequence[str]) -> PathSpec[RegexPattern]:
    # Not GitIgnoreSpec: there a negated folder yields to any earlier pattern for a file, so that
    # `*.py` with `!gen/` would leave gen/a.py in scope. Here what is taken out is out.
    return PathSpec(map(_regex, patterns), backend="simple")


def _regex(pattern: str) -> RegexPattern:
    if reason := fault(pattern):
        raise PatternError(f"{pattern!r} {reason}")
    regex, include = GitIgnoreSpecPattern.pattern_to_regex(normal(pattern))
    # In pathspec a negated set (`[!a]`) would match a slash, which it never does in git.
    return RegexPattern(re.compile(re.sub(r"\[\^(?!/)", "(?!/)[^", regex or "")), include)


def _never(path: str) -> str | None:
    names = re.split(r"[/\\]", path)
    if any(map(is_git_name, names)):
        return "belongs to git itself"
    if CONTROL.search(path):
        return "has a control character in its name"
    if path.startswith(("/", "\\")) or not {"", ".", ".."}.isdisjoint(path.split("/")):
        return "is not a plain path inside the repository"
    return None


def _literals(patterns: Sequence[str]) -> list[str]:
    """The paths that patterns without wildcards name, folders and negations left out."""
    found = []
    for pattern in patterns:
        names = [literal(segment) for segment in segments(pattern)]
        if not pattern.startswith("!") and not pattern.endswith("/") and None not in names:
            found.append("/".join(name for name in names if name is not None))
    return found


def _covers(name: str, present: Sequence[str]) -> bool:
    """Whether a bare name already stands for some of the present files, in other folders."""
    return "/" not in name and any(name in normal(path).split("/") for path in present)


def _parents(path: str) -> list[str]:
    return [path[: match.start()] for match in re.finditer("/", path)]
