import json
from dataclasses import replace

from runner.core.model import RunStatus, WsId
from runner.layout import StateLayout
from runner.report.files import has_reports, write_reports
from tests.unit.store.past import RUN


def test_both_reports_and_a_copy_beside_the_logs_are_written(partial, tmp_path):
    layout = StateLayout(tmp_path / "state")
    reports = write_reports(partial, layout)
    assert reports.json == layout.reports / f"{RUN}_summary.json"
    assert reports.markdown == layout.reports / f"{RUN}_summary.md"
    assert reports.json.read_text() == (layout.logs(RUN) / "summary.json").read_text()
    assert json.loads(reports.json.read_text())["run_id"] == RUN


def test_only_worktrees_that_are_there_are_named(partial, tmp_path):
    layout = StateLayout(tmp_path)
    kept = layout.worktree(RUN, WsId("ws-b"))
    kept.mkdir(parents=True)
    text = write_reports(partial, layout).markdown.read_text()
    assert text.count("Its worktree is kept") == 1
    assert str(kept) in text


def test_writing_again_replaces_and_leaves_nothing_else(partial, tmp_path):
    layout = StateLayout(tmp_path)
    write_reports(partial, layout)
    reports = write_reports(partial, layout)
    assert sorted(layout.reports.iterdir()) == [reports.json, reports.markdown]


def test_a_reader_that_has_the_old_report_open_keeps_it_whole(partial, tmp_path):
    layout = StateLayout(tmp_path)
    reports = write_reports(partial, layout)
    before = reports.json.read_text()
    with reports.json.open() as open_before:
        write_reports(partial, layout)
        assert open_before.read() == before


def test_a_report_counts_once_it_tells_the_end_and_all_of_it_is_there(partial, tmp_path):
    layout = StateLayout(tmp_path)
    assert not has_reports(layout, RUN)
    write_reports(replace(partial, status=RunStatus.RUNNING), layout)
    assert not has_reports(layout, RUN)
    reports = write_reports(partial, layout)
    assert has_reports(layout, RUN)
    reports.json.write_text(reports.json.read_text()[:-20])
    assert not has_reports(layout, RUN)
