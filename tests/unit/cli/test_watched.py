import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from runner.cli.watched import _Lasting


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """The end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", buffering=1) as stream:  # noqa: PTH123 - by descriptor
        yield stream


def test_what_nobody_reads_any_more_leads_nowhere(unread: TextIO):
    lasting = _Lasting(unread)
    for _ in range(2):
        assert lasting.write("text\n") == 5
        lasting.flush()
    assert Path(f"/proc/self/fd/{unread.fileno()}").readlink() == Path(os.devnull)


def test_another_fault_of_an_output_is_told():
    with Path("/dev/full").open("w", buffering=1) as full:
        with pytest.raises(OSError, match="No space left"):
            _Lasting(full).write("text\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # else closing it fails as well
