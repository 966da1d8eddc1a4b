import json

import pytest

from runner.core.digest import bundle_json, plan_sha256, read_bundle
from runner.core.model import AcceptanceTest, Bundle, WsId
from tests.builders import bundle


def digest(*bundles: Bundle) -> str:
    return plan_sha256(map(bundle_json, bundles))


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": ("other",)},
        {"acceptance_tests": (AcceptanceTest(id="test-1", command="false"),)},
        {"depends_on": (WsId("ws-b"),)},
        {"metadata": {"x": [1]}},
    ],
)
def test_another_plan_has_another_digest(change):
    assert digest(bundle("a")) != digest(bundle("a", **change))


def test_order_and_file_names_do_not_matter():
    assert digest(bundle("a"), bundle("b")) == digest(bundle("b", source="elsewhere.json"), bundle("a"))


def test_all_that_a_bundle_says_is_stored():
    stored = json.loads(bundle_json(bundle("b", depends_on=(WsId("ws-a"),))))
    assert (stored["id"], stored["depends_on"], stored["files_scope"]) == ("ws-b", ["ws-a"], ["src/b.py"])
    assert stored["acceptance_tests"][0] == {
        "id": "test-1",
        "command": "true",
        "description": "",
        "timeout_s": None,
    }


@pytest.mark.parametrize(
    "said",
    [
        {},
        {
            "files_create": ("new.txt", "docs/"),
            "acceptance_tests": (AcceptanceTest(id="t", command="true", description="d", timeout_s=2.5),),
            "depends_on": (WsId("ws-b"), WsId("ws-c")),
            "tools": ("ruff",),
            "gate": 3,
            "ccpm_issue": "x",
            "model": "m",
            "on_scope_violation": "drop",
            "limits": {"memory_mb": 100, "cpus": 1.5},
            "timeouts": {"edit_s": 10.0},
            "circuit_breaker": {"max_attempts": 2},
            "metadata": {"list": [1, {"deep": None}]},
        },
        {"tools": (), "tasks": (), "acceptance_tests": ()},
    ],
)
def test_a_stored_bundle_is_read_back_as_it_was(said):
    one = bundle("a", source="", **said)
    assert read_bundle(json.loads(bundle_json(one))) == one
