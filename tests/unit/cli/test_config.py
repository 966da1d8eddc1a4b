import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from runner.cli.config import config
from runner.config import leaves
from runner.config.settings import Settings
from runner.errors import ConfigError, RepositoryError
from tests.conftest import GitRepo

SECRET = "sk-never-shown"


def invoke(*args: str | Path, env: dict[str, str] | None = None) -> Result:
    app = typer.Typer()
    app.command()(config)
    return CliRunner().invoke(app, [str(arg) for arg in args], env=env)


def write_settings(repo: GitRepo, text: str) -> Path:
    path = repo.path / ".runner/config.toml"
    path.parent.mkdir()
    path.write_text(text)
    return path


def test_each_setting_is_a_line_with_its_value_and_origin(git_repo: GitRepo) -> None:
    own = write_settings(git_repo, "[run]\nparallel = 2\n[images]\nverify = false\n")
    lines = invoke("--repo", git_repo.path, env={"RUNNER_MODEL__NAME": "m"}).stdout.splitlines()
    assert lines[0] == "SETTING\tVALUE\tFROM"
    assert [line.split("\t")[0] for line in lines[1:]] == [key for key, _ in leaves(Settings())]
    assert {
        "model.name\tm\tenvironment RUNNER_MODEL__NAME",
        f"run.parallel\t2\t{own}",
        f"images.verify\tfalse\t{own}",
        "model.api_key\tunset\tdefault",
        f"paths.state\t{git_repo.path}/.runner\tdefault",
    } < set(lines)


def test_the_same_as_json(git_repo: GitRepo) -> None:
    told = json.loads(invoke("--repo", git_repo.path, "--json", env={"RUNNER_RUN__PARALLEL": "3"}).stdout)
    assert list(told) == [key for key, _ in leaves(Settings())]
    assert told["run.parallel"] == {"value": 3, "origin": "environment RUNNER_RUN__PARALLEL"}
    assert told["model.base_url"] == {"value": None, "origin": "default"}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_key_is_masked(options: list[str], git_repo: GitRepo) -> None:
    result = invoke("--repo", git_repo.path, *options, env={"RUNNER_MODEL__API_KEY": SECRET})
    assert SECRET not in result.output
    assert "********" in result.output


def test_from_a_folder_inside_the_repository_its_settings_are_found(git_repo: GitRepo) -> None:
    own = write_settings(git_repo, "[run]\nparallel = 2\n")
    assert f"run.parallel\t2\t{own}" in invoke("--repo", git_repo.path / "src").stdout


def test_outside_of_any_repository_there_are_still_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "paths.state\t.runner\tdefault" in invoke().stdout


def test_a_folder_that_is_named_has_to_be_in_a_repository(tmp_path: Path) -> None:
    assert isinstance(invoke("--repo", tmp_path).exception, RepositoryError)


def test_wrong_settings_are_an_error(git_repo: GitRepo) -> None:
    write_settings(git_repo, "[run]\nparalel = 2\n")
    assert isinstance(invoke("--repo", git_repo.path).exception, ConfigError)
