"""git, asked one question at a time and kept from running anything that is not git.

The target repository's own configuration can name programs: hooks, filters, merge drivers, a file system
monitor. So objects are read and written through a *plumbing directory*: a git directory of our own that
shares nothing with the target but its object store. The target's directory itself is used only to read and
move references and to register worktrees, with every such program switched off.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner.core.model import Commit, Tree
from runner.errors import GitError, RepositoryError
from runner.process import CommandError, Completed, run

OLDEST_GIT = (2, 38)  # `merge-tree --write-tree`

TIMEOUT_S = 600.0

_SCRATCH = "runner-scratch"

_SWITCHED_OFF = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.untrackedCache=false",
    "core.quotePath=false",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
)

# Content is taken byte for byte: no line ending conversion, no filter, no keyword.
_RAW_ATTRIBUTES = "* -text -filter -ident -working-tree-encoding merge\n"


@dataclass(frozen=True, slots=True)
class Git:
    """A git directory and the environment in which git runs on it."""

    git_dir: Path
    env: Mapping[str, str]

    def call(
        self,
        *args: str,
        input: bytes = b"",
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Completed:
        """Run one git command. Raises GitError when it fails and `check` is set."""
        options = [part for setting in _SWITCHED_OFF for part in ("-c", setting)]
        argv = ["git", f"--git-dir={self.git_dir}", *options, *args]
        try:
            return run(
                argv,
                timeout_s=TIMEOUT_S,
                env={**self.env, **(env or {})},
                cwd=self.git_dir,  # not the caller's folder, whose .gitattributes git would read
                input=input,
                check=check,
            )
        except CommandError as error:
            raise GitError(f"git {args[0]} failed", details=error.details or error.brief) from error

    def text(self, *args: str, env: Mapping[str, str] | None = None) -> str:
        return self.call(*args, env=env).text

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder within the git directory for what git works on; gone afterwards, unless we are killed."""
        place = self.git_dir / _SCRATCH
        place.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            yield Path(folder)

    def clear_scratch(self) -> None:
        """Remove what killed processes left; nobody else may be at work here."""
        shutil.rmtree(self.git_dir / _SCRATCH, ignore_errors=True)

    def items(self, *args: str, env: Mapping[str, str] | None = None) -> list[str]:
        """The NUL-terminated items a command prints."""
        return [item for item in os.fsdecode(self.call(*args, env=env).stdout).split("\0") if item]


@dataclass(frozen=True, slots=True)
class Repository:
    """The target repository."""

    top: Path  # its working tree
    git: Git  # references and worktrees
    plumbing: Git  # objects, trees and commits

    def head(self) -> Commit:
        """The commit that is checked out. Raises RepositoryError when there is none."""
        found = self.git.call("rev-parse", "--verify", "-q", "HEAD^{commit}", check=False)
        if found.returncode != 0:
            raise RepositoryError(
                "The repository has no commit yet",
                hint="A run starts from a commit: commit what you have, then run again.",
            )
        return Commit(found.text)

    def branch(self) -> str | None:
        """The branch that is checked out, or None when HEAD is detached."""
        found = self.git.call("symbolic-ref", "-q", "--short", "HEAD", check=False)
        return found.text if found.returncode == 0 else None

    def changed_files(self) -> list[str]:
        """Tracked files of the working tree that differ from HEAD."""
        work = {"GIT_WORK_TREE": str(self.top)}
        self.git.call("update-index", "-q", "--refresh", env=work, check=False)
        # Said here too: of the settings above, this command does not read the one about submodules.
        return self.git.items(
            "diff-index", "--name-only", "-z", "--ignore-submodules=all", "HEAD", "--", env=work
        )

    def tree(self, commit: Commit) -> Tree:
        return Tree(self.plumbing.text("rev-parse", "--verify", f"{commit}^{{tree}}"))

    def ref(self, name: str) -> Commit | None:
        """What a full reference name points at, or None."""
        found = self.git.call(
            "rev-parse", "--verify", "-q", "--end-of-options", f"{name}^{{commit}}", check=False
        )
        return Commit(found.text) if found.returncode == 0 else None

    def set_ref(self, name: str, new: Commit | None, *, old: Commit | None) -> None:
        """Move a reference that is still at `old`; None stands for one that does not exist. Raises GitError otherwise."""
        nothing = "0" * len(new or old or "")
        self.git.call("update-ref", "-m", "runner", name, new or nothing, old or nothing)

    def branches(self, prefix: str) -> dict[str, Commit]:
        """Branch names below a prefix, without `refs/heads/`."""
        listed = self.git.text(
            "for-each-ref", "--format=%(refname:short) %(objectname)", f"refs/heads/{prefix}"
        )
        pairs = (line.rsplit(" ", 1) for line in listed.splitlines())
        return {name: Commit(commit) for name, commit in pairs}

    def checked_out(self) -> list[str]:
        """Branches that a working tree of the repository has checked out."""
        listed = self.git.items("worktree", "list", "--porcelain", "-z")
        return [item.removeprefix("branch refs/heads/") for item in listed if item.startswith("branch ")]

    def files(self, commit: Commit) -> list[str]:
        """Every file of a commit, submodules left out."""
        entries = self.plumbing.items("ls-tree", "-r", "-z", commit)
        return [
            path
            for meta, path in (entry.split("\t", 1) for entry in entries)
            if not meta.startswith("160000")
        ]

    def changed(self, old: Commit, new: Commit) -> list[str]:
        """Files that differ between two commits, deleted ones left out."""
        return self.plumbing.items(
            "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=d", old, new
        )

    def diff(self, old: Commit, new: Commit) -> str:
        """The difference as a patch, whatever the tree's attributes say about showing it."""
        shown = self.plumbing.call(
            "diff-tree", "-r", "-p", "--text", "--no-ext-diff", "--no-textconv", "--no-renames", old, new
        )
        return shown.stdout.decode("utf-8", "replace")

    def read(self, commit: Commit, path: str) -> str | None:
        """The text of a file of a commit, or None when there is none."""
        found = self.plumbing.call("cat-file", "blob", f"{commit}:{path}", check=False)
        return found.stdout.decode("utf-8", "replace") if found.returncode == 0 else None


