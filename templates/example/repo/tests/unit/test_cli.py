from pathlib import Path

import stint
from stint.cli import main

DATA = Path(__file__).parents[1] / "data"
ROOT = Path(__file__).parents[2]


def test_total_prints_the_hours(capsys):
    assert main(["total", str(DATA / "may.txt")]) == 0
    assert capsys.readouterr().out == "12:40\n"


def test_clients_prints_a_table(capsys):
    main(["clients", str(DATA / "may.txt")])

    assert capsys.readouterr().out == "acme    10:05\nbakery   2:35\n"


def test_export_is_what_a_spreadsheet_writes(capsys):
    main(["export", str(DATA / "may.txt")])

    expected = (DATA / "may.csv").read_bytes().decode("utf-8")
    assert capsys.readouterr().out.rstrip() == expected.rstrip()


def test_a_missing_log_is_an_error_that_names_it(capsys):
    assert main(["total", "no-such.txt"]) == 1
    assert capsys.readouterr().err == "stint: cannot read no-such.txt: No such file or directory\n"


def test_the_latest_changes_are_those_of_this_version():
    latest = (ROOT / "docs" / "latest-changes.md").read_text(encoding="utf-8")

    assert latest.startswith(f"# {stint.__version__}\n")
