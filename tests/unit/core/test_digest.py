import pytest

from runner.core.digest import plan_sha256
from runner.core.model import AcceptanceTest, Bundle, WsId
from runner.core.plan import Plan
from tests.builders import bundle


def digest(*bundles: Bundle) -> str:
    return plan_sha256(Plan(bundles=bundles))


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