def environment(source: Mapping[str, str]) -> dict[str, str]:
    """An environment for git: none of the caller's git settings, no configuration but the repository's."""
    kept = {name: source[name] for name in ("PATH", "HOME", "TMPDIR") if name in source}
    return {
        **kept,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def find_top(path: Path, env: Mapping[str, str]) -> Path:
    """The top folder of the working tree that a path is in. Raises RepositoryError when there is none."""
    return _discover(path, env)[0]


def open_repository(path: Path, *, plumbing_dir: Path, env: Mapping[str, str]) -> Repository:
    """The repository that a path is in; makes the plumbing directory when it is not there yet."""
    top, git_dir, common = _discover(path, env)
    target = Git(git_dir, environment(env))
    shared = {**environment(env), "GIT_OBJECT_DIRECTORY": str(common / "objects")}
    plumbing = Git(plumbing_dir, shared)
    _make_plumbing(plumbing_dir, target, common)
    return Repository(top, target, plumbing)


def _discover(path: Path, env: Mapping[str, str]) -> tuple[Path, Path, Path]:
    """The top folder, the git directory, and the one it shares with others: a linked worktree has both."""
    own = {name: value for name, value in env.items() if not name.startswith("GIT_")}
    ask = [
        "git",
        "-C",
        str(path),
        "rev-parse",
        "--path-format=absolute",
        "--show-toplevel",
        "--absolute-git-dir",
        "--git-common-dir",
    ]
    if not path.is_dir():
        raise RepositoryError(f"There is no folder {path}")
    found = run(ask, timeout_s=60, env=own, check=False)
    if found.returncode != 0:
        raise RepositoryError(
            f"{path} is not in the working tree of a git repository",
            details=found.stderr.decode("utf-8", "replace").strip(),
            hint="Change to your repository, or name it with --repo. A new one: git init && git add . && git commit",
        )
    top, git_dir, common = found.text.split("\n")
    return Path(top), Path(git_dir), Path(common)


def _make_plumbing(folder: Path, target: Git, common: Path) -> None:
    object_format = target.text("rev-parse", "--show-object-format")
    extension = "[extensions]\n\tobjectFormat = sha256\n" if object_format == "sha256" else ""
    version = 1 if extension else 0
    for name in ("objects", "refs", "info"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "HEAD").write_text("ref: refs/heads/none\n")
    (folder / "config").write_text(
        f"[core]\n\trepositoryformatversion = {version}\n\tbare = false\n{extension}"
    )
    (folder / "info" / "attributes").write_text(_RAW_ATTRIBUTES)
    shallow = common / "shallow"
    if shallow.exists():  # a shallow clone's history ends there; without this git would look for the rest
        (folder / "shallow").write_bytes(shallow.read_bytes())
    else:
        (folder / "shallow").unlink(missing_ok=True)


def exclude(top: Path, folder: Path, *, env: Mapping[str, str]) -> bool:
    """Keep a folder of the repository out of git, in this clone only; whether there was anything to do."""
    if not folder.is_relative_to(top) or folder == top:
        return False
    pattern = f"/{folder.relative_to(top).as_posix()}/"
    own = {name: value for name, value in env.items() if not name.startswith("GIT_")}
    ask = ["git", "-C", str(top), "rev-parse", "--path-format=absolute", "--git-path", "info/exclude"]
    path = Path(run(ask, timeout_s=60, env=own).text)
    text = path.read_text(errors="surrogateescape") if path.exists() else ""
    if pattern in text.splitlines():
        return False
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"{pattern}\n" if not text or text.endswith("\n") else f"\n{pattern}\n")
    return True


def version(env: Mapping[str, str]) -> tuple[int, ...]:
    """git's version as numbers."""
    words = run(["git", "--version"], timeout_s=60, env=environment(env)).text.split()
    return tuple(int(part) for part in words[2].split(".")[:3] if part.isdigit())


def ignored(plumbing: Git, worktree: Path, paths: Sequence[str]) -> set[str]:
    """Those of the paths that the ignore files of a worktree exclude, whether they exist or not."""
    if not paths:
        return set()
    asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
    env = {"GIT_WORK_TREE": str(worktree)}
    found = plumbing.call("check-ignore", "--no-index", "-z", "--stdin", input=asked, env=env, check=False)
    return {item for item in os.fsdecode(found.stdout).split("\0") if item}
