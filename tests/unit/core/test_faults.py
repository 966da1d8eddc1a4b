import pytest

from runner.core.faults import faults
from runner.core.model import Outcome, Refusal, StepName
from tests.unit.store.past import finding, key, result


def test_a_good_end_has_no_faults_whatever_it_found():
    assert faults(result(key(), Outcome.OK, findings=(finding(),))) == []


@pytest.mark.parametrize(
    ("step", "code"), [(StepName.STATIC, "LINT_ERROR"), (StepName.RUNTIME, "TEST_FAILURE")]
)
def test_findings_are_coded_by_the_check(step, code):
    (fault,) = faults(result(key(step=step), Outcome.FINDINGS, findings=(finding(),)))
    assert (fault.code, fault.signature) == (code, finding().signature)


def test_findings_with_one_signature_are_one_fault_at_the_first_place():
    same = (finding(line=3), finding("E501"), finding(line=9))
    first, second = faults(result(key(), Outcome.FINDINGS, findings=same))
    assert (first.context["line"], first.context["places"]) == (3, 2)
    assert second.context["places"] == 1


def test_each_refused_path_is_a_fault():
    refusals = tuple(Refusal(path=path, kind="add", reason="not in the scope") for path in ("a", "b"))
    found = faults(result(key(step=StepName.EDIT), Outcome.SCOPE_VIOLATION, refusals=refusals))
    assert [fault.signature for fault in found] == ["edit::scope_violation::a", "edit::scope_violation::b"]


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.OK}))
def test_every_other_end_is_one_fault_under_its_name(outcome):
    (fault,) = faults(result(key(step=StepName.EDIT), outcome, message="took 12 s"))
    assert (fault.code, fault.signature) == (outcome.upper(), f"edit::{outcome}::took <time>")
    assert fault.message == "took 12 s"
