import json

from runner.report.summary_json import to_json
from tests.unit.store.past import BASE, RUN


def test_the_whole_run_stands_at_the_top(partial):
    told = json.loads(to_json(partial))
    assert (told["run_id"], told["status"], told["base_commit"]) == (RUN, "partial", BASE)
    assert told["duration_sec"] == 187.0
    assert told["usage"] == {"requests": 3, "tokens_in": 30, "tokens_out": 6}


def test_every_state_is_counted_zero_included(partial):
    counts = json.loads(to_json(partial))["workstreams"]
    assert {state: count for state, count in counts.items() if count} == {
        "total": 4,
        "done": 1,
        "failed": 2,
        "blocked": 1,
    }
    assert counts["abandoned"] == 0


def test_errors_are_found_by_signature(partial):
    errors = json.loads(to_json(partial))["errors_by_signature"]
    assert errors["ruff::F401::unused import"] == {
        "code": "LINT_ERROR",
        "count": 1,
        "message": "unused import",
        "workstreams": ["ws-b"],
        "first_seen_at": "2025-01-01T00:00:00.000Z",
        "last_seen_at": "2025-01-01T00:00:00.000Z",
    }


def test_each_workstream_tells_its_result_or_its_last_attempt(partial):
    done, failed, blocked, _ = json.loads(to_json(partial))["details"]
    assert (done["status"], done["branch"], done["commit"]) == ("done", "ws/change-1/ws-a", "c" * 40)
    assert done["attempts"] == {"edit": 1}
    assert failed["reason"] == "3 of 3 fix attempts are used up"
    assert failed["last_attempt"]["findings"][0]["path"] == "src/a.py"
    assert (blocked["depends_on"], blocked["last_attempt"]) == (["ws-b"], None)


def test_the_timeline_is_in_order(partial):
    timeline = json.loads(to_json(partial))["timeline"]
    assert timeline[0]["event"] == "run_created"
    assert timeline[-1]["text"] == "running → partial: all ended"


def test_no_control_character_reaches_the_file_raw(partial):
    assert to_json(partial).isascii()
    assert "\x1b" not in to_json(partial)
