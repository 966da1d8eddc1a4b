"""A plan's content as text: what is stored of it, and what makes two plans the same."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, fields

from runner.core.model import Bundle

_CONTENT = [field.name for field in fields(Bundle) if field.name != "source"]


def bundle_json(bundle: Bundle) -> str:
    """Everything that a bundle says; not the file in which it says it."""
    content = {name: getattr(bundle, name) for name in _CONTENT}
    return json.dumps(content, default=asdict, sort_keys=True)


def plan_sha256(contents: Iterable[str]) -> str:
    """Of all bundles' JSON, in any order: differs when anything of any workstream does."""
    return hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()
