import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.report.text import code, fenced, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, ünïcode and 😀", "plain words, ünïcode and 😀"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31mred", r"\x9b31mred"),
        ("over\rwritten", r"over\rwritten"),
        ("two\nlines\t", r"two\nlines\t"),
        ("rtl \u202e\u2066", r"rtl \u202e\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028separator\x85", r"line\u2028separator\x85"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("undecodable \udcff", r"undecodable \udcff"),
        ("nul \0 bell \a backspace \b", r"nul \x00 bell \x07 backspace \x08"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_an_escape(text, shown):
    assert plain(text) == shown


def test_lines_are_kept_where_they_are_wanted():
    assert plain("a\tb\nc\r\x1b", lines=True) == "a\tb\nc\\r\\x1b"


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_is_one_printable_line_of_utf8(text):
    assert plain(text).isprintable()
    assert len(plain(text).encode().splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("src/a_b.py", "`src/a_b.py`"),
        ("", ""),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a | b", r"`a \| b`"),
        ("<img>\n# x", r"`<img>\n# x`"),
    ],
)
def test_a_code_span_holds_anything(text, markdown):
    assert code(text) == markdown


def test_a_fence_is_longer_than_any_in_the_text():
    assert fenced("a\n````\n# b\x1b") == "`````text\na\n````\n# b\\x1b\n`````"


@given(st.text(st.sampled_from("`~ab\n #"), max_size=40))
def test_no_line_of_the_text_ends_its_fence(text):
    first, *inside, last = fenced(text).split("\n")
    assert first == f"{last}text"
    assert not any(line.strip(" ").startswith(last) for line in inside)
