from pathlib import Path

from runner.core.model import RunId, WsId
from runner.layout import StateLayout


def test_everything_is_under_the_state_folder_and_asking_makes_nothing(tmp_path):
    layout = StateLayout(tmp_path / ".runner")
    run_id = RunId("R")
    places = {
        layout.db: "state/pipeline_state.db",
        layout.lock: "state/lock",
        layout.scratch: "scratch",
        layout.reports: "reports",
        layout.logs(run_id): "logs/R",
        layout.records(run_id): "records/R",
        layout.worktrees(run_id): "worktrees/R",
        layout.worktree(run_id, WsId("ws-1")): "worktrees/R/ws-1",
    }
    assert {place.relative_to(layout.root): place for place in places} == {
        Path(name): layout.root / name for name in places.values()
    }
    assert not layout.root.exists()
