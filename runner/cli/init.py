"""`runner init`"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.cli.history import RepoOption
from runner.errors import UnusableError
from runner.report.text import plain

_EXAMPLE = {
    "id": "ws-example",
    "openspec_change": "example",
    "files_scope": ["docs/purpose.md"],
    "tasks": ["Write docs/purpose.md: one short paragraph that says what this repository is for."],
    "acceptance_tests": ["test -s docs/purpose.md"],
    "depends_on": [],
}

_NEXT = """
What next:
  1. Say which model to ask, in .runner/config.toml or as RUNNER_MODEL__BASE_URL, RUNNER_MODEL__NAME
     and RUNNER_MODEL__API_KEY; `runner config` shows what is in force
  2. Write your plan beside the example, and check it: runner validate
  3. See whether this machine can run it: runner doctor
  4. runner run"""


def init(*, repo: RepoOption = None) -> None:
    """Prepare a repository: its settings file, an example of a plan. Never overwrites anything."""
    from runner.config import environment, load_settings
    from runner.git import find_top

    env = environment()
    top = find_top(repo or Path.cwd(), env)
    settings = load_settings(repo=top, env=env).settings
    try:
        made = [
            *_settings_file(top),
            *_exclusions(top, settings.paths.state, env=env),
            *_example(settings.run.plan),
        ]
    except OSError as error:
        raise UnusableError("The repository cannot be prepared", details=str(error)) from error
    if not made:
        print(f"Nothing to do: {plain(str(top))} is prepared.")
        return
    print(f"In {plain(str(top))}:")
    for line in made:
        print(f"  {plain(line.replace(f'{top}/', ''))}")
    print(_NEXT)


def _settings_file(top: Path) -> Iterator[str]:
    from runner.resources import config_dir

    path = top / ".runner" / "config.toml"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text((config_dir() / "runner.toml").read_text())
        yield f"made {path}, with every setting to choose from"


def _exclusions(top: Path, state: Path, *, env: Mapping[str, str]) -> Iterator[str]:
    from runner.git import exclude

    for folder in dict.fromkeys((top / ".runner", state)):
        if exclude(top, folder, env=env):
            yield f"made git ignore {folder}/ in this clone"


def _example(plan: Path) -> Iterator[str]:
    path = plan if plan.suffix == ".json" else plan / "ws-example.json"
    if not path.exists() and not any(plan.glob("*.json")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_EXAMPLE, indent=2) + "\n")
        yield f"made {path}, a plan of one workstream"
