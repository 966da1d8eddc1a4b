"""What cannot be run is refused at once: a clear error, the right exit code, and nothing left behind."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.command import Ended, Target
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import given, workstream, write_plan
from tests.e2e.upstream import Upstream, serving

pytestmark = pytest.mark.e2e

UNREACHABLE = "http://127.0.0.1:1/v1"  # nobody listens there, and nobody may
PLAN_HINT = "hint: Nothing was started. `runner validate` checks the plan without running it.\n"
MODEL_HINT = (
    "hint: Set RUNNER_MODEL__BASE_URL, RUNNER_MODEL__NAME and RUNNER_MODEL__API_KEY. "
    "To try the runner without a model: runner demo\n"
)


def refused(target: Target, *args: str | Path, **env: str) -> tuple[int, str]:
    """The exit code and the message of a run that may not start; asserts that there is no trace of it."""
    before = target.refs(), target.repo.git("status", "--porcelain")
    ended = target.runner("run", *args, **env)
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert target.leftovers() == []
    assert target.worktrees() == []
    assert (target.refs(), target.repo.git("status", "--porcelain")) == before
    assert not any((target.state / name).exists() for name in ("state", "logs", "reports", "bases"))
    return ended.code, ended.err


# The plan


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[{"id": "ws-a",}]',
            "line 1, column 16: is not JSON: Expecting property name enclosed in double quotes",
        ),
        (
            json.dumps(workstream("a", file_scope=["a.txt"])),
            "$: unknown field \"file_scope\" (did you mean 'files_scope'?)",
        ),
        (
            json.dumps([workstream("a", depends_on=["ws-b"]), workstream("b", depends_on=["ws-a"])]),
            "$[0].depends_on: these workstreams wait for each other: ws-a -> ws-b -> ws-a",
        ),
        (
            json.dumps([workstream("a"), workstream("b", files_scope=["a.*"])]),
            "$[0].files_scope[0]: 'ws-a' ('a.txt') and 'ws-b' ('a.*', in plan.json) may both change 'a.txt', "
            "and neither depends on the other (let one depend on the other, or narrow a scope)",
        ),
        (
            json.dumps(workstream("a", files_scope=["../a.txt"])),
            "$.files_scope[0]: '../a.txt' has the folder '..', which may lead out of the repository",
        ),
    ],
    ids=["broken JSON", "unknown field", "cycle", "overlap", "escaping path"],
)
def test_a_plan_with_a_fault(target: Target, text: str, problem: str):
    plan = target.repo.path.parent / "plan.json"
    plan.write_text(text)
    code, message = refused(target, "--plan", plan)
    assert (code, message) == (
        2,
        f"error: The plan in {plan} cannot be run: 1 problem\n  plan.json: {problem}\n{PLAN_HINT}",
    )


def test_a_plan_that_is_not_there(target: Target):
    plan = target.repo.path / "workstreams"
    assert refused(target) == (
        2,
        f"error: The plan in {plan} cannot be run: 1 problem\n"
        f"  {plan}: $: the plan does not exist "
        f"(`runner init` makes an example; --plan names another folder or file)\n{PLAN_HINT}",
    )


def test_a_workstream_that_the_plan_does_not_have(target: Target):
    assert refused(target, *given(target, ["a"]), "--only", "ws-b") == (
        2,
        "error: The plan has no workstream ws-b\n  It has ws-a.\nhint: did you mean 'ws-a'?\n",
    )


def test_checks_that_do_not_exist(target: Target):
    plan = write_plan(target, workstream("a", tools=["ruf"]))
    assert refused(target, "--plan", plan) == (
        2,
        "error: The plan names tools that are not there\n"
        "  plan.json: ws-a: there is no check 'ruf'; did you mean 'ruff'?\n",
    )


# The repository


def test_a_repository_with_changes_that_are_not_committed(target: Target):
    (target.repo.path / "README.md").write_text("changed\n")
    assert refused(target, *given(target, ["a"])) == (
        2,
        "error: The repository has changes that are not committed\n  README.md\n"
        "hint: A run starts from the commit that is checked out and would not see them. Commit or stash them, "
        "or start without them: --allow-dirty\n",
    )


def test_a_repository_without_a_commit(make_target: MakeTarget):
    target = make_target("empty")
    subprocess.run(["git", "init", "-q", str(target.repo.path)], check=True, env=dict(target.env))
    assert refused(target, *given(target, ["a"])) == (
        2,
        "error: The repository has no commit yet\n"
        "hint: A run starts from a commit: commit what you have, then run again.\n",
    )


def test_a_folder_that_is_not_in_a_repository(make_target: MakeTarget):
    target = make_target("folder")
    target.repo.path.mkdir()
    ended = target.runner("run", *given(target, ["a"]))
    assert (ended.code, ended.out, ended.err) == (
        2,
        "",
        f"error: {target.repo.path} is not in the working tree of a git repository\n"
        "  fatal: not a git repository (or any of the parent directories): .git\n"
        "hint: Change to your repository, or name it with --repo. A new one: git init && git add . && git commit\n",
    )
    assert list(target.repo.path.iterdir()) == []


def test_a_branch_of_the_plan_that_exists(target: Target):
    target.repo.git("branch", "ws/try/ws-a")
    code, message = refused(target, *given(target, ["a"]))
    at = target.repo.git("rev-parse", "HEAD")[:12]
    assert (code, message) == (
        2,
        f"error: 1 branch(es) of the plan exist already\n  ws/try/ws-a at {at}\n"
        "hint: To run the plan again, delete them (git branch -D NAME) or give --replace, which moves them once "
        "there is a new result and keeps the old one under refs/runner/salvage/.\n",
    )


def test_a_branch_of_the_plan_that_is_checked_out(target: Target):
    target.repo.git("checkout", "-q", "-b", "ws/try/ws-a")
    assert refused(target, *given(target, ["a"]), "--replace") == (
        2,
        "error: Branches of the plan are checked out\n  ws/try/ws-a\n"
        "hint: Check out another branch there first.\n",
    )


def test_a_branch_where_the_plan_needs_a_folder(target: Target):
    target.repo.git("branch", "ws/try")
    assert refused(target, *given(target, ["a"])) == (
        2,
        "error: A branch is in the way of the plan's branches\n  ws/try\n"
        "hint: git cannot have a branch and a folder of the same name: rename it.\n",
    )


def test_settings_that_come_with_the_repository(target: Target):
    target.repo.commit({".runner/config.toml": f'[model]\nbase_url = "{UNREACHABLE}"\n'})
    code, message = refused(target, *given(target, ["a"]))
    assert (code, message) == (
        2,
        "error: .runner/config.toml is tracked by git\n"
        "  Whoever can change the repository could change where your model's key is sent.\n"
        "hint: Keep it local: git rm --cached .runner/config.toml\n",
    )


# The machine


def test_an_image_that_is_missing(target: Target):
    assert refused(target, *given(target, ["a"]), RUNNER_IMAGES__PYTHON="no/such:image") == (
        4,
        "error: The image 'no/such:image' is missing\nhint: Run: runner build-images\n",
    )


def test_an_image_that_was_not_built_here(target: Target, stranger: tuple[str, str]):
    name, image_id = stranger
    assert refused(target, *given(target, ["a"]), RUNNER_IMAGES__PYTHON=name) == (
        4,
        f"error: The image '{name}' is not one that was built here\n  found: {image_id}\n"
        "hint: Run: runner build-images. To use it as it is: RUNNER_IMAGES__VERIFY=false (images.verify = false)\n",
    )


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The name and the id of an image that the lock file does not know."""
    name = f"stranger/{tmp_path.name.lower().replace('_', '-')}:test"
    engine = docker.from_env()
    image = engine.images.get("runner/base:latest")
    image.tag(name)
    yield name, str(image.id)
    engine.images.remove(name)
    engine.close()


