from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runner.core.fixloop import GiveUp, next_move
from runner.core.model import (
    BreakerLimits,
    Commit,
    Finding,
    Outcome,
    Refusal,
    Severity,
    StepName,
    StepResult,
    Tree,
    Usage,
)
from runner.core.records import FINDINGS_KEPT, kept
from runner.store import queries
from runner.store.results import from_json, to_json
from tests.unit.store.past import attempt, finding, key, result

# Undecodable bytes of a file's name or of a tool's output are lone surrogates.
TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from("\udc80\udcff"), max_size=8).filter(
    lambda text: not any("\ud800" <= char < "\udc00" for char in text)
)
COUNTS = st.integers(0, 10**9)
FINDINGS = st.builds(
    Finding,
    tool=TEXT,
    rule=TEXT,
    message=TEXT,
    signature=st.sampled_from("ABCDEFGH"),
    path=st.none() | TEXT,
    line=st.none() | COUNTS,
    severity=st.sampled_from(Severity),
)
# A few findings many times over, so that there are often too many.
MANY = st.lists(st.tuples(FINDINGS, st.integers(1, FINDINGS_KEPT)), max_size=4).map(
    lambda some: tuple(replace(one, line=line) for one, times in some for line in range(times))
)
RESULTS = st.builds(
    StepResult,
    key=st.builds(key, step=st.sampled_from(StepName), attempt=st.integers(1, 9)),
    outcome=st.sampled_from(Outcome),
    message=TEXT,
    candidate=TEXT.map(Commit),
    tree=st.sampled_from(["t1", "t2"]).map(Tree),
    changed=st.lists(TEXT, max_size=3).map(tuple),
    findings=MANY,
    refusals=st.lists(st.builds(Refusal, path=TEXT, kind=TEXT, reason=TEXT, size=COUNTS), max_size=2).map(
        tuple
    ),
    usage=st.builds(Usage, requests=COUNTS, tokens_in=COUNTS, tokens_out=COUNTS),
    outputs=st.lists(TEXT, max_size=2).map(tuple),
    duration_s=st.floats(0, 1e6),
)
LIMITS = st.builds(
    BreakerLimits,
    max_attempts=st.integers(1, 3),
    max_error_repeats=st.integers(0, 3),
    oscillation_threshold=st.integers(0, 3),
)


def read_back(ended: StepResult) -> StepResult:
    return from_json(ended.key, to_json(ended))


def many(*signatures: str) -> tuple[Finding, ...]:
    return tuple(
        replace(finding(line=line), signature=signature) for line, signature in enumerate(signatures)
    )


@given(RESULTS)
def test_a_result_comes_back_as_it_was_kept(whole):
    assert read_back(whole) == kept(whole)


@given(RESULTS)
def test_what_was_kept_is_not_cut_again(whole):
    assert kept(kept(whole)) == kept(whole)
    assert read_back(kept(whole)) == kept(whole)


@given(st.lists(RESULTS, max_size=6), LIMITS, st.integers(0, 2))
def test_what_is_read_back_decides_as_what_was_kept(history, limits, retries):
    decided = next_move([kept(one) for one in history], limits, infra_retries=retries)
    assert next_move([read_back(one) for one in history], limits, infra_retries=retries) == decided


@given(st.lists(RESULTS, max_size=6), LIMITS)
def test_what_is_kept_trips_the_breaker_that_the_whole_would(history, limits):
    whole = next_move(history, limits, infra_retries=1)
    move = next_move([kept(one) for one in history], limits, infra_retries=1)
    if isinstance(whole, GiveUp) and whole.trip and isinstance(move, GiveUp) and move.trip:
        assert (move.trip.breaker, move.trip.evidence) == (whole.trip.breaker, whole.trip.evidence)
    else:
        assert move == whole


def test_every_field_of_a_result_is_stored():
    whole = result(
        key(),
        Outcome.FINDINGS,
        changed=("src/é.py", "b"),
        findings=(finding(), replace(finding("E501"), severity=Severity.WARNING)),
        findings_left_out=7,
        refusals=(Refusal(path="x", kind="add", reason="why", size=3),),
        outputs=("tool_outputs/a.log",),
    )
    assert read_back(whole) == whole


def test_the_first_findings_are_kept_and_all_are_counted(store, ask):
    found = many(*["same"] * (FINDINGS_KEPT + 50))
    attempt(store, key(), Outcome.FINDINGS, findings=found)
    (record,) = ask(queries.attempts, key().run_id)
    assert record.result is not None
    assert record.result.findings == found[:FINDINGS_KEPT]
    assert (record.result.findings_left_out, record.findings_total) == (50, FINDINGS_KEPT + 50)
    assert ask(queries.errors, key().run_id)[0].context["places"] == FINDINGS_KEPT + 50


def test_a_signature_is_not_crowded_out_by_many_of_another():
    found = many(*["loud"] * FINDINGS_KEPT, "quiet", "loud")
    left = kept(result(key(), Outcome.FINDINGS, findings=found))
    assert left.findings == (*found[: FINDINGS_KEPT - 1], found[FINDINGS_KEPT])
    assert left.findings_left_out == 2


def test_rows_of_the_first_schema_are_read_as_they_were_meant():
    old = to_json(result(key(), findings=(finding(),))).replace(
        '"findings_total": 1', '"findings_total": 250'
    )
    assert from_json(key(), old).findings_left_out == 249
