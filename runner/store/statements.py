"""The SQL of every write, built once: building a statement costs more than SQLite needs to carry it out.

A parameter that names the row it looks for is called `of_...`.
"""

from typing import Final

from sqlalchemy import bindparam, func, insert, update
from sqlalchemy.dialects.sqlite import insert as upsert

from runner.core.model import AttemptStatus
from runner.store.schema import errors, events, intents, runs, step_attempts, workstreams

ADD_RUN: Final = insert(runs)

ADD_WORKSTREAM: Final = insert(workstreams)

ADD_EVENT: Final = insert(events)

ADD_ATTEMPT: Final = insert(step_attempts)

MOVE_RUN: Final = (
    update(runs)
    .where(runs.c.run_id == bindparam("of_run"), runs.c.status == bindparam("expected"))
    .values(status=bindparam("new"), updated_at=bindparam("now"))
)

_ONE_WORKSTREAM = (workstreams.c.run_id == bindparam("of_run"), workstreams.c.ws_id == bindparam("of_ws"))

MOVE_WORKSTREAM: Final = (
    update(workstreams)
    .where(*_ONE_WORKSTREAM, workstreams.c.status == bindparam("expected"))
    .values(status=bindparam("new"), reason=bindparam("why"), updated_at=bindparam("now"))
)

SET_RESULT: Final = (
    update(workstreams)
    .where(*_ONE_WORKSTREAM)
    .values(
        base_commit=func.coalesce(bindparam("base"), workstreams.c.base_commit),
        candidate_commit=func.coalesce(bindparam("candidate"), workstreams.c.candidate_commit),
        branch=func.coalesce(bindparam("made"), workstreams.c.branch),
        updated_at=bindparam("now"),
    )
)

CLEAR_BRANCH: Final = (
    update(workstreams).where(*_ONE_WORKSTREAM).values(branch=None, updated_at=bindparam("now"))
)

_intended = upsert(intents)

INTEND: Final = _intended.on_conflict_do_update(
    index_elements=["run_id", "kind", "key"],
    set_={
        "params_json": _intended.excluded.params_json,
        "state": _intended.excluded.state,
        "result": _intended.excluded.result,
        "updated_at": _intended.excluded.updated_at,
    },
    where=intents.c.ws_id == _intended.excluded.ws_id,
)

SETTLE: Final = (
    update(intents)
    .where(
        intents.c.run_id == bindparam("of_run"),
        intents.c.kind == bindparam("of_kind"),
        intents.c.key == bindparam("of_key"),
    )
    .values(state=bindparam("new"), result=bindparam("became"), updated_at=bindparam("now"))
)

FINISH_ATTEMPT: Final = (
    update(step_attempts)
    .where(
        step_attempts.c.run_id == bindparam("of_run"),
        step_attempts.c.ws_id == bindparam("of_ws"),
        step_attempts.c.step_name == bindparam("of_step"),
        step_attempts.c.attempt == bindparam("of_attempt"),
        step_attempts.c.status == AttemptStatus.IN_PROGRESS.value,
    )
    .values(
        status=bindparam("new"),
        outcome=bindparam("how"),
        completed_at=bindparam("now"),
        result_json=bindparam("stored"),
    )
)

_seen = upsert(errors)

COUNT_ERROR: Final = _seen.on_conflict_do_update(
    index_elements=["run_id", "ws_id", "step_name", "signature"],
    set_={
        "count": errors.c.count + 1,
        "message": _seen.excluded.message,
        "context_json": _seen.excluded.context_json,
        "last_seen_at": _seen.excluded.last_seen_at,
    },
)
