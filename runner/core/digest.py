"""A plan's content as text: what is stored of it, how it is read back, and what makes two plans the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from runner.core.model import AcceptanceTest, Bundle

_CONTENT = [field.name for field in fields(Bundle) if field.name != "source"]


def bundle_json(bundle: Bundle) -> str:
    """Everything that a bundle says; not the file in which it says it."""
    content = {name: getattr(bundle, name) for name in _CONTENT}
    return json.dumps(content, default=asdict, sort_keys=True)


def read_bundle(content: Mapping[str, Any]) -> Bundle:
    """The bundle that a decoded `bundle_json` says; `source` is lost."""
    tests = tuple(AcceptanceTest(**test) for test in content["acceptance_tests"])
    lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    return Bundle(**{**content, **lists, "acceptance_tests": tests})


def plan_sha256(contents: Iterable[str]) -> str:
    """Of all bundles' JSON, in any order: differs when anything of any workstream does."""
    return hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()