def test_an_engine_that_does_not_answer(target: Target):
    missing = target.repo.path.parent / "docker.sock"
    ended = target.runner("run", *given(target, ["a"]), DOCKER_HOST=f"unix://{missing}")
    first, *_, last = ended.err.splitlines()
    assert (ended.code, ended.out) == (4, "")
    assert first == "error: The container engine does not answer"
    assert last == (
        "hint: Start Docker, or join the group that may use it. On Debian and Ubuntu, as root: images/engine.sh"
    )
    assert "Traceback" not in ended.err


# The model


def test_no_model_at_all(target: Target):
    plan = write_plan(target, workstream("a"))
    assert refused(target, "--plan", plan) == (
        2,
        f"error: No model is configured\n  model.base_url is unset, model.name is unset.\n{MODEL_HINT}",
    )


def test_a_model_without_a_name(target: Target):
    plan = write_plan(target, workstream("a"))
    assert refused(target, "--plan", plan, RUNNER_MODEL__BASE_URL=UNREACHABLE) == (
        2,
        f"error: No model is configured\n  model.base_url is {UNREACHABLE}, model.name is unset.\n{MODEL_HINT}",
    )


def test_a_model_that_cannot_be_reached(target: Target):
    plan = write_plan(target, workstream("a"))
    assert refused(target, "--plan", plan, RUNNER_MODEL__BASE_URL=UNREACHABLE, RUNNER_MODEL__NAME="m") == (
        4,
        f"error: The model's endpoint {UNREACHABLE} cannot be reached.\n  [Errno 111] Connection refused\n"
        "hint: Check RUNNER_MODEL__BASE_URL (model.base_url): it usually ends in /v1.\n",
    )


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (
            401,
            "refuses the key (HTTP 401).\n"
            "hint: Check the key in RUNNER_MODEL__API_KEY, or in the file that RUNNER_MODEL__API_KEY_FILE names.\n",
        ),
        (
            500,
            "answers with HTTP 500.\n"
            "hint: Check RUNNER_MODEL__BASE_URL (model.base_url): it usually ends in /v1.\n",
        ),
    ],
)
def test_a_model_that_refuses(target: Target, status: int, problem: str):
    plan = write_plan(target, workstream("a"))
    with serving(Upstream(status=status)) as upstream:
        model = {
            "RUNNER_MODEL__BASE_URL": upstream.base_url,
            "RUNNER_MODEL__NAME": "m",
            "RUNNER_MODEL__API_KEY": "sk-secret",
        }
        code, message = refused(target, "--plan", plan, **model)
    assert (code, message) == (4, f"error: {upstream.base_url} {problem}")
    assert upstream.keys == ["Bearer sk-secret"]


def test_a_setting_that_does_not_exist(target: Target):
    assert refused_setting(target.runner("run", *given(target, ["a"]), RUNNER_MODEL__NAM="m")) == (
        "  environment RUNNER_MODEL__NAM: there is no setting model.nam; did you mean model.name?"
    )


def refused_setting(ended: Ended) -> str:
    first, problem, hint = ended.err.splitlines()
    assert (ended.code, ended.out, first) == (2, "", "error: The settings cannot be used")
    assert hint.startswith("hint: `config/runner.toml` of the installation lists every setting")
    return problem
