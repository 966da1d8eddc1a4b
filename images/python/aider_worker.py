"""Runs one task with Aider, driven as a library, inside a sandbox.

Usage: aider_worker.py TASK.json. What Aider says goes to stdout; its last line is
`runner-result: {json}`. Exit code 0 says that Aider ran to its end, whatever the model answered;
2 that the task is unusable; 3 that Aider or this program broke.

Why not Aider's command line: that exits with 0 on every failure, reads configuration from the tree it
works on (`.env`, `.aider.conf.yml`), executes a message that begins with `/run` or `!`, and cannot be
held to a list of files. None of it happens here.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

EXIT_BAD_TASK = 2
EXIT_FAULT = 3

EDIT_QUESTIONS = ("Create new file?", "Allow edits to file that has not been added to the chat?")


class Task(NamedTuple):
    prompt: str
    files: list[str]  # relative to the root; those that are absent may be created
    model: str
    timeout_s: float
    root: str = "/workspace"
    edit_format: str = "diff"
    max_input_tokens: int = 128_000
    max_output_tokens: int = 8_192
    temperature: float | None = 0.0
    max_reflections: int = 2  # how often the model is told that its answer was no usable edit
    unlisted: str = "refuse"  # edits to files that are not listed: "refuse", or "allow" below the root


def main(argv: list[str]) -> int:
    # Outside the tree, before anything is imported: Aider and litellm look for `.env` files where they are.
    os.chdir(os.environ.get("HOME", "/"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # models write lone surrogates, too
    try:
        task = Task(**json.loads(Path(argv[1]).read_text(encoding="utf-8")))
    except (IndexError, OSError, TypeError, ValueError) as error:
        print(f"aider_worker: unusable task: {error}", file=sys.stderr)
        return EXIT_BAD_TASK
    try:
        result = work(task)
    except Exception:
        traceback.print_exc()
        return EXIT_FAULT
    print(f"\nrunner-result: {json.dumps(result)}", flush=True)
    return 0


def work(task: Task) -> dict[str, object]:
    """Let the model do the task; what happened, as far as Aider tells."""
    started = time.monotonic()
    root = Path(task.root).resolve()
    files = [root / name for name in task.files]
    with untouched_files_removed(root, files) as wanted_empty:
        coder = make_coder(task, root, files)
        accept_empty_files(coder, wanted_empty)
        coder.run(with_message=task.prompt, preproc=False)
    io = coder.io
    if not io.errors and not (coder.partial_response_content or "").strip():
        io.errors.append("the model's answer was empty")
    return {
        "edited": sorted(coder.aider_edited_files or ()),
        "errors": io.errors,
        "refused": io.refused,
        "malformed": coder.num_malformed_responses,
        "truncated": coder.num_exhausted_context_windows,
        "reflections": coder.num_reflections,
        "tokens_in": coder.total_tokens_sent,
        "tokens_out": coder.total_tokens_received,
        "seconds": round(time.monotonic() - started, 2),
    }


@contextmanager
def untouched_files_removed(root: Path, files: list[Path]) -> Iterator[set[Path]]:
    """Aider creates what is listed and absent. What is still empty afterwards is taken away again,
    except for the files that are put into the yielded set.
    """
    wanted_empty: set[Path] = set()
    absent = [path for path in files if not path.exists()]
    folders = {parent for path in absent for parent in path.parents if root in parent.parents}
    absent_folders = sorted((folder for folder in folders if not folder.exists()), reverse=True)
    try:
        yield wanted_empty
    finally:
        for path in absent:
            if path.is_file() and path.stat().st_size == 0 and path.resolve() not in wanted_empty:
                path.unlink()
        for folder in absent_folders:
            with suppress(OSError):  # it is in use now
                folder.rmdir()


def accept_empty_files(coder: Any, wanted_empty: set[Path]) -> None:
    """Let an empty block for an empty file mean just that (an `__init__.py`, say): Aider breaks on it."""
    apply_edits = coder.apply_edits

    def apply(edits: list[Any], **options: Any) -> Any:
        if options:  # the dry run, which writes nothing
            return apply_edits(edits, **options)
        rest = []
        for edit in edits:
            path = Path(coder.abs_root_path(edit[0]))
            if path.stat().st_size == 0 and not "".join(edit[-1]).strip():
                wanted_empty.add(path)
            else:
                rest.append(edit)
        return apply_edits(rest)

    coder.apply_edits = apply


def make_coder(task: Task, root: Path, files: list[Path]) -> Any:
    from aider.coders import Coder, base_coder

    # The gateway is the one that asks again; Aider would do so for minutes.
    replace(base_coder, "RETRY_TIMEOUT", 0)
    coder = Coder.create(
        main_model=make_model(task),
        edit_format=task.edit_format,
        io=make_io(task, root),
        fnames=[str(path) for path in files],
        use_git=False,
        auto_commits=False,
        dirty_commits=False,
        map_tokens=0,
        stream=False,
        auto_lint=False,
        auto_test=False,
        suggest_shell_commands=False,
        detect_urls=False,
    )
    replace(coder, "root", str(root))  # without git it would be the folder that the files share
    replace(coder, "max_reflections", task.max_reflections)
    # The date and the kernel would stand in the prompt: the same task is to be the same request on any day.
    replace(coder, "get_platform_info", lambda: "")
    return coder


def make_model(task: Task) -> Any:
    from aider import models

    name = f"openai/{task.model}"
    replace(models, "RETRY_TIMEOUT", 0)
    replace(models, "request_timeout", task.timeout_s)
    settings = models.ModelSettings(
        name=name,
        edit_format=task.edit_format,
        use_temperature=False if task.temperature is None else task.temperature,
        streaming=False,
        extra_params={"max_tokens": task.max_output_tokens, "max_retries": 0},
    )
    models.MODEL_SETTINGS.insert(0, settings)
    # A model that is known here is not looked up in the internet.
    models.model_info_manager.local_model_metadata[name] = {
        "max_tokens": task.max_output_tokens,
        "max_input_tokens": task.max_input_tokens,
        "max_output_tokens": task.max_output_tokens,
        "litellm_provider": "openai",
        "mode": "chat",
    }
    return models.Model(name, weak_model=name, editor_model=False)


def make_io(task: Task, root: Path) -> Any:
    from aider.io import InputOutput

    class WorkerIO(InputOutput):
        """Answers Aider's questions, and remembers what it complained of."""

        def __init__(self) -> None:
            self.errors: list[str] = []
            self.refused: list[str] = []
            super().__init__(pretty=False, yes=False, fancy_input=False, root=str(root))

        def confirm_ask(self, question: str, *_: Any, subject: str | None = None, **__: Any) -> bool:
            inside = root in (root / (subject or "")).resolve().parents
            if question not in EDIT_QUESTIONS:
                return False
            if task.unlisted == "allow" and inside:
                return True
            self.refused.append(subject or "")
            return False

        def tool_error(self, message: str = "", **options: Any) -> None:
            self.errors.append(str(message))
            super().tool_error(message, **options)

        def write_text(self, filename: str, content: str, *args: Any, **options: Any) -> None:
            content.encode("utf-8")  # half a surrogate pair: fail before the file is emptied, not after
            self.newline = "\r\n" if has_crlf(Path(filename)) else "\n"
            super().write_text(filename, content, *args, **options)

    return WorkerIO()


def has_crlf(path: Path) -> bool:
    """Whether a file's first line ends as on Windows; Aider would turn all its lines into our form."""
    try:
        with path.open("rb") as file:
            return file.readline().endswith(b"\r\n")
    except OSError:
        return False


def replace(owner: Any, name: str, value: object) -> None:
    """Set a name that must be there: a new Aider that has dropped it shall fail, not run without."""
    getattr(owner, name)
    setattr(owner, name, value)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
