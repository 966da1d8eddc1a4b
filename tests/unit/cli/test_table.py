import os
import subprocess
import sys
from pathlib import Path

from runner.cli.table import show_table

SHOW = r"""
from runner.cli.table import show_table
show_table(("NAME", "WHAT"), [("[bold]a[/bold]", "clear \x1b[2J"), ("b", "")])
"""


def test_a_pipe_gets_one_line_a_row_with_tabs_between(capsys):
    show_table(("NAME", "WHAT"), [("a\tb", "two\nlines"), ("", "x")])
    assert capsys.readouterr().out == "NAME\tWHAT\na\\tb\ttwo\\nlines\n\tx\n"


def test_a_terminal_gets_a_drawn_table_in_which_no_cell_is_markup():
    ours, theirs = os.openpty()
    env = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "80"}
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", SHOW], stdout=theirs, env=env, cwd=root, check=True)
    os.close(theirs)
    drawn = os.read(ours, 65536).decode()
    os.close(ours)
    assert "─" in drawn
    assert "[bold]a[/bold]" in drawn
    assert r"clear \x1b[2J" in drawn
    assert "\x1b[2J" not in drawn.replace(r"\x1b[2J", "")
