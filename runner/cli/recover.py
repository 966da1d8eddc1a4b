"""`runner recover`"""

import json
from typing import TYPE_CHECKING, Any

from runner.cli.history import JsonOption, RepoOption
from runner.core.intents import IntentKind
from runner.report.text import plain

if TYPE_CHECKING:
    from runner.recovery import Interrupted

# What belongs to an attempt is done again with it.
_WORTH_TELLING = (IntentKind.BRANCH, IntentKind.SALVAGE, IntentKind.MERGE)


def recover(*, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Show runs that were stopped or killed, what was going on in them, and what can be done about it."""
    from runner.config import environment
    from runner.wiring.interrupted import interrupted_runs
    from runner.wiring.target import open_target

    cut_off = interrupted_runs(open_target(repo, env=environment()))
    if as_json:
        print(json.dumps([_json(cut) for cut in cut_off], indent=2))
        return
    if not cut_off:
        print("No run was cut off. There is nothing to recover.")
    for cut in cut_off:
        _show(cut)


def _show(cut: "Interrupted") -> None:
    run_id = cut.run.run_id
    how = "was killed" if cut.killed else "was stopped by its user"
    done = sum(record.status == "done" for record in cut.workstreams)
    print(f"Run {run_id} {how}; it was last heard of at {cut.last_heard_of}.")
    print(f"{done} of {len(cut.workstreams)} workstreams are done, {len(cut.at_work)} were at work.")
    for attempt in cut.under_way:
        key = attempt.key
        print(
            f"  {key.ws_id}: {key.step} attempt {key.attempt}, begun at {attempt.started_at}, will be done again"
        )
    for intent in cut.intents:
        if intent.kind in _WORTH_TELLING:
            print(f"  {intent.ws_id}: {intent.kind} {plain(intent.key)}, not known to be finished")
    print("\nWhat next:")
    print(f"  Go on where it was cut off:         runner resume {run_id}")
    print(f"  Give it up, keep what is done:      runner abandon {run_id}")
    print(f"  Take its branches back, too:        runner rollback {run_id}")


def _json(cut: "Interrupted") -> dict[str, Any]:
    return {
        "run_id": cut.run.run_id,
        "killed": cut.killed,
        "last_heard_of": cut.last_heard_of,
        "workstreams": {record.ws_id: record.status for record in cut.workstreams},
        "attempts": [
            {
                "ws_id": one.key.ws_id,
                "step": one.key.step,
                "attempt": one.key.attempt,
                "started_at": one.started_at,
            }
            for one in cut.under_way
        ],
        "intents": [{"ws_id": one.ws_id, "kind": one.kind, "key": one.key} for one in cut.intents],
    }
