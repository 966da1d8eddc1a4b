from dataclasses import replace
from pathlib import Path

from runner.core.model import WsId
from runner.report.summary_md import to_markdown

WHOLE = """\
# Run 01JAAAAAAAAAAAAAAAAAAAAAAA: partial

1 of 4 workstreams done, 2 failed, 1 blocked, in 3 min 07 s; 3 model requests, 30 tokens in, 6 out. \
Based on `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb`.

| workstream | state | attempts | branch |
| --- | --- | --- | --- |
| `ws-a` | done | 1 edit | `ws/change-1/ws-a` |
| `ws-b` | failed | 1 static |  |
| `ws-c` | blocked |  |  |
| `ws-d` | failed | 1 edit |  |

## Branches made

- `ws/change-1/ws-a` at `cccccccccccccccccccccccccccccccccccccccc`

## `ws-b`: failed

```text
3 of 3 fix attempts are used up
static attempt 1 ended findings: 1 finding
src/a.py:3 F401 unused import
```

Its worktree is kept: `/kept/ws-b`

What the tools printed:

- `/logs/tool_outputs/ws-b_static_1_ruff_001.log`

## `ws-c`: blocked

```text
ws-b failed
```

## `ws-d`: failed

````text
hostile \\x1b[31m reason
```
# title
edit attempt 1 ended scope_violation: no
refused setup.py: not in the scope
````

## Faults met on the way

| attempts | workstreams | signature |
| --- | --- | --- |
| 1 | `ws-d` | `edit::scope_violation::setup.py` |
| 1 | `ws-b` | `ruff::F401::unused import` |

## What next

- Look at a result: `git log -p bbbbbbbbbbbb..ws/change-1/ws-a`
- Take it over: `git merge ws/change-1/ws-a`
- See what failed: `runner show-errors --run 01JAAAAAAAAAAAAAAAAAAAAAAA --ws ws-b`
- See what happened: `runner show-events --run 01JAAAAAAAAAAAAAAAAAAAAAAA`
"""


def test_a_person_finds_what_happened_why_and_what_to_do(partial):
    kept = {WsId("ws-b"): Path("/kept/ws-b")}
    assert to_markdown(partial, worktrees=kept, logs=Path("/logs")) == WHOLE


def test_an_error_that_many_workstreams_met_names_some_of_them(partial):
    everybody = tuple(WsId(f"ws-{number}") for number in range(12))
    crowded = replace(partial, errors=(replace(partial.errors[0], workstreams=everybody),))
    text = to_markdown(crowded, worktrees={}, logs=Path("/logs"))
    assert "`ws-8`, `ws-9` and 2 more |" in text
