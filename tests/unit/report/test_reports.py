import json
from pathlib import Path

import pytest

from runner.cli.show_run import load_summary
from runner.core.model import Commit, Outcome, Refusal, RunStatus, StepName, WsStatus
from runner.core.summary import Summary
from runner.layout import StateLayout
from runner.report.files import write_reports
from runner.report.summary_json import to_json
from runner.report.summary_md import to_markdown
from runner.report.wording import duration, next_steps
from tests.unit.store.past import BASE, RUN, TickedClock, attempt, bring, finding, key, past
