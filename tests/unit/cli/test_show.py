import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from runner import log
from runner.cli.logs import lines_until, logs, readable
from runner.cli.runs import runs
from runner.cli.show_errors import show_errors
from runner.cli.show_events import show_events
from runner.cli.show_run import show_run
from runner.core.events import Event, EventType
from runner.core.model import Commit, Outcome, RunId, RunStatus, StepName, WsId, WsStatus
from runner.errors import RepositoryError, UsageError
from runner.layout import StateLayout
from runner.store.runs import open_store
from tests.builders import plan
from tests.conftest import GitRepo
from tests.unit.store.past import BASE, RUN, TickedClock, attempt, bring, finding, key, past

OLDER = RunId("01J0000000000000000000OLD")

app = typer.Typer()
for name, command in (
    ("runs", runs),
    ("show-run", show_run),
    ("show-errors", show_errors),
    ("show-events", show_events),
    ("logs", logs),
):
    app.command(name)(command)


def call(repo: Path, *args: str) -> Result:
    return CliRunner().invoke(app, [args[0], "--repo", str(repo), *args[1:]], catch_exceptions=False)


@pytest.fixture
def layout(git_repo: GitRepo) -> StateLayout:
    return StateLayout(git_repo.path / ".runner")


@pytest.fixture
def ended(git_repo: GitRepo, layout: StateLayout) -> Path:
    """A repository with an older run, and a partial one: ws-a done, ws-b failed on the same finding twice."""
    clock = TickedClock()
    with open_store(layout.db, clock) as store:
        store.create_run(OLDER, plan("x"), base_commit=BASE)
    clock.tick(60)
    with past(layout.db, "a b", clock=clock) as store, log.run_log(layout.logs(RUN), RUN):
        store.set_result(RUN, WsId("ws-a"), candidate=Commit("c" * 40), branch="ws/change-1/ws-a")
        bring(store, "ws-a", WsStatus.DONE)
        for number in (1, 2):
            attempt(
                store, key("ws-b", attempt=number), Outcome.FINDINGS, message="bad", findings=(finding(),)
            )
        attempt(store, key("ws-b", StepName.EDIT), Outcome.REFUSED, message="said \x1b[2J no")
        bring(store, "ws-b", WsStatus.FAILED, "given up")
        tripped = {"message": "F401 was found twice"}
        store.record(
            Event(type=EventType.CIRCUIT_BREAKER_TRIPPED, run_id=RUN, ws_id=WsId("ws-b"), payload=tripped)
        )
        store.move_run(RUN, expected=RunStatus.RUNNING, new=RunStatus.PARTIAL, cause="all ended")
        log.info("run ended", run_id=RUN, status="partial")
        log.info("given up", run_id=RUN, ws_id="ws-b", step="fix", said="\x1b[2J")
    return git_repo.path


def rows(result: Result) -> list[list[str]]:
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_runs_are_listed_newest_first_with_what_is_done(ended):
    assert rows(call(ended, "runs")) == [
        ["RUN", "STATE", "DONE", "CREATED"],
        [RUN, "partial", "1/2", "2025-01-01T00:01:00.000Z"],
        [OLDER, "pending", "0/1", "2025-01-01T00:00:00.000Z"],
    ]


def test_runs_as_json_count_the_states(ended):
    newest, oldest = json.loads(call(ended, "runs", "--json").stdout)
    assert (newest["run_id"], newest["workstreams"]) == (RUN, {"done": 1, "failed": 1})
    assert oldest["status"] == "pending"


def test_a_repository_without_runs_has_an_empty_list(git_repo, layout):
    assert rows(call(git_repo.path, "runs")) == [["RUN", "STATE", "DONE", "CREATED"]]
    assert json.loads(call(git_repo.path, "runs", "--json").stdout) == []
    assert not layout.root.exists()


@pytest.mark.parametrize("command", ["show-run", "show-errors", "show-events", "logs"])
def test_nothing_can_be_shown_where_nothing_ran(git_repo, command):
    with pytest.raises(UsageError) as caught:
        call(git_repo.path, command)
    assert caught.value.brief == "No run is recorded here yet"


def test_outside_of_a_repository_is_an_error(tmp_path):
    with pytest.raises(RepositoryError):
        call(tmp_path, "runs")


def test_a_folder_inside_the_repository_will_do(ended):
    assert call(ended / "src", "runs").stdout == call(ended, "runs").stdout


def test_the_state_folder_is_the_settings(ended):
    (ended / ".runner" / "config.toml").write_text('[paths]\nstate = "elsewhere"\n')
    assert len(rows(call(ended, "runs"))) == 1


SHOWN = f"""\
Run {RUN}: partial
1 of 2 workstreams done, 1 failed, in 0.0 s; 3 model requests, 30 tokens in, 6 out.

WORKSTREAM\tSTATE\tATTEMPTS\tBRANCH
ws-a\tdone\t\tws/change-1/ws-a
ws-b\tfailed\t2 static, 1 edit\t

ws-b is failed:
  given up
  edit attempt 1 ended refused: said \\x1b[2J no

What next:
  Look at a result: git log -p bbbbbbbbbbbb..ws/change-1/ws-a
  Take it over: git merge ws/change-1/ws-a
  See what failed: runner show-errors --run {RUN} --ws ws-b
  See what happened: runner show-events --run {RUN}
"""


