"""What makes two plans the same plan."""

import hashlib
import json
from dataclasses import asdict

from runner.core.plan import Plan


def plan_sha256(plan: Plan) -> str:
    """Differs when anything of any workstream does; neither order nor the files' names matter."""
    contents = sorted(json.dumps({**asdict(bundle), "source": ""}, sort_keys=True) for bundle in plan)
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()
