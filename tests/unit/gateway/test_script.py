from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.gateway.script import Script, ScriptedUsage, load_script


def write(folder: Path, text: str) -> Path:
    path = folder / "demo.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_script(write(folder, text))
    return caught.value.details.splitlines()


GOOD = """
delay_s = 0.5

[[answers]]
workstream = "a"
content = '''
Fichier réécrit'''
finish_reason = "length"
usage = {prompt_tokens = 10, completion_tokens = 3}

[[answers]]
workstream = "b"
status = 503
retry_after_s = 2
times = 4
delay_s = 1

[[answers]]
workstream = "b"
drop = true
"""


def test_a_script_is_read(tmp_path):
    script = load_script(write(tmp_path, GOOD))
    first, second, third = script.answers
    assert script.delay_s == 0.5
    assert (first.content, first.finish_reason) == ("Fichier réécrit", "length")
    assert first.usage == ScriptedUsage(prompt_tokens=10, completion_tokens=3)
    assert (second.status, second.retry_after_s, second.times, second.delay_s) == (503, 2, 4, 1)
    assert third.drop


def test_an_empty_script_is_a_model_that_says_nothing(tmp_path):
    assert load_script(write(tmp_path, "")) == Script()


def test_all_problems_are_told_at_once(tmp_path):
    text = """
delay_s = -1
[[answers]]
content = "no workstream"
[[answers]]
workstream = "a"
[[answers]]
workstream = "a"
status = 200
[[answers]]
workstream = "a"
status = 500
content = "both"
[[answers]]
workstream = "a"
content = "x"
retry_after_s = 1
[[answers]]
workstream = "a"
content = "x"
dealy_s = 1
times = 0
finish_reason = "bored"
usage = {prompt_tokens = 1}
"""
    told = problems(tmp_path, text)
    assert [line.split(": ")[:2] for line in told] == [
        ["demo.toml", "delay_s"],
        ["demo.toml", "answers[0].workstream"],
        ["demo.toml", "answers[1]"],
        ["demo.toml", "answers[2].status"],
        ["demo.toml", "answers[3]"],
        ["demo.toml", "answers[4]"],
        ["demo.toml", "answers[5].times"],
        ["demo.toml", "answers[5].finish_reason"],
        ["demo.toml", "answers[5].usage.completion_tokens"],
        ["demo.toml", "answers[5].dealy_s"],
    ]
    assert told[2] == "demo.toml: answers[1]: needs one of `content`, `status` and `drop`"


def test_a_file_that_is_not_toml_is_named(tmp_path):
    (line,) = problems(tmp_path, "[[answers]")
    assert "line 1" in line


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        load_script(tmp_path / "none.toml")


def test_undecodable_bytes_are_a_problem_of_the_file(tmp_path):
    path = tmp_path / "demo.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_script(path)
