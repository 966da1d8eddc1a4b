import json
from pathlib import Path

import pytest
import typer
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from runner.cli.init import init
from runner.errors import RepositoryError, UnusableError
from runner.git import exclude
from runner.resources import resource
from tests.conftest import GIT_ENV, GitRepo


def invoke(repo: Path, env: dict[str, str] | None = None) -> Result:
    app = typer.Typer()
    app.command()(init)
    return CliRunner().invoke(app, ["--repo", str(repo)], env=env)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_makes_a_settings_file_an_example_and_an_exclusion(git_repo: GitRepo) -> None:
    result = invoke(git_repo.path)
    assert result.stdout.startswith(
        f"In {git_repo.path}:\n"
        "  made .runner/config.toml, with every setting to choose from\n"
        "  made git ignore .runner/ in this clone\n"
        "  made workstreams/ws-example.json, a plan of one workstream\n"
        "\nWhat next:\n"
    )
    shipped = resource("config/runner.toml").read_text()
    assert (git_repo.path / ".runner/config.toml").read_text() == shipped
    assert git_repo.git("status", "--porcelain") == "?? workstreams/"


def test_the_example_is_a_valid_bundle(git_repo: GitRepo) -> None:
    invoke(git_repo.path)
    bundle = json.loads((git_repo.path / "workstreams/ws-example.json").read_text())
    schema = json.loads(resource("schema/workstream.schema.json").read_text())
    assert list(Draft202012Validator(schema).iter_errors(bundle)) == []


def test_a_second_time_there_is_nothing_to_do(git_repo: GitRepo) -> None:
    invoke(git_repo.path)
    before = snapshot(git_repo.path)
    assert invoke(git_repo.path).stdout == f"Nothing to do: {git_repo.path} is prepared.\n"
    assert snapshot(git_repo.path) == before


def test_what_is_there_is_left_as_it_is(git_repo: GitRepo) -> None:
    git_repo.commit({"workstreams/mine.json": "[]\n"})
    (git_repo.path / ".runner").mkdir()
    (git_repo.path / ".runner/config.toml").write_text("[run]\nparallel = 2\n")
    invoke(git_repo.path)
    assert (git_repo.path / ".runner/config.toml").read_text() == "[run]\nparallel = 2\n"
    assert [path.name for path in (git_repo.path / "workstreams").iterdir()] == ["mine.json"]


def test_other_places_for_plan_and_state_are_respected(git_repo: GitRepo) -> None:
    invoke(git_repo.path, env={"RUNNER_RUN__PLAN": "plans/all.json", "RUNNER_PATHS__STATE": "var/state"})
    (git_repo.path / "var/state").mkdir(parents=True)
    (git_repo.path / "var/state/db").touch()
    assert git_repo.git("status", "--porcelain") == "?? plans/"
    assert (git_repo.path / "plans/all.json").is_file()


def test_it_works_from_a_linked_worktree(git_repo: GitRepo, tmp_path: Path) -> None:
    git_repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "other")
    invoke(tmp_path / "linked")
    assert GitRepo(tmp_path / "linked").git("status", "--porcelain") == "?? workstreams/"


def test_outside_of_a_repository_it_makes_nothing(tmp_path: Path) -> None:
    assert isinstance(invoke(tmp_path).exception, RepositoryError)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_an_error_that_names_it(git_repo: GitRepo) -> None:
    (git_repo.path / ".runner").write_text("mine")
    error = invoke(git_repo.path).exception
    assert isinstance(error, UnusableError)
    assert error.brief == "The repository cannot be prepared"
    assert str(git_repo.path / ".runner") in error.details


class TestExclude:
    @pytest.mark.parametrize("before", [None, "", "# mine\n", "# mine\n*.log"])
    def test_the_pattern_is_added_once_as_a_line_of_its_own(
        self, before: str | None, git_repo: GitRepo
    ) -> None:
        path = git_repo.path / ".git/info/exclude"
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_text(before)
        added = [
            exclude(git_repo.path, git_repo.path / ".runner", env=GIT_ENV),
            exclude(git_repo.path, git_repo.path / ".runner", env=GIT_ENV),
        ]
        assert added == [True, False]
        assert path.read_text().splitlines() == [*(before or "").splitlines(), "/.runner/"]

    def test_a_folder_elsewhere_needs_no_exclusion(self, git_repo: GitRepo, tmp_path: Path) -> None:
        assert not exclude(git_repo.path, tmp_path / "state", env=GIT_ENV)
