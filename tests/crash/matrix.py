"""Kills an orchestrator at every failpoint, and looks at what the resumed run comes to: `just crash-matrix`

just crash-matrix                            # everything
just crash-matrix --sample 20 --seed 7       # so many of it, chosen by a seed
just crash-matrix --only 'run: #1 before commit @ ...'     # one again, as the list of failures names it
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from tests.crash.cases import SCENES, Kill, Scene, Undisturbed, all_kills, disturb, record_all, undisturbed

TRIES = 3  # to come by a failpoint that two threads race to


@dataclass(frozen=True)
class Verdict:
    scene: Scene
    kill: Kill
    outcome: str  # ok, not reached, failed
    problem: str
    duration_s: float

    def __str__(self) -> str:
        return f"{self.scene.name}: {self.kill}"


def sample(cases: Sequence[tuple[Scene, Kill]], *, number: int, seed: int) -> list[tuple[Scene, Kill]]:
    """Some of the cases; the same seed chooses the same as long as the failpoints are the same."""
    return random.Random(seed).sample(cases, min(number, len(cases)))


def judge(scene: Scene, kill: Kill, wanted: Undisturbed) -> Verdict:
    began = time.monotonic()
    problem = ""
    try:
        reached = any(disturb(scene, kill, wanted.end) for _ in range(TRIES))
        outcome = "ok" if reached else "not reached"
    except Exception as error:  # noqa: BLE001 - it is told, and the others go on
        outcome, problem = "failed", str(error) or repr(error)
    return Verdict(scene, kill, outcome, problem, time.monotonic() - began)


def main() -> int:
    parser = argparse.ArgumentParser(prog="just crash-matrix", description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="one case: SCENE: #N FAILPOINT")
    parser.add_argument("--sample", type=int, help="so many cases, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time")
    options = parser.parse_args()
    began = time.monotonic()
    if options.only:
        name, _, text = options.only.partition(": ")
        wanted = {name: undisturbed(SCENES[name])}
        cases = [(SCENES[name], Kill.parse(text))]
    else:
        wanted = record_all()
        cases = all_kills(wanted)
        if options.sample:
            cases = sample(cases, number=options.sample, seed=options.seed)
    say(f"{len(cases)} cases, seed {options.seed}")
    pool = ThreadPoolExecutor(options.jobs)
    with ExitStack() as stack:
        stack.callback(pool.shutdown, cancel_futures=True)  # at ^C what has not begun is left
        judging = [pool.submit(judge, scene, kill, wanted[scene.name]) for scene, kill in cases]
        verdicts = [show(number, len(cases), one.result()) for number, one in enumerate(judging, start=1)]
    return summarize(verdicts, time.monotonic() - began)


def show(number: int, total: int, verdict: Verdict) -> Verdict:
    say(f"{number:4}/{total} {verdict.outcome:11} {verdict.duration_s:5.1f} s  {verdict}")
    if verdict.problem:
        say("\n".join(f"        {line}" for line in verdict.problem.splitlines()))
    return verdict


def summarize(verdicts: Iterable[Verdict], duration_s: float) -> int:
    """Print what came of it; the exit code."""
    verdicts = list(verdicts)
    outcomes = ("ok", "not reached", "failed")
    for scene in SCENES:
        count = Counter(one.outcome for one in verdicts if one.scene.name == scene)
        say(f"{scene:12} " + ", ".join(f"{count[outcome]} {outcome}" for outcome in outcomes))
    failed = [one for one in verdicts if one.outcome == "failed"]
    say(f"{len(verdicts)} cases in {duration_s:.0f} s, {len(failed)} failed")
    for one in failed:
        say(f"  just crash-matrix --only '{one}'")
    return 1 if failed else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
