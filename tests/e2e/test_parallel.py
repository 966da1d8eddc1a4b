"""`--parallel`: workstreams that do not wait for each other wait together for the model."""

from datetime import datetime

import pytest

from tests.e2e.command import Target
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import given

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAMES = ("ants", "bees", "cats", "dogs")
ANSWER_S = 6  # so long that a slow start of the agent, which takes the processor, does not count for more


@pytest.fixture(scope="module")
def alone_and_together(make_repository: MakeTarget) -> tuple[Target, Target]:
    """The same plan, run one at a time and four at a time."""
    targets = []
    for parallel in (1, 4):
        target = make_repository(f"parallel-{parallel}")
        ended = target.runner("run", "--parallel", str(parallel), *given(target, NAMES, delay_s=ANSWER_S))
        assert ended.code == 0, ended.err
        targets.append(target)
    alone, together = targets
    return alone, together


def test_as_many_agents_work_at_the_same_time_as_are_allowed(alone_and_together: tuple[Target, Target]):
    alone, together = alone_and_together
    assert (most_at_once(alone), most_at_once(together)) == (1, 4)


def test_four_at_a_time_are_faster_than_one(alone_and_together: tuple[Target, Target]):
    alone, together = alone_and_together
    assert seconds(together) < 0.8 * seconds(alone)


def test_the_results_are_the_same(alone_and_together: tuple[Target, Target]):
    def trees(target: Target) -> list[str]:
        return [target.repo.git("rev-parse", f"ws/try/ws-{name}^{{tree}}") for name in NAMES]

    alone, together = alone_and_together
    assert trees(alone) == trees(together)


def most_at_once(target: Target) -> int:
    at_work, most = 0, 0
    for event in target.events():
        if event["payload"].get("tool") == "aider":
            at_work += 1 if event["type"] == "tool_started" else -1
            most = max(most, at_work)
    return most


def seconds(target: Target) -> float:
    events = target.events()
    first, last = (datetime.fromisoformat(events[index]["timestamp"]) for index in (0, -1))
    return (last - first).total_seconds()
