"""A model's endpoint of a few lines, for what a script cannot show: keys, refusals and an address."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream:
    """Answers every request for a completion with the same text; remembers the keys it was shown."""

    def __init__(
        self, *, status: int = 200, content: str = "", on_request: Callable[[], object] = lambda: None
    ) -> None:
        self.status = status
        self.content = content
        self.on_request = on_request
        self.base_url = ""
        self.keys: list[str] = []
        self.paths: list[str] = []

    def reply(self, path: str, key: str) -> tuple[int, dict[str, object]]:
        self.keys.append(key)
        self.paths.append(path)
        if self.status != HTTPStatus.OK:
            return self.status, {"error": {"message": f"no, {key}", "type": "refused"}}
        if path.endswith("/models"):
            return 200, {"object": "list", "data": [{"id": "house-model", "object": "model"}]}
        self.on_request()
        message = {"role": "assistant", "content": self.content}
        return 200, {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "house-model",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
        }


@contextmanager
def serving(upstream: Upstream) -> Iterator[Upstream]:
    """While inside, `upstream.base_url` answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(upstream))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    upstream.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield upstream
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer()

        def _answer(self) -> None:
            status, value = upstream.reply(self.path, self.headers.get("Authorization", ""))
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
