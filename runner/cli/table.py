"""Columns for a person on a terminal, and for programs in a pipe."""

import sys
from collections.abc import Iterable, Sequence

from runner.report.text import plain


def show_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A drawn table on a terminal; elsewhere tab-separated lines, the names of the columns first."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(names, cells)
        return
    for line in (names, *cells):
        print("\t".join(line))


def _draw(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*names, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: nothing in a cell is markup
    Console().print(table)
