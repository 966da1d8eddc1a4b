"""Values for tests in one line."""

from typing import Any

from runner.core.model import AcceptanceTest, Bundle, WsId
from runner.core.plan import Plan


def bundle(name: str = "a", **overrides: Any) -> Bundle:
    """A workstream `ws-<name>` that may change its own source file, `src/<name>.py`."""
    ws_id = WsId(name if name.startswith("ws-") else f"ws-{name}")
    values: dict[str, Any] = {
        "id": ws_id,
        "change": "change-1",
        "files_scope": (f"src/{ws_id.removeprefix('ws-')}.py",),
        "tasks": (f"Write {ws_id}.",),
        "acceptance_tests": (AcceptanceTest(id="test-1", command="true"),),
        "source": "workstreams/plan.json",
    }
    return Bundle(**(values | overrides))


def plan(text: str, **overrides: Any) -> Plan:
    """A plan by its arrows: `b<-a c<-a,b` is ws-a, ws-b that depends on it, and ws-c that depends on both.

    Overrides go into every bundle.
    """
    needs: dict[str, list[str]] = {}
    for word in text.split():
        name, _, sources = word.partition("<-")
        for source in filter(None, sources.split(",")):
            needs.setdefault(source, [])
            needs.setdefault(name, []).append(source)
        needs.setdefault(name, [])
    return Plan(
        bundles=tuple(
            bundle(name, depends_on=tuple(WsId(f"ws-{source}") for source in sources), **overrides)
            for name, sources in needs.items()
        )
    )
