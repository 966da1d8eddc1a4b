from dataclasses import replace

import pytest

from runner.core.model import Outcome, RunStatus
from runner.report.wording import duration, evidence, next_steps
from tests.unit.store.past import RUN, finding, key, result


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (187.4, "3 min 07 s"),
        (3599.4, "59 min 59 s"),
        (3725, "1 h 02 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_a_duration_is_told_as_a_person_would(seconds, text):
    assert duration(seconds) == text


def test_a_run_that_goes_on_can_be_watched_and_one_that_was_cut_off_resumed(partial):
    steps = next_steps(replace(partial, status=RunStatus.RUNNING))
    assert [step.command for step in steps] == [f"runner logs --run {RUN} --follow", f"runner resume {RUN}"]


def test_commands_can_be_pasted_into_a_shell(partial):
    done = replace(partial.workstreams[0], branch="ws/a b/ws-a")
    steps = next_steps(replace(partial, workstreams=(done,)))
    assert steps[1].command == "git merge 'ws/a b/ws-a'"


def test_only_the_first_findings_are_shown_and_the_rest_is_counted(partial):
    many = result(key(), Outcome.FINDINGS, findings=tuple(finding(line=line) for line in range(30)))
    lines = evidence(replace(partial.workstreams[0], reason="", last=many, findings_total=500))
    assert len(lines) == 12
    assert lines[-1] == "... and 490 more findings"


def test_what_was_never_begun_says_so(partial):
    assert evidence(replace(partial.workstreams[2], reason="")) == ["No attempt of it has ended."]


def test_a_finding_without_a_place_is_told_without_one(partial):
    found = result(key(), Outcome.FINDINGS, findings=(replace(finding(), path=None, line=None),))
    part = replace(partial.workstreams[0], last=found, findings_total=1)
    assert evidence(part)[-1] == "F401 unused import"
