"""`runner doctor`"""

import json
from dataclasses import asdict

import typer

from runner.cli.history import JsonOption, RepoOption
from runner.errors import ExitCode
from runner.report.text import plain


def doctor(*, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Check whether this machine can run workstreams safely, and say what is missing."""
    from runner.cli.config import target_top
    from runner.config import environment
    from runner.wiring.doctor import examine

    env = environment()
    checks = []
    for check in examine(target_top(repo, env), env):
        checks.append(check)
        if not as_json:
            print(plain(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:8} {check.found}"))
            if check.hint:
                print(plain(f"                hint: {check.hint}"))
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    if not all(check.ok for check in checks):
        raise typer.Exit(ExitCode.ENVIRONMENT)
