"""One case: a run, or its resume, is killed at one failpoint, and resumed until it has come to its end."""

import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.crash.failpoints import Failpoint, Passed
from tests.crash.invariants import EndState, end_state, problems, recorded
from tests.crash.plans import FAILING, GOOD, Sample
from tests.crash.world import World, new_world


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL when an orchestrator comes by a failpoint for the nth time."""

    at: Failpoint
    nth: int = 1

    def __str__(self) -> str:
        return f"#{self.nth} {self.at}"

    @classmethod
    def parse(cls, text: str) -> "Kill":
        nth, _, at = text.partition(" ")
        return cls(Failpoint.parse(at), int(nth.removeprefix("#")))


@dataclass(frozen=True)
class Scene:
    """What is watched: the run of a sample or, when that was killed somewhere, its resume."""

    name: str
    sample: Sample
    killed_before: Kill | None = None

    def prepare(self, world: World) -> None:
        """Bring a fresh world to where the watching begins."""
        if self.killed_before is not None:
            code, _ = world.watch(kill_at=self.killed_before.at, nth=self.killed_before.nth)
            assert code == -signal.SIGKILL, world.explain([f"exit code {code} before {self.killed_before}"])


# While both first steps are at work: one has its container, the other's answer may be on its way.
_IN_THE_MIDDLE = Kill(
    Failpoint.parse(
        "after POST containers/*/start @ sandbox/container.py:Container.run < sandbox/docker.py:DockerSandbox.run"
    ),
    nth=5,
)

SCENES = {
    scene.name: scene
    for scene in (
        Scene("run", GOOD),
        Scene("failing run", FAILING),
        Scene("resume", GOOD, killed_before=_IN_THE_MIDDLE),
    )
}


@dataclass(frozen=True)
class Undisturbed:
    """How a scene goes when nobody interferes."""

    end: EndState
    passed: Sequence[Passed]

    def kills(self) -> Iterator[Kill]:
        """Before each failpoint's first and last time; during its last, and after its first."""
        for failpoint, times in Counter(one.failpoint for one in self.passed).items():
            match failpoint.when:
                case "before":
                    yield from (Kill(failpoint, nth) for nth in sorted({1, times}))
                case "during":
                    yield Kill(failpoint, times)
                case "after":
                    yield Kill(failpoint, 1)


def undisturbed(scene: Scene) -> Undisturbed:
    """Raises AssertionError when the scene does not end well even so."""
    with new_world(scene.sample) as world:
        scene.prepare(world)
        code, passed = world.watch()
        assert code == scene.sample.exit_code, world.explain([f"exit code {code}"])
        found = problems(world, None)
        assert not found, world.explain(found)
        return Undisturbed(end_state(world, recorded(world)), passed)


def record_all() -> dict[str, Undisturbed]:
    return {name: undisturbed(scene) for name, scene in SCENES.items()}


def all_kills(recorded_scenes: Mapping[str, Undisturbed]) -> list[tuple[Scene, Kill]]:
    """Every failpoint, in the first scene that comes by it."""
    cases: list[tuple[Scene, Kill]] = []
    known: set[Failpoint] = set()
    for name, scene in recorded_scenes.items():
        kills = [kill for kill in scene.kills() if kill.at not in known]
        cases += [(SCENES[name], kill) for kill in kills]
        known |= {kill.at for kill in kills}
    return cases


def disturb(scene: Scene, kill: Kill, wanted: EndState) -> bool:
    """Kill and resume; False when the failpoint was not reached, because threads came by in another order.

    Raises AssertionError with everything that is wrong afterwards, and the folder that shows it.
    """
    with new_world(scene.sample) as world:
        scene.prepare(world)
        code, _ = world.watch(kill_at=kill.at, nth=kill.nth)
        if code != -signal.SIGKILL:
            assert code == scene.sample.exit_code, world.explain([f"exit code {code} before it was killed"])
            return False
        world.finish()
        found = problems(world, wanted)
        assert not found, world.explain(found)
        return True
