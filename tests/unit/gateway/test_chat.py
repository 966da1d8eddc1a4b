import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.model import Usage
from runner.gateway.chat import ChatRequest, EventReader, parse_request, read_error, usage_of

MINIMAL = b'{"model": "m", "messages": []}'


def test_a_request_is_read():
    raw = b'{"model": "m", "messages": [], "stream": true, "stream_options": {"include_usage": true}}'
    assert parse_request(raw) == ChatRequest(model="m", body=raw, stream=True, wants_usage=True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"model": "m"}',
        b'{"model": 1, "messages": []}',
        b'{"model": "m", "messages": {}}',
        b'{"model": "m", "messages": [], "temperature": NaN}',
        b'{"model": "m", "messages": [], "temperature": 1e999}',
        b'{"model": "m", "messages": []} trailing',
        b'{"model": "m", "messages": ' + b"[" * 100_000,
        b'{"model": "m", "messages": [], "n": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe",
    ],
)
def test_what_is_no_request_is_refused(raw):
    with pytest.raises(ValueError, match="the body"):
        parse_request(raw)


def test_a_model_given_twice_is_forwarded_as_it_was_understood():
    request = parse_request(b'{"model": "dear", "messages": [], "model": "allowed"}')
    assert request.model == "allowed"
    assert json.loads(request.body)["model"] == "allowed"
    assert b"dear" not in request.body


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_are_too_strange_to_be_refused(raw):
    try:
        parse_request(raw)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("payload", "sent", "received"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, 3, 4),
        ({"usage": {"prompt_tokens": -3, "completion_tokens": 4}}, 0, 4),
        ({"usage": {"prompt_tokens": "3", "completion_tokens": 4}}, 0, 0),
        ({"usage": None}, 0, 0),
        ([], 0, 0),
    ],
)
def test_usage_is_what_the_answer_says(payload, sent, received):
    assert usage_of(payload) == Usage(requests=1, tokens_in=sent, tokens_out=received)


EVENTS = (
    b'data: {"choices": [{"delta": {"content": "a"}}]}\r\n\r\n'
    b'data: {"choices": [{"delta": {"content": "\\"usage\\""}}], "usage": null}\n\n'
    b': comment "usage"\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}}\n\n'
    b"data: [DONE]\n\n"
)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(EVENTS))))
def test_usage_is_found_however_the_stream_is_cut(cuts):
    reader = EventReader()
    edges = [0, *sorted(cuts), len(EVENTS)]
    for start, end in itertools.pairwise(edges):
        reader.feed(EVENTS[start:end])
    assert reader.usage == Usage(requests=1, tokens_in=11, tokens_out=5)
    assert reader.done


def test_a_stream_is_done_no_sooner_than_it_says():
    reader = EventReader()
    reader.feed(EVENTS.removesuffix(b"data: [DONE]\n\n"))
    assert not reader.done


def test_an_endless_line_is_not_kept():
    reader = EventReader()
    for _ in range(40):
        reader.feed(b"x" * 100_000)
    reader.feed(b"\n" + EVENTS)
    assert reader.usage.tokens_in == 11


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error": {"message": "too long", "code": "context_length_exceeded"}}', "too long", "context_length_exceeded"),
        (b'{"error": {"message": "no", "code": 400}}', "no", None),
        (b'{"error": "no such model"}', "no such model", None),
        (b'{"message": "quota"}', "quota", None),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>", None),
        (b'{"error": {"message": "' + b"x" * 9000 + b'"}}', "x" * 1000, None),
        (b"\xff", "�", None),
        (b"", "", None),
    ],
)  # fmt: skip
def test_an_error_is_read_in_every_usual_form(body, message, code):
    assert read_error(body) == (message, code)
