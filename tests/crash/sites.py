"""Where the code has side effects, read from its text: what the failpoints that were seen are compared with."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import runner
from tests.crash.failpoints import READING_GIT, Passed

HOME = Path(runner.__file__).parent

# What is not part of a run or its resume, and is not searched.
APART = ("agent", "bundles", "checks", "cli", "config", "core", "images", "prompts", "profiles", "resources")

_ON_PATHS = {
    "chmod": "os.chmod",
    "hardlink_to": "os.link",
    "mkdir": "os.mkdir",
    "rename": "os.rename",
    "rmdir": "os.rmdir",
    "symlink_to": "os.symlink",
    "touch": "open",
    "unlink": "os.remove",
    "write_bytes": "open",
    "write_text": "open",
}
_IN_MODULES = {
    "fcntl.flock": "fcntl.flock",
    "fcntl.lockf": "fcntl.lockf",
    "os.chmod": "os.chmod",
    "os.chown": "os.chown",
    "os.fchmod": "os.chmod",
    "os.fchown": "os.chown",
    "os.kill": "os.kill",
    "os.killpg": "os.killpg",
    "os.link": "os.link",
    "os.makedirs": "os.mkdir",
    "os.mkdir": "os.mkdir",
    "os.remove": "os.remove",
    "os.rename": "os.rename",
    "os.replace": "os.rename",
    "os.rmdir": "os.rmdir",
    "os.symlink": "os.symlink",
    "os.truncate": "os.truncate",
    "os.unlink": "os.remove",
    "shutil.copy": "open",
    "shutil.copy2": "open",
    "shutil.copyfile": "open",
    "shutil.copytree": "os.mkdir",
    "shutil.move": "os.rename",
    "shutil.rmtree": "shutil.rmtree",
    "sqlite3.connect": "sqlite3.connect",
    "subprocess.Popen": "git",
    "subprocess.run": "git",
    "tempfile.NamedTemporaryFile": "open",
    "tempfile.TemporaryDirectory": "os.mkdir",
    "tempfile.mkdtemp": "os.mkdir",
    "tempfile.mkstemp": "open",
}
_OF_ENGINE = {
    "attach_socket": "POST containers/*/attach",
    "create_container": "POST containers/create",
    "create_network": "POST networks/create",
    "create_volume": "POST volumes/create",
    "exec_create": "POST containers/*/exec",
    "kill": "POST containers/*/kill",
    "put_archive": "PUT containers/*/archive",
    "remove_container": "DELETE containers/*",
    "remove_network": "DELETE networks/*",
    "remove_volume": "DELETE volumes/*",
    "start": "POST containers/*/start",
    "stop": "POST containers/*/stop",
    "update_container": "POST containers/*/update",
}
_WRITING_MODES = set("wax+")
_WRITING_FLAGS = ("O_WRONLY", "O_RDWR", "O_CREAT")


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A call in the code, by what it does to the world and the function it stands in."""

    function: str  # path:qualified name
    act: str

    def __str__(self) -> str:
        return f"{self.act} @ {self.function}"

    def was_seen(self, passed: Iterable[Passed]) -> bool:
        return any(
            self.function in one.functions and one.failpoint.act.startswith(self.act) for one in passed
        )


def find_sites() -> list[Site]:
    """Every call with a side effect, as far as its text shows it."""
    files = (path.relative_to(HOME) for path in sorted(HOME.rglob("*.py")))
    return sorted(
        {site for path in files if path.parts[0].removesuffix(".py") not in APART for site in _of_file(path)}
    )


def _of_file(path: Path) -> Iterator[Site]:
    tree = ast.parse((HOME / path).read_text())
    constants = {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    yield from (Site(f"{path.as_posix()}:{name}", act) for name, act in _calls(tree, "", constants))


def _calls(
    node: ast.AST, inside: str, constants: Mapping[str, str], *, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """The acts below a node, each with the qualified name of the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield from _calls(child, prefix + name, constants, prefix=f"{prefix}{name}.<locals>.")
            case ast.ClassDef(name=name):
                yield from _calls(child, prefix + name, constants, prefix=f"{prefix}{name}.")
            case _:
                if isinstance(child, ast.Call) and (act := _act(child, constants)):
                    yield inside, act
                yield from _calls(child, inside, constants, prefix=prefix)


def _act(call: ast.Call, constants: Mapping[str, str]) -> str:
    """What a call does to the world; nothing when it does nothing."""
    called = ast.unparse(call.func)
    if called in _IN_MODULES:
        return _IN_MODULES[called]
    if called in ("open", "os.open", "os.fdopen"):
        return "open" if _opens_to_write(call, constants, mode_at=1) else ""
    if not isinstance(call.func, ast.Attribute):
        return ""
    return _act_of_method(call, constants, ast.unparse(call.func.value), call.func.attr)


def _act_of_method(call: ast.Call, constants: Mapping[str, str], receiver: str, method: str) -> str:
    match method:
        case "open":
            return "open" if _opens_to_write(call, constants, mode_at=0) else ""
        case "replace":  # of a path; a text's takes two
            return "os.rename" if len(call.args) == 1 and not call.keywords else ""
        case "call" | "text" | "items":
            return _git(call)
        case "transaction" | "decision":
            return "commit"
        case "begin":
            return "commit" if receiver.endswith("connection") else ""
        case "bind":
            return "" if receiver == "logger" else "socket.bind"
        case "send":
            return "ask the model" if receiver == "client" else ""
        case _:
            return _OF_ENGINE.get(method, "") if receiver.endswith("client") else _ON_PATHS.get(method, "")


def _opens_to_write(call: ast.Call, constants: Mapping[str, str], *, mode_at: int) -> bool:
    """Whether a mode or flags say so; with neither it is opened to be read."""
    rest = [ast.unparse(one) for one in (*call.args[mode_at:2], *(word.value for word in call.keywords))]
    said = " ".join(constants.get(one, one) for one in rest)
    modes = [one.strip("'") for one in rest if one.startswith("'")]
    return any(flag in said for flag in _WRITING_FLAGS) or any(
        _WRITING_MODES & set(mode) for mode in modes[:1]
    )


def _git(call: ast.Call) -> str:
    words = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if not words or words[0] in READING_GIT:
        return ""
    if words[0] == "worktree":
        return "" if words[1] == "list" else f"git worktree {words[1]}"
    return f"git {words[0]}"
