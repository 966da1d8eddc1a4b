"""The names that things of the runner bear in the world. They are made of keys, so that after a crash the world
can be asked what became of an attempt."""

from runner.core.model import AttemptKey, RunId, WsId

SALVAGE = "refs/runner/salvage"


def sandbox_prefix(key: AttemptKey) -> str:
    """What the names of all sandboxes of an attempt begin with: containers, their volumes and layers."""
    return f"runner-{key.run_id}-{key.ws_id}-{key.step}-{key.attempt}-".lower()


def salvage_ref(run_id: RunId, ws_id: WsId) -> str:
    """Where the last candidate of a workstream without a result is kept."""
    return f"{SALVAGE}/{run_id}/{ws_id}"
