"""The process is killed while it records an answer. The agent lives on, and tells what it was given."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from runner.gateway.exchange import Streamed
from runner.gateway.records import Records
from runner.gateway.upstream import Answer
from tests.unit.gateway.stub import KEY, MODEL


def seen_of(records: Path, moment: int, request: bytes) -> bytes:
    """What an agent sees of the answer when the process dies at this moment, or else right after the last byte."""
    arguments = [sys.executable, "-m", "tests.unit.gateway.doomed", str(records), str(moment)]
    with (
        TemporaryDirectory() as temporary,  # a killed process leaves its socket; the path is short enough for one
        subprocess.Popen(
            arguments, env={**os.environ, "TMPDIR": temporary}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        seen = read_all(Path(os.fsdecode(process.stdout.readline().strip())) / "model.sock", request)
        process.kill()
        return seen


def read_all(socket: Path, request: bytes) -> bytes:
    """What comes until the end, or until the other side is dead."""
    seen = bytearray()
    asked = httpx.Request("POST", "http://door/v1/chat/completions", content=request)
    with (
        suppress(httpx.TransportError),
        httpx.HTTPTransport(uds=str(socket), verify=False) as transport,
    ):
        for chunk in transport.handle_request(asked).iter_raw():
            seen += chunk
    return bytes(seen)


def recorded(records: Path, request: bytes) -> bytes | None:
    """The body of the answer, as the attempt gets it when it is done again."""
    with Records(records).open(KEY) as attempt:
        match attempt.take(request):
            case Answer(body=body):
                return body
            case Streamed(chunks=chunks):
                return b"".join(chunks)
            case None:
                return None


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_recorded_whole_before_the_agent_can_have_it(stream, tmp_path: Path):
    request = json.dumps({"model": MODEL, "messages": [], "stream": stream}).encode()
    last = b"data: [DONE]\n\n" if stream else b"}"
    seen, kept = [], []
    for moment in count(1):
        records = tmp_path / str(moment)
        seen.append(seen_of(records, moment, request))
        kept.append(recorded(records, request))
        if seen[-1].endswith(last):
            break
    before_the_name = [None] * 4  # opening, flush, after the flush, renaming
    assert kept == before_the_name + [seen[-1]] * 4  # opening the folder, flush, after the flush, passed on
