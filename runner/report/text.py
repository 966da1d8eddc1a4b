"""Text that tools wrote, made harmless to show."""

import re


def plain(text: str, *, lines: bool = False) -> str:
    r"""What cannot be seen is shown as an escape: controls, ESC, CR, bidirectional marks, undecodable bytes.

    The result is one line, unless `lines` keeps line breaks and tabs.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(char if char.isprintable() or char in kept else _escaped(char) for char in text)


def code(text: str) -> str:
    """A markdown code span, for a table's cell too: nothing in it is markup."""
    if not text:
        return ""
    marks = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{pad}{plain(text)}{pad}{marks}".replace("|", "\\|")


def fenced(text: str) -> str:
    """A markdown block of literal lines, which nothing in them can end."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{plain(text, lines=True)}\n{fence}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
