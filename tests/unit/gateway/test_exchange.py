import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.model import Usage
from runner.gateway.exchange import Exchange, Received, Streamed, from_json, to_json
from runner.gateway.upstream import Answer, NoAnswer
from tests.unit.gateway.stub import COMPLETION, chat

ASKED_AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
USAGE_EVENT = b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}\n\n'


def exchange(reply: Received | NoAnswer, request: bytes = chat().body) -> Exchange:
    return Exchange(request=request, asked_at=ASKED_AT, duration_s=1.5, reply=reply)


GOOD = exchange(Answer(status=200, body=COMPLETION))

replies = st.one_of(
    st.builds(
        Answer,
        status=st.integers(200, 599),
        body=st.binary(),
        retry_after_s=st.none() | st.floats(0, 1e9),
    ),
    st.builds(Streamed, chunks=st.lists(st.binary()).map(tuple)),
    st.builds(NoAnswer, reason=st.text(), timed_out=st.booleans()),
)


@settings(deadline=None)
@given(replies, st.binary())
def test_what_is_read_is_what_was_written_to_the_byte(reply, request_):
    assert from_json(to_json(exchange(reply, request_))) == exchange(reply, request_)


def test_the_form_is_the_one_that_is_documented():
    assert json.loads(to_json(GOOD)) == {
        "version": 1,
        "asked_at": "2026-01-02T03:04:05.678Z",
        "duration_s": 1.5,
        "request": {"sha256": GOOD.sha256, "body": chat().body.decode()},
        "reply": {"status": 200, "body": COMPLETION.decode(), "retry_after_s": None},
        "usage": {"tokens_in": 7, "tokens_out": 2},
    }


@pytest.mark.parametrize(
    ("reply", "usage"),
    [
        (Answer(status=200, body=COMPLETION), Usage(requests=1, tokens_in=7, tokens_out=2)),
        (Answer(status=500, body=b"oops"), Usage(requests=1)),
        (
            Streamed(chunks=(USAGE_EVENT[:9], USAGE_EVENT[9:])),
            Usage(requests=1, tokens_in=3, tokens_out=4),
        ),
        (NoAnswer(reason="gone"), Usage(requests=1)),
    ],
)
def test_every_exchange_is_one_request_and_costs_what_its_answer_says(reply, usage):
    assert exchange(reply).usage == usage


@pytest.mark.parametrize("length", range(0, len(to_json(GOOD)) - 2, 7))
def test_a_part_is_never_taken_for_the_whole(length):
    with pytest.raises(ValueError, match="it is not JSON"):
        from_json(to_json(GOOD)[:length])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "it has version 2; this runner reads version 1"),
        ({"request": {"sha256": GOOD.sha256, "body": "{}"}}, "its request is not the one that was recorded"),
        ({"reply": {"status": "200", "body": ""}}, "it holds no answer"),
        ({"reply": {"status": 200, "chunks": ["a", 1]}}, "a part of its answer is not text"),
        ({"asked_at": 5}, "it is not an exchange with a model"),
    ],
)
def test_what_is_no_exchange_is_refused_with_a_reason(change, reason):
    with pytest.raises(ValueError, match=reason):
        from_json(json.dumps(json.loads(to_json(GOOD)) | change).encode())
