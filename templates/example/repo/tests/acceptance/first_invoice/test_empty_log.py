import pytest

from stint.cli import main


@pytest.mark.parametrize("command", ["clients", "tags"])
def test_an_empty_log_is_said_to_be_empty(capsys, command, tmp_path):
    log = tmp_path / "hours.txt"
    log.touch()

    assert main([command, str(log)]) == 0
    assert capsys.readouterr().out == "No entries.\n"
