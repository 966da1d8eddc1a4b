import re
from pathlib import Path

import pytest

from stint.cli import main

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "für Gäste" / "Übersicht der Woche.md"
COMMAND = re.compile(r"^    stint (.+)$", re.MULTILINE)


def test_the_guide_shows_the_week():
    assert any(line.startswith("week ") for line in commands())


def test_every_command_of_the_guide_works(capsys, monkeypatch):
    monkeypatch.chdir(ROOT / "tests" / "data")
    for line in commands():
        arguments = line.replace("hours.txt", "may.txt").split()

        assert main(arguments) == 0, capsys.readouterr().err


@pytest.mark.parametrize("day", ["Mon", "Sun"])
def test_the_guide_explains_the_columns(day):
    assert day in GUIDE.read_text(encoding="utf-8")


def test_the_guide_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    assert "für Gäste/Übersicht der Woche.md" in navigation


def commands() -> list[str]:
    return COMMAND.findall(GUIDE.read_text(encoding="utf-8"))
