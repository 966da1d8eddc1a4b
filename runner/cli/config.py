"""`runner config`"""

import json
from collections.abc import Mapping
from pathlib import Path

from runner.cli.history import JsonOption, RepoOption
from runner.cli.table import show_table
from runner.errors import RepositoryError

_MASK = "********"


def config(*, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Show every setting, its value, and where the value came from. Keys are masked."""
    from runner.config import environment, leaves, load_settings

    env = environment()
    resolved = load_settings(repo=target_top(repo, env), env=env)
    shown = {key: _shown(value) for key, value in leaves(resolved.settings)}
    if as_json:
        entries = {key: {"value": value, "origin": resolved.origins[key]} for key, value in shown.items()}
        print(json.dumps(entries, indent=2))
    else:
        rows = [(key, _word(value), resolved.origins[key]) for key, value in shown.items()]
        show_table(("SETTING", "VALUE", "FROM"), rows)


def target_top(repo: Path | None, env: Mapping[str, str]) -> Path | None:
    """The repository that is named or that we are in; outside of any there are still settings."""
    from runner.git import find_top

    try:
        return find_top(repo or Path.cwd(), env)
    except RepositoryError:
        if repo is not None:
            raise
        return None


def _shown(value: object) -> object:
    from pydantic import SecretStr

    match value:
        case SecretStr():
            return _MASK
        case Path():
            return str(value)
        case _:
            return value


def _word(value: object) -> str:
    match value:
        case None:
            return "unset"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
