import subprocess
import unicodedata
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.pattern import PatternError, fault
from runner.core.scope import Scope
from tests.conftest import GIT_ENV, GitRepo

OUTSIDE = "is outside files_scope and files_create"
GIT = "belongs to git itself"
CONTROL = "has a control character in its name"
NOT_PLAIN = "is not a plain path inside the repository"


def judge(path: str, *scope: str, create: tuple[str, ...] = (), existed: bool = True) -> str | None:
    return Scope(scope, create).judge(path, existed_at_base=existed, kind="modify")


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "lib/src/a.py", False),
        ("a.py", "src/deep/a.py", True),
        ("/a.py", "a.py", True),
        ("/a.py", "src/a.py", False),
        ("src", "src/a/b.py", True),
        ("src/", "src/a/b.py", True),
        ("src/", "src", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/a/b.py", False),
        ("src/**/*.py", "src/b.py", True),
        ("src/**/*.py", "src/a/c/b.py", True),
        ("**/test_?.py", "x/y/test_1.py", True),
        ("[ab].py", "b.py", True),
        ("[!ab].py", "b.py", False),
        ("x[!a]y", "x/y", False),
        ("x[!]]y", "xay", True),
        ("x[!]]y", "x/y", False),
        ("x[!a]*/y", "xb/y", True),
        ("a b/ü.py", "a b/ü.py", True),
        (r"\!a", "!a", True),
        ("A.py", "a.py", False),
        ("src/*", "src/.hidden", True),
    ],
)
def test_a_pattern_allows_what_gitignore_syntax_says(pattern: str, path: str, allowed: bool) -> None:
    assert judge(path, pattern) == (None if allowed else OUTSIDE)


@pytest.mark.parametrize(
    ("patterns", "path", "allowed"),
    [
        (["src/", "!src/gen/"], "src/gen/a.py", False),
        (["src/", "!src/gen/"], "src/a.py", True),
        (["src/*.py", "!src/secret.py"], "src/secret.py", False),
        (["**/*.py", "!gen/"], "gen/a.py", False),
        (["src/", "!src/gen/", "src/gen/keep.py"], "src/gen/keep.py", True),
        (["!src/a.py", "src/"], "src/a.py", True),
    ],
)
def test_the_last_pattern_that_matches_decides(patterns: list[str], path: str, allowed: bool) -> None:
    assert judge(path, *patterns) == (None if allowed else OUTSIDE)


def test_a_path_to_be_created_may_be_written_when_it_is_new() -> None:
    assert judge("docs/new.md", "src/", create=("docs/*.md",), existed=False) is None


@pytest.mark.parametrize("kind", ["modify", "delete", "mode"])
def test_a_path_to_be_created_is_refused_when_it_existed(kind: str) -> None:
    reason = Scope(("src/",), ("docs/*.md",)).judge("docs/old.md", existed_at_base=True, kind=kind)
    assert reason == f"is in files_create only, and it existed before: it may not be changed ({kind})"


def test_files_scope_wins_over_files_create() -> None:
    assert judge("docs/old.md", "docs/", create=("docs/*.md",), existed=True) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".git", GIT),
        (".git/config", GIT),
        ("src/.git/hooks/x", GIT),
        ("src/.GIT", GIT),
        (".git /config", GIT),
        ("git~1/config", GIT),
        ("src\\.git\\config", GIT),
        (".g\u200cit/config", GIT),
        ("a\nb", CONTROL),
        ("a.py\n", CONTROL),
        ("a\x7f", CONTROL),
        ("a\udcff", CONTROL),
        ("", NOT_PLAIN),
        ("/a", NOT_PLAIN),
        ("./a", NOT_PLAIN),
        ("a/../b", NOT_PLAIN),
        ("a//b", NOT_PLAIN),
        ("a/", NOT_PLAIN),
    ],
)
def test_some_paths_are_never_allowed(path: str, reason: str) -> None:
    assert judge(path, "**", create=("**",), existed=False) == reason


def test_names_are_compared_in_one_unicode_form() -> None:
    composed, decomposed = "src/é.py", unicodedata.normalize("NFD", "src/é.py")
    assert judge(decomposed, composed) is None
    assert judge(composed, decomposed) is None


def test_a_faulty_pattern_makes_no_scope() -> None:
    with pytest.raises(PatternError, match=r"'\.\./a' has the folder '\.\.'"):
        Scope(("../a",))


PIECES = st.sampled_from(
    ["a", "b", "ab", "*", "?", "a*", "*b", "[ab]", "[!a]", "[!]]", "**", r"\*", ".a", "a.b"]
)


@st.composite
def patterns(draw: st.DrawFn, pieces: st.SearchStrategy[str] = PIECES) -> str:
    names = draw(st.lists(pieces, min_size=1, max_size=4))
    start = draw(st.sampled_from(["", "/"])) if len(names) == 1 else ""
    pattern = start + "/".join(names) + draw(st.sampled_from(["", "", "/"]))
    return pattern if fault(pattern) is None else "a"


NAMES = ["a", "b", "ab", "ba", ".a", "*"]
PATHS = ["/".join(names) for depth in (1, 2, 3) for names in product(NAMES, repeat=depth)]


@settings(deadline=None, max_examples=60)
@given(pattern=patterns())
def test_every_pattern_means_what_it_means_to_git(
    tmp_path_factory: pytest.TempPathFactory, pattern: str
) -> None:
    repo = GitRepo(tmp_path_factory.getbasetemp() / "ignoring")
    if not repo.path.exists():
        repo.path.mkdir()
        repo.git("init", "-q")
    (repo.path / ".git/info/exclude").write_text(f"{pattern}\n")
    ignored = subprocess.run(
        ["git", "-C", repo.path, "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(PATHS), env=GIT_ENV, capture_output=True, text=True,
    ).stdout.split("\0")[:-1]  # fmt: skip
    assert [path for path in PATHS if judge(path, pattern) is None] == ignored


REPO = ["README.md", "docs/README.md", "src/a.py", "src/b.py", "src/gen/c.py", "tests/conftest.py", "é.py"]


@pytest.mark.parametrize(
    ("scope", "create", "files"),
    [
        (["src/b.py", "src/a.py"], [], ["src/b.py", "src/a.py"]),
        (["src/new.py"], ["docs/new.md"], ["src/new.py", "docs/new.md"]),
        (["src/*.py"], [], ["src/a.py", "src/b.py"]),
        (["src", "!src/gen/"], [], ["src/a.py", "src/b.py"]),
        (["src/gen", "src/new"], [], ["src/new", "src/gen/c.py"]),
        (["README.md"], [], ["README.md", "docs/README.md"]),
        (["/README.md"], [], ["README.md"]),
        (["conftest.py"], [], ["tests/conftest.py"]),
        (["src/", "!src/a.py"], ["src/x.py"], ["src/x.py", "src/b.py", "src/gen/c.py"]),
        (["src/a.py", "!src/a.py"], [], []),
        ([r"\#odd.py"], [], ["#odd.py"]),
        ([unicodedata.normalize("NFD", "é.py")], [], ["é.py"]),
    ],
)
def test_the_files_for_the_agent_are_the_named_ones_then_the_matching(
    scope: list[str], create: list[str], files: list[str]
) -> None:
    assert list(Scope(tuple(scope), tuple(create)).plain_files(REPO)) == files


def test_the_list_for_the_agent_is_bounded_and_keeps_the_named_ones() -> None:
    many = [f"src/{number:04}.py" for number in range(1000)]
    files = Scope(("src/", "src/0999.py")).plain_files(many, at_most=3)
    assert files == ("src/0999.py", "src/0000.py", "src/0001.py")
