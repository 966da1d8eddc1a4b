"""The model of the crash tests: what it answers depends on the question alone, and it counts the questions."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Files = Mapping[str, str | list[str] | None]
Answers = Mapping[str, Callable[[str], Files]]  # by workstream: what to write, given the prompt

NAME = "cheap-model"


class Model:
    """An endpoint of one target repository. `asked` holds the digest of each request, in the order they came."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.base_url = ""
        self.asked: list[str] = []

    def complete(self, body: bytes) -> dict[str, object]:
        self.asked.append(hashlib.sha256(body).hexdigest())
        prompt: str = json.loads(body)["messages"][0]["content"]
        found = re.search(r"^Workstream (\S+) of the change", prompt, re.MULTILINE)
        assert found is not None, prompt
        content = json.dumps(self._answers[found[1]](prompt))
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": NAME,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(content), "total_tokens": 0},
        }


@contextmanager
def serving(model: Model) -> Iterator[Model]:
    """While inside, `model.base_url` answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(model))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    model.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"object": "list", "data": []})

        def do_POST(self) -> None:
            self._send(model.complete(self.rfile.read(int(self.headers["Content-Length"]))))

        def _send(self, value: dict[str, object]) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # who asked was killed: what this is all about
                self.close_connection = True

    return Handler
