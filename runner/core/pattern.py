"""gitignore-style patterns, in the part of the syntax on which git, pathspec and this product agree.

What the three would read differently is a fault, so that a scope means what its author reads.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

# Control characters, and the stand-ins for bytes that are no Unicode: in no name that is accepted.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Chars:
    """The characters that one place of a name may hold: some ranges, or all but them; never a slash."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        listed = any(low <= char <= high for low, high in self.ranges)
        return listed != self.negated and char != "/" and not CONTROL.match(char)

    @property
    def single(self) -> str | None:
        """The character, when there is just one."""
        low, high = self.ranges[0] if len(self.ranges) == 1 and not self.negated else ("", None)
        return low if low == high else None


class Wild(Enum):
    STAR = "*"  # any run of characters inside a name
    DEEP = "**"  # any run of folders


Name = tuple[Chars | Wild, ...]
ANY_CHAR = Chars(ranges=(), negated=True)
ANY_NAME: Name = (Wild.STAR,)


class PatternError(ValueError):
    """A name of a pattern is not in the syntax; the message says why."""


def fault(pattern: str) -> str | None:
    """Why a pattern cannot be used and what to write instead; None when it can."""
    for shape, reason in _FAULTS:
        if shape.search(pattern):
            return reason
    try:
        for segment in segments(pattern):
            if is_git_name(segment):
                return "names git's own folder, which is never in scope"
            if segment != "**" and _MAGIC.search(segment):
                parse_name(segment)
    except PatternError as error:
        return str(error)
    return None


def normal(text: str) -> str:
    """The one spelling under which names are compared: composed Unicode (NFC)."""
    return unicodedata.normalize("NFC", text)


def segments(pattern: str) -> list[str]:
    """The names between the slashes, without the marks for negation, the root and folders."""
    return normal(pattern).removeprefix("!").strip("/").split("/")


def holds_anywhere(pattern: str) -> bool:
    """Whether a pattern is for every folder: it has no slash but perhaps the last character."""
    return "/" not in pattern[:-1]


def rooted(pattern: str) -> str:
    """What the author of a bare name (`docs/`, `README.md`) most likely has in mind: the one at the root."""
    is_bare = holds_anywhere(pattern) and not pattern.startswith("!") and literal(segments(pattern)[0])
    return f"/{pattern}" if is_bare else pattern


def literal(segment: str) -> str | None:
    """The one name that a segment matches; None when it holds a wildcard."""
    if not _MAGIC.search(segment):
        return segment
    chars = [None if isinstance(atom, Wild) else atom.single for atom in parse_name(segment)]
    return None if None in chars else "".join(filter(None, chars))


def is_git_name(name: str) -> bool:
    """Whether some file system takes a name for `.git`: in other case, with ignorable or trailing characters."""
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    stem = visible.casefold().split(":")[0].rstrip(". ")
    return stem in (".git", "git~1")


def parse_name(segment: str) -> Name:
    """One name of a pattern, place by place. Raises PatternError."""
    return tuple(_atoms(segment))


def _atoms(segment: str) -> Iterator[Chars | Wild]:
    at = 0
    while at < len(segment):
        found = _ATOM.match(segment, at)
        if not found:
            raise PatternError(_UNREADABLE[segment[at]])
        at = found.end()
        if found["star"]:
            yield Wild.STAR
        elif found["any"]:
            yield ANY_CHAR
        elif char := found["char"] or found["escaped"]:
            yield Chars(((char, char),))
        else:
            yield Chars(_ranges(found["set"]), negated=bool(found["not"]))


def _ranges(text: str) -> tuple[tuple[str, str], ...]:
    if _CONFUSING.search(text):
        raise PatternError("has a set '[...]' that tools read differently: list plain characters and ranges")
    ranges = tuple((low or one, high or one) for low, high, one in _RANGE.findall(text))
    for low, high in ranges:
        if low > high or low <= "/" <= high:
            raise PatternError(f"has the range '{low}-{high}', which runs backwards or over a '/'")
    return ranges


_MAGIC = re.compile(r"[*?\[\\]")
_ATOM = re.compile(
    r"\\(?P<escaped>[*?\[\]!# ])|(?P<star>\*+)|(?P<any>\?)"
    r"|\[(?P<not>[!^]?+)(?P<set>\][^\]]*|[^\]]+)\]|(?P<char>[^\\\[])"
)
_UNREADABLE = {
    "\\": "has a backslash: write '/' between folders (only before * ? [ ] ! # and a space it has a meaning)",
    "[": r"has a '[' that is not closed: write '\[' for the character itself",
}
_RANGE = re.compile(r"(.)-(.)|(.)")
_CONFUSING = re.compile(r"[\\\[]|--|&&|~~|\|\|")

_FAULTS = tuple(
    (re.compile(shape), reason)
    for shape, reason in (
        (r"\A\s*\Z", "is empty"),
        (CONTROL.pattern, "has a control character"),
        (r"\A#", r"is a comment in gitignore syntax: write '\#' for a name that begins with '#'"),
        (r"(?<!\\)\s\Z", "ends with a space, which gitignore syntax drops"),
        (r"\A!?~", "begins with '~', which is not expanded: write it relative to the repository's root"),
        (r"\A!?[A-Za-z]:", "names a drive: write it relative to the repository's root"),
        (r"(\A!?|/|\\)\.\.(/|\\|\Z)", "has the folder '..', which may lead out of the repository"),
        (r"\A!?/[^/]+/.", "is an absolute path: write it relative to the repository's root, without the first '/'"),
        (r"//", "has two slashes in a row"),
        (r"\A!?/?\Z", "names nothing"),
        (r"(\A!?|/)\.(/|\Z)", "has the folder '.': leave it out"),
        (r"(\A!?|/)\*\*/\Z", "ends with '**/': write '**' for everything below"),
    )
)  # fmt: skip