def test_a_run_is_shown_with_why_and_what_next(ended):
    assert call(ended, "show-run").stdout == SHOWN


@pytest.mark.parametrize(
    "args", [[RUN], ["--run", RUN], ["--id", RUN], ["01jaa"], [RUN, "--id", RUN]], ids=" ".join
)
def test_a_run_can_be_named_in_each_way(ended, args):
    assert call(ended, "show-run", *args).stdout == SHOWN


def test_two_different_runs_at_once_are_refused(ended):
    with pytest.raises(UsageError, match="Two runs are named"):
        call(ended, "show-run", RUN, "--run", OLDER)


def test_an_older_run_can_be_shown(ended):
    assert call(ended, "show-run", "OLD").stdout.startswith(f"Run {OLDER}: pending\n")


def test_a_run_as_json_is_its_summary(ended):
    told = json.loads(call(ended, "show-run", "--json").stdout)
    assert told["workstreams"]["failed"] == 1
    assert told["details"][1]["last_attempt"]["outcome"] == "refused"


def test_errors_are_grouped_by_signature(ended):
    header, *groups = rows(call(ended, "show-errors", "--run", RUN))
    assert header == ["ATTEMPTS", "CODE", "WORKSTREAMS", "LAST SEEN", "SIGNATURE"]
    assert [group[:3] for group in groups] == [["2", "LINT_ERROR", "ws-b"], ["1", "REFUSED", "ws-b"]]
    assert groups[0][4] == "ruff::F401::unused import"
    assert "\\x1b" in groups[1][4]


def test_errors_of_a_workstream_without_any_are_an_empty_table(ended):
    assert len(rows(call(ended, "show-errors", "--ws", "ws-a"))) == 1


def test_errors_as_json(ended):
    first, _ = json.loads(call(ended, "show-errors", "--json").stdout)
    assert (first["signature"], first["count"], first["workstreams"]) == (
        "ruff::F401::unused import",
        2,
        ["ws-b"],
    )


@pytest.mark.parametrize("command", ["show-errors", "show-events", "logs"])
def test_an_unknown_workstream_is_refused_with_the_nearest(ended, command):
    with pytest.raises(UsageError) as caught:
        call(ended, command, "--ws", "wsb")
    assert (caught.value.brief, caught.value.hint) == (
        "There is no workstream 'wsb'",
        "Did you mean ws-b?",
    )


def test_events_of_a_workstream_are_its_path(ended):
    _, *told = rows(call(ended, "show-events", "--ws", "ws-b", "--type", "state_transition"))
    assert [row[3] for row in told] == [
        "pending → ready: test",
        "ready → editing: test",
        "editing → failed: given up",
    ]


def test_events_can_be_asked_for_by_several_types_and_the_newest_only(ended):
    wanted = ("--type", "run_created", "--type", "circuit_breaker_tripped")
    assert [row[2] for row in rows(call(ended, "show-events", *wanted))[1:]] == [
        "run_created",
        "circuit_breaker_tripped",
    ]
    assert [row[3] for row in rows(call(ended, "show-events", *wanted, "--limit", "1"))[1:]] == [
        "F401 was found twice"
    ]


def test_a_limit_of_zero_shows_every_event(ended):
    everything = json.loads(call(ended, "show-events", "--limit", "0", "--json").stdout)
    assert (everything[0]["type"], everything[-1]["payload"]["to"]) == ("run_created", "partial")


def test_a_type_that_is_none_is_refused_by_the_command_line(ended):
    result = call(ended, "show-events", "--type", "tool_start")
    assert result.exit_code == 2


def test_a_log_is_shown_for_a_person_without_what_a_tool_hid_in_it(ended):
    first, second = call(ended, "logs").stdout.splitlines()
    assert first.endswith(" INFO run ended status=partial")
    assert second.endswith(r" INFO ws-b/fix given up said=\x1b[2J")


def test_a_log_of_a_workstream_as_json(ended):
    (line,) = call(ended, "logs", "--ws", "ws-b", "--json").stdout.splitlines()
    assert json.loads(line)["message"] == "given up"


def test_a_run_without_a_log_shows_nothing(ended):
    assert call(ended, "logs", "OLD").stdout == ""


def test_following_a_run_that_has_ended_ends(ended):
    assert call(ended, "logs", "--follow").stdout == call(ended, "logs").stdout


def test_following_gives_each_line_once_and_the_last_ones_too(tmp_path):
    file = tmp_path / "run.jsonl"
    written = iter([b"", b"one\ntw", b"o\n", b"", b"three\nhalf"])
    states = iter([False, False, False, False, False, True])

    def wait() -> None:
        with file.open("ab") as log_file:
            log_file.write(next(written))

    assert list(lines_until(file, ended=lambda: next(states), wait=wait)) == ["one", "two", "three"]


def test_lines_written_just_before_the_end_are_not_missed(tmp_path):
    file = tmp_path / "run.jsonl"

    def ended() -> bool:
        file.write_text("last words\n")
        return True

    assert list(lines_until(file, ended=ended, wait=pytest.fail)) == ["last words"]


@pytest.mark.parametrize("line", ['{"half', "[]", '{"ws_id": 1}', "\x1b[2J"])
def test_a_line_that_is_no_event_is_shown_as_it_is(line):
    assert readable(line) == line.replace("\x1b", r"\x1b")
