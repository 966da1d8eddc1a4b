"""Histories of a workstream, one word an attempt: `edit:T1 static!F401 fix:T2 static runtime`."""

from runner.core.model import AttemptKey, Commit, Finding, Outcome, RunId, StepName, StepResult, Tree, WsId
from runner.core.signature import signature


def history(text: str) -> list[StepResult]:
    """`step` ended ok, `step:TREE` ok with that tree, `step!A,B` found A and B, `step=outcome` otherwise."""
    results: list[StepResult] = []
    for word in text.split():
        results.append(_result(word, results))
    return results


def _result(word: str, before: list[StepResult]) -> StepResult:
    head, _, outcome = word.partition("=")
    head, _, rules = head.partition("!")
    name, _, tree = head.partition(":")
    step = StepName(name)
    number = 1 + sum(result.key.step is step for result in before)
    return StepResult(
        key=AttemptKey(RunId("R"), WsId("ws-1"), step, number),
        outcome=Outcome(outcome) if outcome else Outcome.FINDINGS if rules else Outcome.OK,
        message=f"{name} said so",
        candidate=Commit("c"),
        tree=Tree(tree or (before[-1].tree if before else "base")),
        findings=tuple(_finding(rule) for rule in rules.split(",") if rule),
    )


def _finding(rule: str) -> Finding:
    message = f"{rule} is broken"
    return Finding(
        tool="ruff",
        rule=rule,
        message=message,
        signature=signature("ruff", rule, message),
        path="a.py",
        line=3,
    )
