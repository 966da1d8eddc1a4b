import json

import pytest

from runner.core.breaker import error_repeats, first_trip, max_attempts, oscillation
from runner.core.model import BreakerLimits, StepName
from tests.unit.core.histories import history

EDIT, FIX = StepName.EDIT, StepName.FIX


@pytest.mark.parametrize(
    ("past", "limit", "step", "trips"),
    [
        ("edit=no_change", 2, EDIT, False),
        ("edit=no_change edit=refused", 2, EDIT, True),
        ("edit=no_change edit=infra", 2, EDIT, False),
        ("edit=no_change edit=api_error edit=rate_limited", 2, EDIT, False),
        ("edit static!A", 1, FIX, False),
        ("edit static!A fix static!B", 1, FIX, True),
        ("edit static!A fix static!B", 2, FIX, False),
        ("edit=refused edit=refused edit static!A fix=timeout", 2, FIX, False),
        ("edit static!A fix=timeout fix=oom", 2, FIX, True),
    ],
)
def test_attempts_of_an_agent_step_are_limited(past, limit, step, trips):
    assert bool(max_attempts(history(past), limit, step=step)) is trips


@pytest.mark.parametrize(
    ("past", "limit", "trips"),
    [
        ("edit", 1, False),
        ("edit static!A", 1, True),
        ("edit static!A fix static!A", 3, False),
        ("edit static!A fix static!A fix static!A", 3, True),
        ("edit static!A fix static runtime!A fix static!A", 3, True),
        ("edit static!A,A,A", 3, False),  # once a check, however often it is there
        ("edit static!A fix static!A fix static!B", 2, False),  # what is gone is no reason to stop
        ("edit static!A fix static!B fix static!B,A", 2, True),
        ("edit static!A fix static!A fix static!A", 0, False),
    ],
)
def test_the_same_fault_in_too_many_checks_trips(past, limit, trips):
    assert bool(error_repeats(history(past), limit)) is trips


@pytest.mark.parametrize(
    ("past", "threshold", "trips"),
    [
        ("edit:T1 static!A", 2, False),
        ("edit:T1 static!A fix:T2 static!B", 2, False),
        ("edit:T1 static!A fix:T2 static!B fix:T1 static!A", 2, True),
        ("edit:T1 static!A fix:T2 static!B fix:T1 static!A", 3, False),
        ("edit:T1 static!A fix:T2 static!B fix:T3 static!C fix:T1 static!A", 2, True),  # any period
        ("edit:T1 static!A fix:T2 static!B fix:T2=no_change", 2, False),  # no change is no proposal
        ("edit:T1 static!A fix:T2 static!B fix:T1=scope_violation", 2, False),
        ("edit:T1 static!A fix:T2 static!B fix:T1 static!A", 0, False),
        ("", 2, False),
    ],
)
def test_proposing_a_tree_again_trips(past, threshold, trips):
    assert bool(oscillation(history(past), threshold)) is trips


def test_used_up_attempts_are_explained():
    trip = max_attempts(history("edit static!A fix static!F401,E501"), 1, step=FIX)
    assert trip is not None
    assert trip.message == (
        "1 of 1 fix attempts are used up; static attempt 2 ended with findings: "
        "the findings F401 in a.py, E501 in a.py stay"
    )
    assert trip.evidence == {
        "attempts": 1,
        "limit": 1,
        "last_attempt": "static attempt 2",
        "last_outcome": "findings",
        "findings": ["ruff::F401::F401 is broken", "ruff::E501::E501 is broken"],
    }


def test_used_up_edits_say_how_the_last_one_ended():
    trip = max_attempts(history("edit=no_change edit=refused"), 2, step=EDIT)
    assert trip is not None
    assert trip.message == "2 of 2 edit attempts are used up; edit attempt 2 ended with refused: edit said so"


def test_a_repeated_fault_is_explained():
    trip = error_repeats(history("edit static!F401 fix static!E501,F401"), 2)
    assert trip is not None
    assert trip.message == (
        "F401 in a.py was found by 2 checks (2 allowed), "
        "from static attempt 1 to static attempt 2: F401 is broken"
    )
    assert trip.evidence == {
        "signature": "ruff::F401::F401 is broken",
        "count": 2,
        "limit": 2,
        "checks": ["static attempt 1", "static attempt 2"],
    }


def test_an_oscillation_is_explained():
    past = history("edit:3f2a91c44 static!F401 fix:T2 static!B fix:3f2a91c44 static!F401")
    trip = oscillation(past, 2)
    assert trip is not None
    assert trip.message == (
        "fix attempt 2 gives the tree of edit attempt 1 (3f2a91c…), proposed 2 times (2 allowed); "
        "the finding F401 in a.py stays"
    )
    assert trip.evidence == {
        "tree": "3f2a91c44",
        "count": 2,
        "limit": 2,
        "attempts": ["edit attempt 1", "fix attempt 2"],
        "findings": ["ruff::F401::F401 is broken"],
    }


def test_many_findings_are_counted_rather_than_listed():
    trip = max_attempts(history("edit static!A fix static!A,B,C,D,E"), 1, step=FIX)
    assert trip is not None
    assert trip.message.endswith("the findings A in a.py, B in a.py, C in a.py and 2 more stay")


@pytest.mark.parametrize(
    ("past", "breaker"),
    [
        ("edit:T1 static!A fix:T2 static!A fix:T1 static!A", "oscillation"),
        ("edit:T1 static!A fix:T2 static!A fix:T3 static!A", "error_repeats"),
        ("edit:T1 static!A fix:T2 static!B fix:T3 static!C", "max_attempts"),
    ],
)
def test_the_most_telling_breaker_is_named(past, breaker):
    limits = BreakerLimits(max_attempts=2, max_error_repeats=3, oscillation_threshold=2)
    trip = first_trip(history(past), limits, step=FIX)
    assert trip is not None
    assert trip.breaker == breaker
    assert json.dumps(dict(trip.evidence))
