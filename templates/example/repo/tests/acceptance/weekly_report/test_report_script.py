import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "report.sh"


def report(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs the script itself, so that it has to be executable."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [SCRIPT, *arguments],
        cwd=cwd,
        env={"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


def test_the_week_is_reported(tmp_path):
    log = tmp_path / "my hours.txt"
    log.write_text("2024-05-13 09:00-12:30 acme: plan\n", encoding="utf-8")

    ran = report(str(log), "2024-W20", cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Week 2024-W20: 13 May to 19 May\n")


def test_the_last_week_is_the_default():
    ran = report("tests/data/may.txt")

    assert ran.stdout.startswith("Week 2024-W21: 20 May to 26 May\n")


def test_without_a_log_the_usage_is_shown():
    ran = report()

    assert ran.returncode == 2
    assert ran.stderr == "usage: report.sh LOG [WEEK]\n"
