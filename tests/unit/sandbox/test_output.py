import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ports import Output
from runner.sandbox.output import STDERR, STDOUT, Bounded, Frames, without_ending


def frame(stream: int, data: bytes) -> bytes:
    """As the engine frames what a container prints."""
    return struct.pack(">BxxxL", stream, len(data)) + data


def streams(parts: list[bytes]) -> dict[int, bytes]:
    """What was printed to each stream, fed in these parts."""
    frames = Frames()
    found = {STDOUT: b"", STDERR: b""}
    for part in parts:
        for stream, chunk in frames.feed(part):
            found[stream] += chunk
    return found


def kept(keep: int, *chunks: bytes) -> Output:
    bounded = Bounded(keep)
    for chunk in chunks:
        bounded.add(chunk)
    return bounded.output()


def test_frames_are_told_apart_by_stream():
    data = frame(STDOUT, b"out") + frame(STDERR, b"err") + frame(STDOUT, b"") + frame(STDOUT, b"put")
    assert streams([data]) == {STDOUT: b"output", STDERR: b"err"}


def test_a_frame_that_is_cut_off_gives_what_came_of_it():
    assert streams([frame(STDOUT, b"started")[:11]]) == {STDOUT: b"sta", STDERR: b""}
    assert streams([frame(STDOUT, b"started")[:5]]) == {STDOUT: b"", STDERR: b""}


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=20))), st.data())
def test_bytes_may_arrive_in_any_parts(printed, data):
    sent = b"".join(frame(stream, text) for stream, text in printed)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)))))
    parts = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert streams(parts) == {
        number: b"".join(text for stream, text in printed if stream == number) for number in (STDOUT, STDERR)
    }


@pytest.mark.parametrize(
    ("chunks", "output"),
    [
        ([], Output()),
        ([b"abcd"], Output(b"abcd")),
        ([b"abcdefgh"], Output(b"abcd", b"efgh")),
        ([b"abcdefghi"], Output(b"abcd", b"fghi", 1)),
        ([b"ab", b"cdef", b"ghij", b"k"], Output(b"abcd", b"hijk", 3)),
        ([b"0123456789" * 10], Output(b"0123", b"6789", 92)),
        ([b"x"] * 20, Output(b"xxxx", b"xxxx", 12)),
    ],
)
def test_head_and_tail_are_kept_and_the_rest_is_counted(chunks, output):
    assert kept(8, *chunks) == output


@given(st.integers(2, 40), st.lists(st.binary(max_size=30), max_size=30))
def test_whatever_is_printed_is_bounded_and_accounted_for(keep, chunks):
    printed = b"".join(chunks)
    output = kept(keep, *chunks)
    assert len(output.head) + len(output.tail) + output.dropped == len(printed)
    assert len(output.head) + len(output.tail) <= keep
    assert printed.startswith(output.head)
    assert printed.endswith(output.tail)
    assert output.dropped == 0 or len(output.head) == len(output.tail) == keep // 2


def test_a_flood_takes_no_more_room_than_its_last_bytes():
    bounded = Bounded(1000)
    for _ in range(10_000):
        bounded.add(b"0123456789")
    assert bounded.total == 100_000
    assert sum(map(len, bounded._tail)) < 520


def test_text_says_what_was_dropped_and_replaces_what_cannot_be_decoded():
    assert Output(b"head\xff", b"\xfetail", 5).text() == "head\ufffd\n[... 5 bytes dropped ...]\n\ufffdtail"


def test_a_character_across_head_and_tail_is_whole_when_nothing_is_dropped():
    first, second = "ü".encode()[:1], "ü".encode()[1:]
    assert Output(first, second).text() == "ü"


@given(st.binary(max_size=60), st.integers(20, 60))
def test_an_ending_is_taken_off_wherever_it_was_kept(printed, keep):
    ending = b"bye\n"
    output = without_ending(kept(keep, printed, ending), ending)
    assert output is not None
    assert len(output.head) + len(output.tail) + output.dropped == len(printed)
    assert printed.startswith(output.head)
    assert printed.endswith(output.tail)


@pytest.mark.parametrize("printed", [b"", b"by", b"bye\nmore", b"x" * 100])
def test_another_ending_is_told(printed):
    assert without_ending(kept(20, printed), b"bye\n") is None
