from runner.core.model import Outcome, Refusal, Severity
from runner.store.results import FINDINGS_KEPT, from_json, to_json
from tests.unit.store.past import finding, key, result


def test_a_result_comes_back_as_it_was():
    whole = result(
        key(),
        Outcome.FINDINGS,
        changed=("src/é.py", "b"),
        findings=(finding(), finding("E501")),
        refusals=(Refusal(path="x", kind="add", reason="why", size=3),),
        outputs=("tool_outputs/a.log",),
    )
    assert from_json(key(), to_json(whole)) == (whole, 2)


def test_severities_come_back_as_severities():
    found, _ = from_json(key(), to_json(result(key(), findings=(finding(),))))
    assert found.findings[0].severity is Severity.ERROR


def test_only_the_first_findings_are_kept_and_all_are_counted():
    many = tuple(finding(line=number) for number in range(FINDINGS_KEPT + 50))
    found, total = from_json(key(), to_json(result(key(), Outcome.FINDINGS, findings=many)))
    assert (found.findings, total) == (many[:FINDINGS_KEPT], FINDINGS_KEPT + 50)
