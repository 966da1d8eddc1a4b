"""Prints the version of every tool of this image as JSON; fails when one of them does not answer.

Each image of the chain adds a file to /opt/runner/tools.d: tool name -> the command that tells its version.
"""

import json
import re
import subprocess
from pathlib import Path


def main() -> None:
    commands: dict[str, list[str]] = {}
    for file in sorted(Path("/opt/runner/tools.d").glob("*.json")):
        commands |= json.loads(file.read_text(encoding="utf-8"))
    print(json.dumps({tool: version(commands[tool]) for tool in sorted(commands)}))


def version(argv: list[str]) -> str:
    answer = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True
    )
    found = re.search(r"\d+(\.\d+)+", answer.stdout)
    if not found:
        raise SystemExit(f"{argv[0]} tells no version: {answer.stdout}")
    return found[0]


main()
