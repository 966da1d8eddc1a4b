"""What makes two reports of a fault the same fault."""

import hashlib
import re

_LIMIT = 200
_DIGEST_LENGTH = 12
_IN_NAME = r"[^/\s'\"`:;,()\[\]{}<>|]"
_IN_PATH = rf"(?:/|{_IN_NAME})"
_PATH_STARTS = r"(?<![\w.>~/-])"
_HEX = "[0-9a-fA-F]"

# Paths come first: their parts would be folded as numbers or ids otherwise. Only what stands alone is
# folded: the digits of `sha256`, `v1.2` and `0001_users.py` are part of a name.
_FOLDS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"{_PATH_STARTS}/workspace/+", ""),
        (
            rf"{_PATH_STARTS}/(?:var/tmp|tmp|dev/shm|run)(?:/+{_IN_PATH}*?)??"
            rf"(?P<file>/(?!tmp)[A-Za-z][\w-]*\.[A-Za-z]\w*)?(?!{_IN_PATH})",
            r"<tmp>\g<file>",
        ),
        (rf"{_PATH_STARTS}/{_IN_PATH}*/(?:site|dist)-packages/+", ""),
        (rf"{_PATH_STARTS}/{_IN_PATH}*/lib/python\d[\d.]*/+", ""),
        (rf"{_PATH_STARTS}/(?:root|home/+{_IN_NAME}+)/+", "~/"),
        (r"(?<!\w)tmp(?=[a-z0-9_]*\d)[a-z0-9_]{8}(?!\w)", "<tmp>"),
        (
            r"(?<!\w)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\w)",
            "<time>",
        ),
        (r"(?<![\w:])\d\d?:\d\d:\d\d(?:[.,]\d+)?(?![\w:])", "<time>"),
        (
            r"(?<![\w.])\d+(?:[.,]\d+)? ?(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?|h|hours?)(?!\w)",
            "<time>",
        ),
        (rf"(?<!\w){_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}(?!\w)", "<n>"),  # UUID
        (r"(?<!\w)[0-7][0-9A-HJKMNP-TV-Z]{25}(?!\w)", "<n>"),  # ULID
        (rf"(?<!\w)0[xX]{_HEX}+(?!\w)", "<n>"),
        (rf"(?<!\w)(?={_HEX}*\d)(?={_HEX}*[a-fA-F]){_HEX}{{7,64}}(?!\w)", "<n>"),  # a hash
        (r"(?<![\w.)\]])[-+]?\d[\d_]*(?:[.,]\d+)*(?:[eE][-+]?\d+)?(?!\w)", "<n>"),
    )
)


def signature(tool: str, error_type: str, message: str) -> str:
    """`{tool}::{error_type}::{normalized message}`: the same for the same fault on another line or run."""
    return f"{tool}::{_bounded(_one_line(error_type))}::{normalize(message)}"


def normalize(message: str) -> str:
    """The message without what differs from run to run: paths, numbers, ids, times, temporary names."""
    text = _one_line(message)
    for pattern, replacement in _FOLDS:
        text = pattern.sub(replacement, text)
    return _bounded(_one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _bounded(text: str) -> str:
    """Cut between words; a digest of the whole keeps two long messages apart."""
    if len(text) <= _LIMIT:
        return text
    head, _, _ = text[: _LIMIT - _DIGEST_LENGTH - 1].rpartition(" ")
    return f"{head} ~{_digest(text)}".lstrip()


def _digest(text: str) -> str:
    """Letters only, so that folding the result again leaves it as it is."""
    hexadecimal = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_DIGEST_LENGTH]
    return hexadecimal.translate(str.maketrans("0123456789abcdef", "ghijklmnopqrstuv"))
