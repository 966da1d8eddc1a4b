"""Where an orchestrator can be killed: each side effect of its code is a failpoint, found while it runs.

The interpreter reports what a program does to the world (PEP 578), so the program itself holds no mark of all this. A
failpoint is named by what is about to happen and by the functions that asked for it, which does not change when a
line is added elsewhere. What takes its time has three: before it, during it (asked for, and not answered yet), after it.
"""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal

import httpx
from sqlalchemy.engine.default import DefaultDialect

import runner

When = Literal["before", "during", "after"]

_HOME = str(Path(runner.__file__).parent) + os.sep
_WRITING = os.O_WRONLY | os.O_RDWR
_REQUEST = re.compile(rb"(POST|PUT|DELETE) (?:/v[\d.]+)?/([^ ?]*)\S* HTTP/")

# Functions by which others act: a place is where the decision to act was made, and who called for it.
_CARRIERS = (
    "process.py:",
    "git.py:Git.",
    "store/runs.py:",
    "engine/journal.py:",
    "log.py:",
    "report/files.py:_write",
    "sandbox/container.py:until_gone",
)

READING_GIT = frozenset(
    [
        "--version",
        "cat-file",
        "check-ignore",
        "diff-index",
        "diff-tree",
        "for-each-ref",
        "ls-files",
        "ls-tree",
        "rev-list",
        "rev-parse",
        "symbolic-ref",
    ]
)
_WAITING = re.compile(r"POST containers/\*/wait")

_FILES = frozenset(
    [
        "fcntl.flock",
        "os.chmod",
        "os.chown",
        "os.killpg",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "shutil.rmtree",
        "socket.bind",
    ]
)


@dataclass(frozen=True, slots=True, order=True)
class Failpoint:
    """One kind of side effect at one place; it may be passed many times."""

    act: str
    place: str
    when: When

    def __str__(self) -> str:
        return f"{self.when} {self.act} @ {self.place}"

    @classmethod
    def parse(cls, text: str) -> "Failpoint":
        asked, _, place = text.partition(" @ ")
        when, _, act = asked.partition(" ")
        assert when in ("before", "during", "after"), text
        return cls(act, place, when)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Passed:
    """An orchestrator came by a failpoint."""

    failpoint: Failpoint
    nearest: str  # the function of ours that made the call

    @property
    def functions(self) -> tuple[str, str]:
        """Who acted: the function that made the call, and the one on whose behalf."""
        return self.nearest, self.failpoint.place.partition(" < ")[0]

    def __str__(self) -> str:
        return f"{self.failpoint}\t{self.nearest}"

    @classmethod
    def parse(cls, line: str) -> "Passed":
        text, _, nearest = line.partition("\t")
        return cls(Failpoint.parse(text), nearest)


def read_trace(path: Path) -> list[Passed]:
    """What an orchestrator came by, in order; nothing when it did not come far enough."""
    return [Passed.parse(line) for line in path.read_text().splitlines()] if path.exists() else []


class Watch:
    """Writes each failpoint that this process comes by into a file, and kills it at the one that was asked for."""

    def __init__(self, trace: Path, kill_at: Failpoint | None, nth: int) -> None:
        self._file = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._kill_at = kill_at
        self._nth = nth
        self._passed: Counter[Failpoint] = Counter()
        self._lock = threading.Lock()

    def install(self) -> None:
        """From now on, for good."""
        _wrap(subprocess.Popen, "communicate", self._around(lambda child, *_: _git(child.args)))
        _wrap(
            http.client.HTTPConnection, "getresponse", self._around(lambda asked: getattr(asked, "_act", ""))
        )
        _wrap(DefaultDialect, "do_commit", self._around(lambda *_: "commit", before="before"))
        httpx.AsyncClient.send = self._asking(httpx.AsyncClient.send)  # type: ignore[method-assign]
        sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        act = _ACTS[event](args) if event in _ACTS else event if event in _FILES else ""
        if act:
            self._pass(act, "before")

    def _around(self, act_of: Callable[..., str], *, before: When = "during") -> Callable[..., Any]:
        """What stands before and after a call of a library, given its arguments."""

        def around(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
            act = act_of(*args)
            if act:
                self._pass(act, before)
            result = call(*args, **named)
            if act:
                self._pass(act, "after")
            return result

        return around

    def _asking(self, send: Callable[..., Awaitable[httpx.Response]]) -> Callable[..., Any]:
        """A request to the model. Its connection is made in a task of its own, in which nobody sees who asked."""

        async def asking(*args: Any, **named: Any) -> httpx.Response:
            self._pass("ask the model", "before")
            response = await send(*args, **named)
            self._pass("ask the model", "after")
            return response

        return asking

    def _pass(self, act: str, when: When) -> None:
        frames = _our_frames(sys._getframe(2))
        if not frames or frames[0].endswith("reading") or frames[0].endswith("<module>"):
            return  # a transaction that only read has a commit too, and importing does nothing of ours
        deciding = [frame for frame in frames if not frame.startswith(_CARRIERS) and "<lambda>" not in frame]
        failpoint = Failpoint(act, " < ".join((deciding or frames)[:2]), when)
        with self._lock:
            self._passed[failpoint] += 1
            os.write(self._file, f"{Passed(failpoint, frames[0])}\n".encode())
            if failpoint == self._kill_at and self._passed[failpoint] == self._nth:
                os.kill(os.getpid(), signal.SIGKILL)


def _our_frames(frame: FrameType | None) -> list[str]:
    """The functions of ours that are being carried out, the innermost first."""
    found = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(_HOME):
            found.append(_function(frame.f_code))
        frame = frame.f_back
    return found


def _function(code: CodeType) -> str:
    return f"{code.co_filename.removeprefix(_HOME)}:{code.co_qualname}"


def _wrap(owner: type, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **named: around(original, *args, **named))


def _open(args: tuple[Any, ...]) -> str:
    path, _, flags = args
    writes = isinstance(path, str | bytes | os.PathLike) and flags & _WRITING
    return "open" if writes and os.fsdecode(path) != os.devnull else ""


def _git(argv: Sequence[str]) -> str:
    """What a command does to the world; nothing for a question."""
    program, *rest = map(str, argv)
    if program != "git":
        return f"start {Path(program).name}"
    words = [word for word in _without_options(rest) if word not in ("--quiet", "-q")]
    command = words[0] if words else "--version"
    if command == "worktree":
        return "" if words[1] == "list" else f"git worktree {words[1]}"
    return "" if command in READING_GIT else f"git {command}"


def _without_options(words: Sequence[str]) -> list[str]:
    """Without git's own options, which stand before its command."""
    left = list(words)
    while left and left[0].startswith("-") and left[0] != "--version":
        left = left[2:] if left[0] in ("-c", "-C") else left[1:]
    return left


def _send(args: tuple[Any, ...]) -> str:
    """A request to the container engine; its connection remembers it until the response comes."""
    connection, data = args
    found = _REQUEST.match(data) if isinstance(data, bytes | bytearray) else None
    if found is None:
        return ""
    path = re.sub(r"^(containers|volumes|networks)/(?!create)[^/]+", r"\1/*", found[2].decode())
    act = f"{found[1].decode()} {path}"
    connection._act = "" if _WAITING.match(act) else act
    return str(connection._act)


def _database(args: tuple[Any, ...]) -> str:
    return "" if "mode=ro" in str(args[0]) else "sqlite3.connect"


_ACTS: dict[str, Callable[[tuple[Any, ...]], str]] = {
    "open": _open,
    "subprocess.Popen": lambda args: _git(args[1]),
    "http.client.send": _send,
    "sqlite3.connect": _database,
}
