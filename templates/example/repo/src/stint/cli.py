import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stint import __version__
from stint.durations import clock_format
from stint.entry import Entry
from stint.errors import StintError
from stint.export import entries_csv
from stint.parse import parse_log
from stint.settings import Settings, load_settings
from stint.table import render
from stint.totals import minutes_by_client, minutes_by_tag, total_minutes


def main(argv: Sequence[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    try:
        entries = read_entries(arguments.log)
        settings = load_settings(arguments.log.with_name("stint.toml"))
        print(arguments.command(entries, settings, arguments))
    except StintError as error:
        print(f"stint: {error}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stint", description="Sums up working hours.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, summary in (
        ("total", show_total, "all hours"),
        ("clients", show_clients, "hours by client"),
        ("tags", show_tags, "hours by tag"),
        ("export", show_export, "the log as CSV"),
    ):
        subparser = commands.add_parser(name, help=summary)
        subparser.add_argument("log", type=Path)
        subparser.set_defaults(command=command)
    return parser


def read_entries(path: Path) -> list[Entry]:
    try:
        with path.open(encoding="utf-8") as lines:
            return parse_log(lines)
    except OSError as error:
        raise StintError(f"cannot read {path}: {error.strerror}") from error


def show_total(entries: list[Entry], settings: Settings, arguments: argparse.Namespace) -> str:
    return clock_format(total_minutes(entries))


def show_clients(entries: list[Entry], settings: Settings, arguments: argparse.Namespace) -> str:
    minutes = minutes_by_client(entries)
    return _minutes_table({settings.full_name(client): minutes[client] for client in minutes})


def show_tags(entries: list[Entry], settings: Settings, arguments: argparse.Namespace) -> str:
    return _minutes_table(minutes_by_tag(entries))


def show_export(entries: list[Entry], settings: Settings, arguments: argparse.Namespace) -> str:
    return entries_csv(entries).rstrip()


def _minutes_table(minutes: Mapping[str, int]) -> str:
    return render([(name, clock_format(minutes[name])) for name in minutes])
