"""Side effects in the code that no sample comes by, each with the reason why that is no gap."""

from collections.abc import Collection
from typing import Final

from tests.crash.sites import Site

# Commands of their own: what they do is not part of a run or of its resume.
_OTHER_COMMANDS: Final = {
    "gc.py": "`runner gc`",
    "sandbox/leftovers.py": "`runner gc`, `runner abandon` and `runner rollback`",
    "wiring/doctor.py": "`runner doctor`",
    "wiring/interrupted.py": "`runner abandon` and `runner rollback`",
    "worktree/salvage.py": "`runner gc`, `runner abandon` and `runner rollback`",
    "worktree/salvaged.py": "`runner salvage`",
}

_NEVER_PASSED: Final = {
    "open @ __main__.py:main": "only where standard output is closed",
    "os.remove @ gateway/records.py:AttemptRecords.__init__": "only after a crash while a record was written",
    "os.remove @ gateway/records.py:_write_whole": "only when a record cannot be written",
    "os.killpg @ process.py:_kill": "only when a command misses its deadline",
    "commit @ recovery.py:abandon": "`runner abandon`",
    "POST containers/*/kill @ sandbox/container.py:Container.kill": "only at a limit or ^C",
    "shutil.rmtree @ sandbox/docker.py:_make_scratch": "only when a scratch folder cannot be made",
    "os.rmdir @ sandbox/overlay.py:_remove_locked": "only for folders of mode 000, when we are not root",
    "shutil.rmtree @ worktree/gitbase.py:clear_half_made": "only after a crash while a base was made; a part of it may go",
    "commit @ store/db.py:_opened_reading": "a transaction that only reads",
    "commit @ engine/loop.py:Engine._decide": "only when an attempt ends after the first ^C",
    "commit @ engine/loop.py:Engine._mark_ready": "within a decision of its caller",
    "commit @ engine/journal.py:Journal.decision": "handed on: its callers have the failpoint",
}


def reason(site: Site) -> str:
    """Why it is no gap that no sample comes by a side effect; nothing when there is no reason."""
    file, _, function = site.function.partition(":")
    if file == "store/runs.py" and function != "Store.transaction":
        return "joins the transaction of a caller, who has the failpoint"
    return _OTHER_COMMANDS.get(file, "") or _NEVER_PASSED.get(str(site), "")


def unused(sites: Collection[Site]) -> set[str]:
    """Exceptions for what the code does not do (any more)."""
    files = {site.function.partition(":")[0] for site in sites}
    return (_OTHER_COMMANDS.keys() - files) | (_NEVER_PASSED.keys() - {str(site) for site in sites})
