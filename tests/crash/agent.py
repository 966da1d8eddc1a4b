"""A cheap agent for crash tests. It runs inside a sandbox, where there is no more than Python's own library.

It asks the model once, with its whole prompt, and does what the answer says: a JSON object of paths, each with
its text, with null (delete it), or with a list that holds where a link shall point.
"""

import http.client
import json
import sys
from pathlib import Path

DOOR = ("127.0.0.1", 8088)


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer = ask(task["model"], task["prompt"])
    for name, value in json.loads(answer).items():
        write(Path(name), value)
    result = {"errors": [], "refused": [], "malformed": 0, "truncated": 0}
    sys.stdout.write("\nrunner-result: " + json.dumps(result) + "\n")


def ask(model: str, prompt: str) -> str:
    connection = http.client.HTTPConnection(*DOOR)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]})
    connection.request("POST", "/v1/chat/completions", body)
    reply = connection.getresponse()
    text = reply.read()
    if reply.status != 200:
        sys.exit("the model's door says " + str(reply.status))
    answer: str = json.loads(text)["choices"][0]["message"]["content"]
    return answer


def write(path: Path, value: "str | list[str] | None") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if isinstance(value, str):
        path.write_text(value)
    elif value is not None:
        path.symlink_to(value[0])


if __name__ == "__main__":
    main()
