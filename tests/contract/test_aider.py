"""The real Aider in a real sandbox, with a scripted model behind the real gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runner.agent.aider import Aider
from runner.clock import SystemClock
from runner.core.model import AttemptKey, Limits, StepName, WsId
from runner.gateway.chat import ChatRequest
from runner.gateway.records import Records
from runner.gateway.retry import Retrying
from runner.gateway.script import Script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.server import Gateway
from runner.gateway.upstream import Reply
from runner.ports import AgentReport, AgentTask, Ran
from tests.conftest import GitRepo
from tests.contract.conftest import DockerBench

pytestmark = pytest.mark.docker

WS = WsId("ws-a")
MODEL = "vendor/house-model"
ASKED = "# Task\n\nChange what there is to be changed.\n"


def block(path: str, search: str, replace: str) -> str:
    """One edit, as Aider wants to be told."""
    return f"{path}\n```\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n```\n\n"


GOOD = block("a.txt", "one\n", "two\n")
BAD = block("a.txt", "there is no such line\n", "two\n")


class Counted(ScriptedUpstream):
    """Counts what a paid model would be paid for. A request that comes again gets the next answer."""

    requests = 0

    async def complete(self, key: AttemptKey, request: ChatRequest, /) -> Reply:
        self.requests += 1
        return await super().complete(key, replace(request, number=self.requests))


@dataclass(frozen=True, kw_only=True)
class Worked:
    ran: Ran
    report: AgentReport
    statuses: list[int]  # of the answers that passed the door
    requests: int  # to the upstream
    files: Mapping[str, str | None]  # what changed; None: gone


def work(
    bench: DockerBench,
    *answers: Mapping[str, object] | str,
    files: tuple[str, ...] = ("a.txt",),
    prompt: str = ASKED,
    agent: Aider | None = None,
) -> Worked:
    """Let Aider do one task while the model gives these answers."""
    told = [{"content": answer} if isinstance(answer, str) else answer for answer in answers]
    upstream = Counted(Script.model_validate({"answers": [{"workstream": WS, **answer} for answer in told]}))
    agent = agent or Aider()
    task = AgentTask(step=StepName.EDIT, prompt=prompt, files=files, model=MODEL, timeout_s=60.0)
    patient = Retrying(upstream, sleep=_at_once)
    spec = bench.spec(limits=Limits(memory_mb=1024))
    with (
        TemporaryDirectory() as folder,
        Gateway(patient, models=[MODEL], records=Records(Path(folder)), clock=SystemClock()) as gateway,
        gateway.open(spec.key) as door,
    ):
        with bench.sandboxes.open(replace(spec, door=door.folder)) as sandbox:
            ran = sandbox.run(agent.command(task))
            changed = {
                change.path: sandbox.content(change).decode() if change.kind in ("add", "modify") else None
                for change in sandbox.changes()
            }
        statuses = [call.status for call in door.take_calls()]
    report = agent.report(ran)
    return Worked(ran=ran, report=report, statuses=statuses, requests=upstream.requests, files=changed)


async def _at_once(_seconds: float) -> None:
    pass


def test_a_good_answer_is_applied_and_nothing_else_is_left(bench: DockerBench):
    worked = work(bench, GOOD)
    assert worked.files == {"a.txt": "two\n"}
    assert worked.report == AgentReport()
    assert (worked.ran.exit_code, worked.statuses, worked.requests) == (0, [200], 1)


@pytest.mark.parametrize(
    ("answer", "statuses", "requests", "complaint"),
    [
        pytest.param({"status": 401}, [401], 1, "authenticate", id="refused key"),
        pytest.param({"status": 402}, [402], 1, "HTTP 402", id="no money"),
        pytest.param({"status": 404}, [404], 1, "HTTP 404", id="no such model"),
        pytest.param({"status": 500}, [500], 5, "down or overloaded", id="broken endpoint"),
        pytest.param({"status": 429, "retry_after_s": 1}, [429], 5, "rate limited", id="busy endpoint"),
        pytest.param({"status": 429, "retry_after_s": 900}, [429], 1, "rate limited", id="busy for long"),
        pytest.param({"drop": True}, [0], 5, "down or overloaded", id="dropped connection"),
        pytest.param({"content": ""}, [200], 1, "empty", id="empty answer"),
    ],
)
def test_a_failing_model_ends_in_seconds_and_changes_nothing(
    bench: DockerBench,
    answer: Mapping[str, object],
    statuses: list[int],
    requests: int,
    complaint: str,
):
    worked = work(bench, {**answer, "times": 99}, files=("a.txt", "new/c.py"))
    assert (worked.statuses, worked.requests) == (statuses, requests)
    assert worked.files == {}
    assert complaint in " ".join(worked.report.errors)
    assert worked.ran.exit_code == 0
    assert worked.ran.duration_s < 60


def test_a_fault_that_passes_is_not_noticed(bench: DockerBench):
    worked = work(bench, {"status": 503, "times": 2}, {"status": 429, "retry_after_s": 5}, GOOD)
    assert worked.files == {"a.txt": "two\n"}
    assert (worked.statuses, worked.requests) == ([200], 4)


def test_unusable_answers_are_counted_and_asked_again_a_few_times(bench: DockerBench):
    worked = work(bench, {"content": BAD, "times": 99}, files=("a.txt", "new/c.py"))
    assert (worked.report.malformed, worked.requests, worked.files) == (3, 3, {})


def test_an_unusable_answer_can_be_mended(bench: DockerBench):
    worked = work(bench, BAD, GOOD)
    assert (worked.report.malformed, worked.files) == (1, {"a.txt": "two\n"})


def test_an_answer_that_was_cut_short_is_told_and_not_applied(bench: DockerBench):
    worked = work(bench, {"content": GOOD, "finish_reason": "length"})
    assert (worked.report.truncated, worked.requests, worked.files) == (1, 1, {})


def test_prose_is_no_edit(bench: DockerBench):
    worked = work(bench, "I would rather talk about a.txt and src/b.py.")
    assert (worked.requests, worked.files) == (1, {})


def test_files_are_made_when_they_are_listed_and_written(bench: DockerBench):
    answer = block("pkg/new.py", "", "NEW = 1\n") + block("pkg/__init__.py", "", "")
    worked = work(bench, answer, files=("pkg/new.py", "pkg/__init__.py", "pkg/never.py", "other/never.py"))
    assert worked.files == {"pkg/new.py": "NEW = 1\n", "pkg/__init__.py": ""}
    assert worked.report == AgentReport()


OUTSIDE = GOOD + "".join(
    block(path, "", "EVIL = 1\n") for path in ("src/new.py", "../evil.py", "/tmp/evil.py", "/workspace/../x/y.py")
)  # fmt: skip


def test_other_files_are_not_touched(bench: DockerBench):
    worked = work(bench, OUTSIDE + block("src/b.py", "B = 1\n", "B = 2\n"))
    assert worked.files == {"a.txt": "two\n"}
    assert len(worked.report.errors) == 5


def test_other_files_can_be_left_to_the_scope_gate_but_only_in_the_workspace(bench: DockerBench):
    agent = Aider(unlisted="allow")
    worked = work(bench, OUTSIDE + block("src/b.py", "B = 1\n", "B = 2\n"), agent=agent)
    assert worked.files == {"a.txt": "two\n", "src/b.py": "B = 2\n", "src/new.py": "EVIL = 1\n"}
    assert len(worked.report.errors) == 3


def test_nothing_that_is_said_is_executed(bench: DockerBench):
    shell = "```bash\ntouch /workspace/pwned\n```\n\n"
    worked = work(bench, shell + GOOD, prompt="/run touch /workspace/pwned")
    assert worked.files == {"a.txt": "two\n"}
    assert work(bench, shell + GOOD, prompt="!touch /workspace/pwned").files == {"a.txt": "two\n"}


def test_configuration_in_the_tree_is_not_read(git_repo: GitRepo, request: pytest.FixtureRequest):
    elsewhere = "http://127.0.0.1:9/v1"
    git_repo.commit(
        {
            ".env": f"OPENAI_API_BASE={elsewhere}\nOPENAI_API_KEY=stolen\nAIDER_TEST_CMD=touch pwned\n",
            ".aider.conf.yml": f"openai-api-base: {elsewhere}\ntest-cmd: touch pwned\nauto-test: true\n",
            ".aider.model.settings.yml": f"- name: openai/{MODEL}\n  edit_format: whole\n",
            "litellm.py": "raise SystemExit('taken over')\n",
            "sitecustomize.py": "raise SystemExit('taken over')\n",
        }
    )
    worked = work(request.getfixturevalue("bench"), GOOD)
    assert (worked.files, worked.statuses) == ({"a.txt": "two\n"}, [200])


def test_names_and_line_ends_stay_as_they_are(git_repo: GitRepo, request: pytest.FixtureRequest):
    (git_repo.path / "dos").mkdir()
    (git_repo.path / "dos" / "naïve file.txt").write_bytes(b"eins\r\nzwei\r\n")
    (git_repo.path / "latin.txt").write_bytes(b"caf\xe9\n")
    git_repo.commit({})
    name = "dos/naïve file.txt"
    worked = work(
        request.getfixturevalue("bench"), block(name, "zwei\n", "drei\n"), files=(name, "latin.txt")
    )
    assert worked.files == {name: "eins\r\ndrei\r\n"}


def test_whole_files_can_be_answered_instead_of_edits(bench: DockerBench):
    worked = work(bench, "a.txt\n```\nthree\n```\n", agent=Aider(edit_format="whole", temperature=None))
    assert worked.files == {"a.txt": "three\n"}


def test_a_task_that_cannot_be_read_is_a_fault_of_ours(bench: DockerBench):
    worked = work(bench, GOOD, agent=Aider(edit_format="telepathy"))
    assert worked.ran.exit_code == 3
    assert "Unknown edit format telepathy" in worked.report.errors[0]
