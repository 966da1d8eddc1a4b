"""A plan, and what may be wrong with it as a whole."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice

from runner.core.graph import Graph, Order, dependants, find_cycle, reachable, topological_order
from runner.core.model import Bundle, Severity, WsId
from runner.core.overlap import Overlap, overlaps
from runner.core.pattern import fault, rooted

MOST_CYCLES = 10
MOST_OVERLAPS = 100
MOST_HINTS = 20  # about unknown ids: who has more has another trouble than a slip of the pen

_MOST_COMPARED = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """All workstreams of a run, in the order of their files."""

    bundles: tuple[Bundle, ...]
    by_id: Mapping[WsId, Bundle] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {bundle.id: bundle for bundle in self.bundles})

    def __iter__(self) -> Iterator[Bundle]:
        return iter(self.bundles)

    def __len__(self) -> int:
        return len(self.bundles)

    @property
    def graph(self) -> dict[WsId, tuple[WsId, ...]]:
        """Each workstream with those it depends on."""
        return {bundle.id: bundle.depends_on for bundle in self.bundles}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a plan's files that must, or (a warning) should, be otherwise."""

    file: str
    message: str
    path: str = "$"  # where in the file, as a JSON path
    hint: str = ""
    severity: Severity = Severity.ERROR
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = self.path if self.line is None else f"line {self.line}, column {self.column}"
        mark = "" if self.severity is Severity.ERROR else f"{self.severity}: "
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}: {place}: {mark}{self.message}{hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A bundle and where it stands in its file."""

    bundle: Bundle
    path: str

    def problem(
        self, at: str, message: str, *, hint: str = "", severity: Severity = Severity.ERROR
    ) -> Problem:
        return Problem(
            file=self.bundle.source, path=self.path + at, message=message, hint=hint, severity=severity
        )


def plan_problems(placed: Sequence[Placed], graph: Graph) -> list[Problem]:
    """What is wrong between bundles that are well-formed one by one.

    `graph` also has the workstreams whose bundles are not, as far as their ids could be read: they are
    neither unknown to others nor missing between them.
    """
    firsts: dict[WsId, Placed] = {}
    for item in placed:
        firsts.setdefault(item.bundle.id, item)
    return [
        *_duplicates(placed, firsts),
        *_bad_dependencies(placed, graph),
        *_cycles(firsts, graph),
        *_bad_patterns(placed),
        *_bad_tests(placed),
        *_overlaps(firsts, graph),
    ]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint with the closest known word, or nothing. Of thousands those are looked at that begin alike."""
    if len(known) > _MOST_COMPARED:  # each takes up to 0.1 ms
        known = sorted(known)
        first = max(0, bisect_left(known, word) - _MOST_COMPARED // 2)
        known = known[first : first + _MOST_COMPARED]
    close = get_close_matches(word, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]!r}?" if close else ""


def _duplicates(placed: Sequence[Placed], firsts: Mapping[WsId, Placed]) -> Iterator[Problem]:
    for item in placed:
        first = firsts[item.bundle.id]
        if first is not item:
            where = f"{first.bundle.source} ({first.path})"
            yield item.problem(".id", f"the id '{item.bundle.id}' is already taken in {where}")


def _bad_dependencies(placed: Sequence[Placed], graph: Graph) -> Iterator[Problem]:
    known = sorted(graph)
    hints_left = MOST_HINTS
    for item in placed:
        for index, need in enumerate(item.bundle.depends_on):
            at = f".depends_on[{index}]"
            if need == item.bundle.id:
                yield item.problem(at, f"'{need}' depends on itself")
            elif need not in graph:
                hint = did_you_mean(need, known) if hints_left > 0 else ""
                hints_left -= 1
                yield item.problem(at, f"no workstream has the id '{need}'", hint=hint)


def _cycles(firsts: Mapping[WsId, Placed], graph: Graph) -> Iterator[Problem]:
    for cycle in _find_cycles(graph):
        item = next((firsts[ws] for ws in cycle if ws in firsts), None)
        if item:
            round_trip = " -> ".join(cycle)
            yield item.problem(".depends_on", f"these workstreams wait for each other: {round_trip}")


def _find_cycles(graph: Graph) -> Iterator[tuple[WsId, ...]]:
    """Cycles that have no node in common, but for self-dependencies."""
    rest = _known_edges(graph)
    for _ in range(MOST_CYCLES):
        cycle = find_cycle(rest)
        if cycle is None:
            return
        yield cycle
        gone = set(cycle)
        rest = {ws: [n for n in needs if n not in gone] for ws, needs in rest.items() if ws not in gone}


def _known_edges(graph: Graph) -> dict[WsId, list[WsId]]:
    return {ws: [need for need in needs if need in graph and need != ws] for ws, needs in graph.items()}


def _bad_patterns(placed: Sequence[Placed]) -> Iterator[Problem]:
    for item in placed:
        bundle = item.bundle
        for name, patterns in (("files_scope", bundle.files_scope), ("files_create", bundle.files_create)):
            for index, pattern in enumerate(patterns):
                if reason := fault(pattern):
                    yield item.problem(f".{name}[{index}]", f"{pattern!r} {reason}")
        if all(pattern.startswith("!") for pattern in bundle.files_scope):
            yield item.problem(".files_scope", "only takes files away: name some that may be changed")


def _bad_tests(placed: Sequence[Placed]) -> Iterator[Problem]:
    for item in placed:
        tests = item.bundle.acceptance_tests
        if not tests:
            message = "no acceptance tests: linters alone decide whether this is done"
            yield item.problem(".acceptance_tests", message, severity=Severity.WARNING)
        ids = [test.id for test in tests]
        for index, test in enumerate(tests):
            at = f".acceptance_tests[{index}]"
            if test.id in ids[:index]:
                yield item.problem(
                    at, f"the id '{test.id}' is already taken by another test of this workstream"
                )
            if reads_as_prose(test.command):
                yield item.problem(
                    at,
                    f"{test.command!r} reads as a sentence, not as a command",
                    hint="give a command that exits with 0 when it is true, and the sentence as 'description'",
                    severity=Severity.WARNING,
                )


def reads_as_prose(command: str) -> bool:
    """A modest guess: three words or more, none of them shell-like, and a capital or a telling word."""
    words = command.split()
    plain = [word.strip(".,:!?'\"").replace("'", "").replace("-", "a") for word in words]
    if len(words) < 3 or any(word.startswith("-") for word in words) or not all(w.isalnum() for w in plain):
        return False
    return words[0][0].isupper() or not _TELLING.isdisjoint(map(str.lower, plain))


_TELLING = frozenset(
    ("the", "a", "an", "is", "are", "should", "must", "when", "that", "returns", "passes", "works")
)


def _overlaps(firsts: Mapping[WsId, Placed], graph: Graph) -> Iterator[Problem]:
    """Errors, and warnings where a bare name (`docs/`) meets another scope only away from the root."""
    sure = _sure_part(graph)
    order = Order(sure)
    scopes = [(ws, _usable_patterns(firsts[ws].bundle)) for ws in sure if ws in firsts]
    meant = [(ws, [rooted(pattern) for pattern in patterns]) for ws, patterns in scopes]
    certain = list(islice(overlaps(meant, order), MOST_OVERLAPS))
    for clash in certain:
        yield _overlap_problem(firsts, clash, Severity.ERROR)
    if meant == scopes:
        return
    known = {(clash.first, clash.second) for clash in certain}
    for clash in islice(overlaps(scopes, order), MOST_OVERLAPS):
        if not known & {(clash.first, clash.second), (clash.second, clash.first)}:
            yield _overlap_problem(firsts, clash, Severity.WARNING)


def _sure_part(graph: Graph) -> Graph:
    """The workstreams whose order is certain, in that order: no cycle and no unknown id comes before them."""
    known = _known_edges(graph)
    guesses = [ws for ws, needs in graph.items() if any(need not in graph for need in needs)]
    doubtful = reachable(dependants(known), guesses)
    return {ws: known[ws] for ws in topological_order(known) if ws not in doubtful}


def _usable_patterns(bundle: Bundle) -> list[str]:
    return [pattern for pattern in bundle.files_scope + bundle.files_create if not fault(pattern)]


def _overlap_problem(firsts: Mapping[WsId, Placed], clash: Overlap, severity: Severity) -> Problem:
    one, other = firsts[clash.first], firsts[clash.second]
    pattern, at = _written(other.bundle, clash.second_pattern)
    other_pattern, _ = _written(one.bundle, clash.first_pattern)
    hint = "let one depend on the other, or narrow a scope"
    bare = [text for text in (pattern, other_pattern) if rooted(text) != text]
    if severity is Severity.WARNING and bare:
        hint = f"{bare[0]!r} holds in every folder: write '/{bare[0]}' for the one at the root"
    return other.problem(
        at,
        f"'{clash.second}' ({pattern!r}) and '{clash.first}' ({other_pattern!r}, in {one.bundle.source}) "
        f"may both change {clash.example!r}, and neither depends on the other",
        hint=hint,
        severity=severity,
    )


def _written(bundle: Bundle, pattern: str) -> tuple[str, str]:
    """A pattern as its bundle has it, and where."""
    return next(
        (text, f".{name}[{index}]")
        for name, patterns in (("files_scope", bundle.files_scope), ("files_create", bundle.files_create))
        for index, text in enumerate(patterns)
        if pattern in (text, rooted(text))
    )
