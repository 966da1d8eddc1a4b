"""A part of `just crash-matrix` and `just crash-random`, and whether the failpoints are all there are."""

import os

import pytest

from tests.crash.cases import Undisturbed, all_kills, disturb, record_all
from tests.crash.exceptions import reason, unused
from tests.crash.killer import Calm, calm, trial
from tests.crash.matrix import sample
from tests.crash.plans import GOOD
from tests.crash.sites import find_sites

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SEED = int(os.environ.get("CRASH_SEED", "1"))
NUMBER = 6


@pytest.fixture(scope="module")
def recorded() -> dict[str, Undisturbed]:
    return record_all()


@pytest.fixture(scope="module")
def undisturbed() -> Calm:
    return calm(GOOD)


def test_every_side_effect_in_the_code_is_a_failpoint_or_an_exception_with_a_reason(
    recorded: dict[str, Undisturbed],
):
    passed = [one for scene in recorded.values() for one in scene.passed]
    missing = [str(site) for site in find_sites() if not site.was_seen(passed) and not reason(site)]
    assert missing == [], "no sample comes by these: extend one, or say in exceptions.py why not"


def test_every_exception_stands_for_a_side_effect_in_the_code():
    assert unused(find_sites()) == set()


@pytest.mark.parametrize("number", range(NUMBER))
def test_a_run_that_was_killed_at_a_failpoint_ends_as_if_nothing_had_happened(
    number: int, recorded: dict[str, Undisturbed]
):
    scene, kill = sample(all_kills(recorded), number=NUMBER, seed=SEED)[number]
    disturb(scene, kill, recorded[scene.name].end)


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_a_run_that_was_killed_at_random_times_ends_as_if_nothing_had_happened(seed: int, undisturbed: Calm):
    trial(GOOD, seed, undisturbed)
