"""Whether two scopes have a path in common.

Negations are left out of account: what a pattern takes away is not looked at, so that more is reported
rather than less. A pattern whose last name looks like a file's (`setup.py`, `*.toml`) is taken not to be a
folder: else `a.py` and `b.py`, which gitignore syntax finds in every folder, would meet in `a.py/b.py`.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters, digits, punctuation

from runner.core.beginnings import Beginnings, agree
from runner.core.graph import Order
from runner.core.model import WsId
from runner.core.pattern import (
    ANY_CHAR,
    ANY_NAME,
    Chars,
    Name,
    Wild,
    holds_anywhere,
    normal,
    parse_name,
    segments,
)

Step = Name | Wild  # Wild.DEEP: any run of folders
_Marks = Mapping[str, tuple[str, ...]]  # of patterns: the text that all their matches begin with, and more


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two workstreams that may touch the same path, each by a pattern of its own."""

    first: WsId
    first_pattern: str
    second: WsId
    second_pattern: str
    example: str


def overlaps(scopes: Sequence[tuple[WsId, Sequence[str]]], order: Order) -> Iterator[Overlap]:
    """Every overlap between workstreams that are not ordered.

    Patterns are compared only where an index says that they may meet, and only when some of those who have them
    are not ordered: the cost follows the number of such meetings, not of pairs.
    """
    owners: dict[str, int] = {}
    for ws, patterns in scopes:
        for pattern in patterns:
            owners[pattern] = owners.get(pattern, 0) | order.bit(ws)
    for one, other in candidates([pattern for pattern in owners if not pattern.startswith("!")]):
        pairs = order.unordered(owners[one], owners[other])
        first = next(pairs, None)
        if first and (example := overlap(one, other)):
            for a, b in (first, *pairs):
                yield Overlap(first=a, first_pattern=one, second=b, second_pattern=other, example=example)


def overlap(one: str, other: str) -> str | None:
    """A path that two gitignore-style patterns both match, or None when there is none."""
    left, right = _steps(one), _steps(other)
    waiting: deque[tuple[int, int, tuple[str, ...]]] = deque([(0, 0, ())])
    seen: set[tuple[int, int]] = set()
    while waiting:
        i, j, names = waiting.popleft()
        if (i, j) == (len(left), len(right)):
            return "/".join(names)
        if (i, j) not in seen:
            seen.add((i, j))
            waiting.extend(_moves(left, i, right, j, names=names))
    return None


