"""`runner build-images`"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.history import JsonOption
from runner.cli.table import show_table
from runner.report.text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from runner.images.build import BuiltImage

_SPINNER_WIDTH = 2

BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="IMAGE",
        help="What the base image is built from; where it can't be pulled, Debian's packages are used.",
        show_default="the setting images.base",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Build everything anew, unchanged or not.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show all that the builds print.")]


def build_images(
    *,
    base: BaseOption = None,
    force: ForceOption = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Build the images that workstreams run in, and record them. Nothing is done for what is up to date."""
    from rich.console import Console

    from runner.config import environment, load_settings
    from runner.images import build
    from runner.images.lock import lock_path
    from runner.resources import images_dir

    env = environment()
    # The images belong to the machine: no target repository has a say in them.
    settings = load_settings(repo=None, env=env, flags={"images.base": base}).settings
    console = Console(stderr=True, highlight=False, markup=False)
    with _status(console, shown=not verbose) as status:
        done = build.build_images(
            images_dir=images_dir(),
            lock_file=lock_path(images_dir()),
            base_ref=settings.images.base,
            env=env,
            say=lambda line: console.print(plain(line)),
            log=_log(console, status),
            force=force,
        )
    if as_json:
        print(json.dumps([asdict(image) for image in done], indent=2))
    else:
        show_table(("IMAGE", "STATUS", "ID", "TOOLS"), [_row(image) for image in done])


def _status(console: "Console", *, shown: bool) -> "AbstractContextManager[Status | None]":
    return console.status("") if shown else nullcontext()


def _log(console: "Console", status: "Status | None") -> Callable[[str], None]:
    """A build's lines: all of them below each other, or only the newest, which is replaced by the next."""
    from rich.text import Text

    def show(line: str) -> None:
        text = Text(plain(line), style="dim")
        if status is None:
            console.print(text)
        elif line:
            text.truncate(console.width - _SPINNER_WIDTH, overflow="ellipsis")
            status.update(text)

    return show


def _row(image: "BuiltImage") -> tuple[str, str, str, str]:
    tools = ", ".join(f"{tool} {version}" for tool, version in sorted(image.tools.items()))
    return (image.reference, image.status, image.id.removeprefix("sha256:")[:12], tools)
