import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.signature import normalize, signature

SAME = {
    "another line": ("app/a.py:12:5: name 'x' is not defined", "app/a.py:190:41: name 'x' is not defined"),
    "another line in words": ("unexpected indent (line 3)", "unexpected indent (line 77)"),
    "the workspace's path or a relative one": (
        "cannot import /workspace/app/a.py",
        "cannot import app/a.py",
    ),
    "another address": ("<Job object at 0x7f655079c190>", "<Job object at 0x7F29745B9210>"),
    "another temporary folder": (
        "no file '/tmp/tmpk3x9_2aa/db'",
        "no file '/tmp/pytest-of-root/pytest-3/db'",
    ),
    "a file in another temporary folder": ("/tmp/tmpk3x9_2aa/app.json", "/var/tmp/b/app.json"),
    "another temporary name": ("cannot rename tmpab12cd34", "cannot rename tmpzz98yx76"),
    "another home": ("/home/ann/.cache/x is not writable", "/root/.cache/x is not writable"),
    "another Python": (
        'File "/usr/lib/python3.11/json/decoder.py", line 355',
        'File "/opt/py/lib/python3.12/json/decoder.py", line 337',
    ),
    "another virtual environment": (
        "/opt/venv/lib/python3.11/site-packages/rich/text.py: boom",
        "/usr/lib/python3/dist-packages/rich/text.py: boom",
    ),
    "another time": ("expired at 2025-11-16T10:30:00.123Z", "expired at 2026-01-02 23:59"),
    "another clock": ("started 09:15:01,123", "started 21:00:59"),
    "another duration": ("Ran 3 tests in 0.002s", "Ran 3 tests in 12 seconds"),
    "another hash": ("object 3f2a91c not found", "object 9d41ac0be2 not found"),
    "another UUID": (
        "job 6f9619ff-8b86-d011-b42d-00cf4fc964ff lost",
        "job 123e4567-e89b-12d3-a456-426614174000 lost",
    ),
    "another ULID": ("run 01JCQ4W7M5N8Z3R6T9V2X0Y1AB", "run 01HZX3K9D2E4F6G8H0J1K3M5N7"),
    "another value": ("assert -1 == 2.5e-05", "assert 17 == 3"),
    "another spacing": ("too  many\n\tspaces ", "too many spaces"),
}

DIFFERENT = {
    "names in quotes": ("`os` imported but unused", "`sys` imported but unused"),
    "files": ("app/a.py: missing docstring", "app/b.py: missing docstring"),
    "files with digits in their names": ("migrations/0001_users.py: E", "migrations/0002_users.py: E"),
    "names with digits": ("no attribute 'sha256'", "no attribute 'sha512'"),
    "quotes and none": ("'x' is unknown", "x is unknown"),
    "case": ("Name is unknown", "name is unknown"),
    "files in a temporary folder": ("/tmp/a/users.json: bad", "/tmp/a/orders.json: bad"),
    "the ends of long messages": ("word " * 300 + "one", "word " * 300 + "two"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_the_same_fault_has_one_signature(one, other):
    assert signature("tool", "E1", one) == signature("tool", "E1", other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_different_faults_have_different_signatures(one, other):
    assert signature("tool", "E1", one) != signature("tool", "E1", other)


def test_tool_and_error_type_are_part_of_it():
    assert signature("ruff", "F401", "`os` imported but unused") == "ruff::F401::`os` imported but unused"
    assert signature("pytest", "tests/t.py::test_a[1]", "assert 4 == 5") == (
        "pytest::tests/t.py::test_a[1]::assert <n> == <n>"
    )


def test_what_is_folded_can_be_read():
    message = "/workspace/app/a.py:3: took 0.5s at 2025-11-16T10:30:00Z, see /tmp/x/out.log (0xff, 12)"
    assert normalize(message) == "app/a.py:<n>: took <time> at <time>, see <tmp>/out.log (<n>, <n>)"


@pytest.mark.parametrize("message", ["x" * 5000, "word " * 1000, "/" * 5000, "=/a" * 1500, "1" * 5000])
def test_length_is_bounded(message):
    assert len(signature("tool", message, message)) < 450


PATHS = [
    "/workspace/",
    "/tmp",
    "/tmp/",
    "tmpab12cd34",
    "/home/",
    "/root/",
    "/lib/python3.11/",
    "/site-packages/",
]
TIMES = ["2025-11-16", "10:30:00", "T", "Z", "s", "ms", " seconds"]
IDS = ["0x", "7f", "3f2a91c", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "01JCQ4W7M5N8Z3R6T9V2X0Y1AB"]
REST = [*" .:,;-+/'\"`()[]<>=_~", "12", "3.5", "e", "x", "a.py", "line ", "\n", "ä"]
PIECES = st.sampled_from(PATHS + TIMES + IDS + REST)


@given(st.lists(PIECES, max_size=80).map("".join) | st.text(max_size=500))
def test_normalising_twice_changes_nothing(message):
    once = normalize(message)
    assert normalize(once) == once


WORDS = st.sampled_from(
    ["line", "(expected", "in app/a.py", "'name'", "=", "got", "assert", "Module[x]", "sha256"]
)
NUMBERS = st.integers(0, 10**12).map(str) | st.decimals(0, 10**6, places=3).map(str)


@given(st.lists(st.tuples(WORDS, NUMBERS, NUMBERS), max_size=8))
def test_changing_the_numbers_changes_nothing(parts):
    one = " ".join(f"{word} {first}" for word, first, _ in parts)
    other = " ".join(f"{word} {second}" for word, _, second in parts)
    assert normalize(one) == normalize(other)


@given(st.text(max_size=400))
def test_a_signature_is_one_line(message):
    assert not re.search(r"[\n\r\t]", signature("tool", message, message))