def candidates(patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of patterns that may meet, each with itself too: nothing that is literal in them forbids it.

    The first of a pair is the wider one, as far as that shows in how their matches begin.
    """
    folders = {pattern: (_head(pattern),) for pattern in patterns if not _names_a_file(pattern)}
    heads = {pattern: (_head(pattern),) for pattern in patterns if _names_a_file(pattern)}
    files = {pattern: (*heads[pattern], _name_start(pattern), _name_end(pattern)) for pattern in heads}
    yield from _agreeing(folders, folders)
    yield from _agreeing(folders, heads)
    yield from _agreeing(files, files)


def _agreeing(known: _Marks, asked: _Marks) -> Iterator[tuple[str, str]]:
    """Pairs that agree in every mark: one's text begins with the other's.

    Those that agree in the rarest mark are walked through, so that a mark which many share costs nothing.
    """
    names = list(known)
    indexes = [Beginnings(column) for column in zip(*known.values(), strict=True)]
    if not indexes:
        return
    for place, (pattern, marks) in enumerate(asked.items()):
        near = (index.near(text) for index, text in zip(indexes, marks, strict=True))
        for number in min(near, key=len):
            other = names[number]
            if known is asked and number > place:
                continue  # the other comes to this pair
            if all(agree(one, two) for one, two in zip(marks, known[other], strict=True)):
                yield (other, pattern) if len(known[other][0]) <= len(marks[0]) else (pattern, other)


def _head(pattern: str) -> str:
    """The text that every match begins with."""
    return "" if holds_anywhere(pattern) else _before_wildcards(normal(pattern).strip("/"))


def _name_start(pattern: str) -> str:
    """The text that the last name of every match begins with; of patterns that name files."""
    return _before_wildcards(segments(pattern)[-1])


def _name_end(pattern: str) -> str:
    """The text that every match ends with, read backwards; of patterns that name files."""
    return _plain(re.split(r"[*?\]]", segments(pattern)[-1])[-1])[::-1]


def _before_wildcards(text: str) -> str:
    return _plain(re.split(r"(?<!\\)[*?\[]", text, maxsplit=1)[0])


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _names_a_file(pattern: str) -> bool:
    return bool(_FILE.search(segments(pattern)[-1])) and not pattern.endswith("/")


def _steps(pattern: str) -> list[Step]:
    """What to walk through, folder by folder, to a matching file."""
    names = segments(pattern)
    steps: list[Step] = [Wild.DEEP if name == "**" else parse_name(name) for name in names]
    if holds_anywhere(pattern):
        steps.insert(0, Wild.DEEP)
    if pattern.endswith("/") or names[-1] == "**":
        steps += [ANY_NAME, Wild.DEEP]
    elif not _names_a_file(pattern):
        steps.append(Wild.DEEP)  # it may be a folder: then it stands for everything below
    return steps


def _moves(
    left: Sequence[Step], i: int, right: Sequence[Step], j: int, *, names: tuple[str, ...]
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    one = left[i] if i < len(left) else None
    other = right[j] if j < len(right) else None
    if one is Wild.DEEP:
        yield i + 1, j, names
    if other is Wild.DEEP:
        yield i, j + 1, names
    if one and other and (one, other) != (Wild.DEEP, Wild.DEEP):
        name = _common_name(_as_name(one), _as_name(other))
        if name:
            yield i + (one is not Wild.DEEP), j + (other is not Wild.DEEP), (*names, name)


def _as_name(step: Step) -> Name:
    return ANY_NAME if isinstance(step, Wild) else step


def _common_name(left: Name, right: Name) -> str | None:
    """A file name that both match; '.' and '..' are none."""
    waiting = [(0, 0, "")]
    seen: set[tuple[int, int, str]] = set()
    while waiting:
        i, j, text = waiting.pop()
        is_name = text not in ("", ".", "..")
        if is_name and (i, j) == (len(left), len(right)):
            return text
        state = (i, j, "name" if is_name else text)
        if state not in seen:
            seen.add(state)
            waiting.extend(_letters(left, i, right, j, text=text))
    return None


def _letters(left: Name, i: int, right: Name, j: int, *, text: str) -> Iterator[tuple[int, int, str]]:
    one = left[i] if i < len(left) else None
    other = right[j] if j < len(right) else None
    if one is Wild.STAR:
        yield i + 1, j, text
    if other is Wild.STAR:
        yield i, j + 1, text
    if one and other:
        char = _common_char(_as_chars(one), _as_chars(other))
        if char:
            yield i + (one is not Wild.STAR), j + (other is not Wild.STAR), text + char


def _as_chars(atom: Chars | Wild) -> Chars:
    return ANY_CHAR if isinstance(atom, Wild) else atom


def _common_char(one: Chars, other: Chars) -> str | None:
    """A character in both sets, a dot only when there is no other (it may make the name '.' or '..').

    When the sets meet at all, they meet in printable ASCII or where a range begins or has just ended.
    """
    if char := one.single or other.single:
        return char if char in one and char in other else None
    ranges = one.ranges + other.ranges
    edges = [low for low, _ in ranges] + [chr(min(ord(high) + 1, 0x10FFFF)) for _, high in ranges]
    shared = [char for char in (*edges, *_USUAL) if char in one and char in other]
    return min(shared, key=lambda char: char == ".", default=None)


_USUAL = "x" + ascii_letters + digits + punctuation + " \xa0"
_FILE = re.compile(
    r"[^/]\.[A-Za-z][A-Za-z0-9]*\Z|\A(Makefile|Dockerfile|Jenkinsfile|LICENSE|[Jj]ustfile|\.gitignore|\.gitattributes)\Z"
)
