import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.pattern import fault, is_git_name, literal

FAULTS = {
    "": "is empty",
    "  ": "is empty",
    "a\x00b": "has a control character",
    "a\nb": "has a control character",
    "a\udcff": "has a control character",
    "#a": r"is a comment in gitignore syntax: write '\#' for a name that begins with '#'",
    "a ": "ends with a space, which gitignore syntax drops",
    "a\u3000": "ends with a space, which gitignore syntax drops",
    "~/a": "begins with '~', which is not expanded: write it relative to the repository's root",
    "!~a": "begins with '~', which is not expanded: write it relative to the repository's root",
    "C:/a": "names a drive: write it relative to the repository's root",
    "c:a": "names a drive: write it relative to the repository's root",
    "..": "has the folder '..', which may lead out of the repository",
    "../a": "has the folder '..', which may lead out of the repository",
    "a/../b": "has the folder '..', which may lead out of the repository",
    "a/..": "has the folder '..', which may lead out of the repository",
    "!../a": "has the folder '..', which may lead out of the repository",
    "..\\a": "has the folder '..', which may lead out of the repository",
    "/etc/passwd": "is an absolute path: write it relative to the repository's root, without the first '/'",
    "//a": "has two slashes in a row",
    "a//b": "has two slashes in a row",
    "/": "names nothing",
    "!": "names nothing",
    "!/": "names nothing",
    "./a": "has the folder '.': leave it out",
    "a/./b": "has the folder '.': leave it out",
    "a/**/": "ends with '**/': write '**' for everything below",
    "src\\a": "has a backslash: write '/' between folders (only before * ? [ ] ! # and a space it has a meaning)",
    "a\\": "has a backslash: write '/' between folders (only before * ? [ ] ! # and a space it has a meaning)",
    "[ab": "has a '[' that is not closed: write '\\[' for the character itself",
    "[]": "has a '[' that is not closed: write '\\[' for the character itself",
    "[!]": "has a '[' that is not closed: write '\\[' for the character itself",
    "a[b/c]d": "has a '[' that is not closed: write '\\[' for the character itself",
    "[b-a]": "has the range 'b-a', which runs backwards or over a '/'",
    "[.-0]": "has the range '.-0', which runs backwards or over a '/'",
    "[[:alpha:]]": "has a set '[...]' that tools read differently: list plain characters and ranges",
    "[a\\]": "has a set '[...]' that tools read differently: list plain characters and ranges",
    "[a||b]": "has a set '[...]' that tools read differently: list plain characters and ranges",
    ".git": "names git's own folder, which is never in scope",
    "a/.GIT/hooks": "names git's own folder, which is never in scope",
}


@pytest.mark.parametrize(("pattern", "reason"), FAULTS.items())
def test_a_pattern_that_cannot_be_meant_is_explained(pattern: str, reason: str) -> None:
    assert fault(pattern) == reason


@pytest.mark.parametrize(
    "pattern",
    ["a", "/a", "/a/", "a/b", "**", "*", "a/**/b", "!a", r"\#a", r"\!a", "a\\ ", "[]a]", "[!]a-]", "[a-cx]", "a b",
     "wörter/*.py", ".gitignore", ".github/", "a..b", "...", "a~", "?.py", "b/c:d"],
)  # fmt: skip
def test_what_git_and_pathspec_read_alike_is_accepted(pattern: str) -> None:
    assert fault(pattern) is None


@given(st.text())
def test_any_text_is_accepted_or_explained(pattern: str) -> None:
    assert fault(pattern) is None or fault(pattern)


@pytest.mark.parametrize(
    "name",
    [".git", ".GIT", ".Git", ".git ", ".git.", ".git. .", "git~1", "GIT~1", ".g\u200cit", ".git\u202e", "\ufeff.git",
     ".git:x", ".git::$INDEX_ALLOCATION"],
)  # fmt: skip
def test_every_spelling_that_some_file_system_takes_for_git_is_one(name: str) -> None:
    assert is_git_name(name)


@pytest.mark.parametrize("name", [".gitignore", ".github", "git", "x.git", "git~2", ".git-hooks", ""])
def test_other_names_are_not(name: str) -> None:
    assert not is_git_name(name)


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("a.py", "a.py"),
        (r"\#a", "#a"),
        (r"a\*", "a*"),
        ("[a]", "a"),
        ("*", None),
        ("a?", None),
        ("[ab]", None),
    ],
)
def test_a_segment_without_wildcards_names_one_file(segment: str, name: str | None) -> None:
    assert literal(segment) == name
