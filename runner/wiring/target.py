"""A target repository with the settings that hold for it, and a plan that may be run on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.bundles import load_plan, select
from runner.config import load_settings
from runner.config.settings import Settings
from runner.core.model import Commit, ToolProfile
from runner.core.plan import Plan, did_you_mean
from runner.errors import ConfigError, PlanError, RepositoryError, UnusableError, UsageError
from runner.git import OLDEST_GIT, Repository, exclude, find_top, open_repository, version
from runner.layout import StateLayout
from runner.profiles import load_profiles
from runner.resources import config_dir

SCRIPTED_MODEL = "scripted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    repository: Repository
    settings: Settings
    layout: StateLayout
    profiles: Mapping[str, ToolProfile]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """What would be run: nothing has been started or written."""

    plan: Plan
    model: str  # for bundles that name none
    base: Commit
    branch: str | None  # that the base was taken from; None when HEAD is detached
    replaced: Mapping[str, Commit]  # branches of earlier runs that will be moved


def open_target(
    repo: Path | None, *, env: Mapping[str, str], flags: Mapping[str, object] | None = None
) -> Target:
    """Open the repository that a folder is in, with its settings. Makes the state folder, kept out of git."""
    if version(env) < OLDEST_GIT:
        wanted = ".".join(map(str, OLDEST_GIT))
        raise RepositoryError(f"git {wanted} or newer is needed", hint="Install a newer git.")
    top = find_top(repo or Path.cwd(), env)
    settings = load_settings(repo=top, env=env, flags=flags).settings
    layout = StateLayout(settings.paths.state)
    _make_private(layout.root)
    exclude(top, layout.root, env=env)
    repository = open_repository(top, plumbing_dir=layout.plumbing, env=env)
    _refuse_tracked_settings(repository)
    extra = settings.paths.tool_profiles
    profiles = load_profiles(config_dir() / "tool_profiles.json", *([extra] if extra else []))
    return Target(repository=repository, settings=settings, layout=layout, profiles=profiles, env=env)


def configured_model(settings: Settings) -> str:
    """The model that is asked when a bundle names none. Raises ConfigError when nothing is configured."""
    model = settings.model
    if model.script is not None:
        return model.name or SCRIPTED_MODEL
    if model.base_url is None or model.name is None:
        raise ConfigError(
            "No model is configured",
            details=f"model.base_url is {model.base_url or 'unset'}, model.name is {model.name or 'unset'}.",
            hint="Set RUNNER_MODEL__BASE_URL, RUNNER_MODEL__NAME and RUNNER_MODEL__API_KEY. "
            "To try the runner without a model: runner demo",
        )
    return model.name


def plan_run(
    target: Target, *, only: Sequence[str] = (), replace: bool = False, allow_dirty: bool = False
) -> PlannedRun:
    """Check everything about a run that can be known before it starts. Raises UsageError."""
    repository = target.repository
    base = repository.head()
    plan = load_plan(target.settings.run.plan)
    if only:
        plan = select(plan, only)
    _check_tools(plan, target.profiles)
    if not allow_dirty:
        _refuse_dirty(repository)
    return PlannedRun(
        plan=plan,
        model=configured_model(target.settings),
        base=base,
        branch=repository.branch(),
        replaced=_branches(plan, repository, replace=replace),
    )


def _make_private(folder: Path) -> None:
    """Nobody else on the host may enter: the sandboxes' user owns files in it, and logs may tell much."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise UnusableError(
            "The state folder cannot be made", details=str(error), hint="paths.state can name another."
        ) from error


def _refuse_tracked_settings(repository: Repository) -> None:
    """Settings say where keys are sent, so they must not come with the content of the repository."""
    name = ".runner/config.toml"
    if repository.git.items(
        "ls-files", "-z", "--", f":(top,literal){name}", env={"GIT_WORK_TREE": str(repository.top)}
    ):
        raise ConfigError(
            f"{name} is tracked by git",
            details="Whoever can change the repository could change where your model's key is sent.",
            hint=f"Keep it local: git rm --cached {name}",
        )


def _refuse_dirty(repository: Repository) -> None:
    changed = repository.changed_files()
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise RepositoryError(
            "The repository has changes that are not committed",
            details=f"{', '.join(changed[:5])}{more}",
            hint="A run starts from the commit that is checked out and would not see them. Commit or stash them, "
            "or start without them: --allow-dirty",
        )


def _check_tools(plan: Plan, profiles: Mapping[str, ToolProfile]) -> None:
    agents = [name for name, profile in profiles.items() if profile.type == "ai"]
    checks = [name for name in profiles if name not in agents]
    problems = []
    for bundle in plan:
        if bundle.tool not in agents:
            known = ", ".join(agents)
            problems.append(
                f"{bundle.source}: {bundle.id}: there is no agent '{bundle.tool}'; there is {known}"
            )
        for name in bundle.tools or ():
            if name not in checks:
                meant = did_you_mean(name, checks) or f"there are {', '.join(checks)}"
                problems.append(f"{bundle.source}: {bundle.id}: there is no check '{name}'; {meant}")
    if problems:
        raise PlanError("The plan names tools that are not there", details="\n".join(problems))


def _branches(plan: Plan, repository: Repository, *, replace: bool) -> dict[str, Commit]:
    """The branches of the plan that exist already. Raises UsageError unless they may be replaced."""
    existing = repository.branches("ws")
    taken = {bundle.branch: existing[bundle.branch] for bundle in plan if bundle.branch in existing}
    in_use = sorted(set(taken) & set(repository.checked_out()))
    if in_use:
        raise UsageError(
            "Branches of the plan are checked out",
            details=", ".join(in_use),
            hint="Check out another branch there first.",
        )
    if taken and not replace:
        raise UsageError(
            f"{len(taken)} branch(es) of the plan exist already",
            details="\n".join(f"{name} at {commit[:12]}" for name, commit in taken.items()),
            hint="To run the plan again, delete them (git branch -D NAME) or give --replace, "
            "which moves them once there is a new result and keeps the old one under refs/runner/salvage/.",
        )
    blocking = [name for name in existing for bundle in plan if bundle.branch.startswith(f"{name}/")]
    if blocking:
        raise UsageError(
            "A branch is in the way of the plan's branches",
            details=", ".join(sorted(set(blocking))),
            hint="git cannot have a branch and a folder of the same name: rename it.",
        )
    return taken
