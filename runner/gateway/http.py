"""An OpenAI-compatible endpoint reached by HTTP. The only place that knows the key."""

import json
from collections.abc import AsyncIterator

import anyio
import httpx

from runner.core.model import AttemptKey
from runner.errors import ConfigError, ModelError
from runner.gateway.chat import ChatRequest, error_body, read_error
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, StreamBrokenError

_CONNECT_S = 10.0
_PREFLIGHT_S = 15.0
_URL_HINT = "Check RUNNER_MODEL__BASE_URL (model.base_url): it usually ends in /v1."
_KEY_HINT = "Check the key in RUNNER_MODEL__API_KEY, or in the file that RUNNER_MODEL__API_KEY_FILE names."


class HttpUpstream:
    """Requests go to `base_url`/chat/completions; redirects are not followed."""

    def __init__(
        self,
        base_url: str,
        key: str = "",
        *,
        timeout_s: float = 300.0,
        max_answer_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ConfigError(
                "The model's address is not a URL.", details=str(error), hint=_URL_HINT
            ) from None
        self._name = str(url.copy_with(userinfo=b"", query=None))  # fit to be shown
        self._key = key
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._base_url = url
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._client: httpx.AsyncClient | None = None

    def preflight(self) -> None:
        """Ask for the list of models: the cheapest request that needs an address and a key."""
        try:
            with httpx.Client(base_url=self._base_url, headers=self._headers, timeout=_PREFLIGHT_S) as client:
                status = client.get("models").status_code
        except httpx.HTTPError as error:
            raise ModelError(
                f"The model's endpoint {self._name} cannot be reached.",
                details=_reason(error),
                hint=_URL_HINT,
            ) from None
        if status in (401, 403):
            raise ModelError(f"{self._name} refuses the key (HTTP {status}).", hint=_KEY_HINT)
        if status >= 500 or 300 <= status < 400:
            raise ModelError(f"{self._name} answers with HTTP {status}.", hint=_URL_HINT)

    async def complete(self, _key: AttemptKey, request: ChatRequest) -> Reply:
        client = self._connected()
        message = client.build_request("POST", "chat/completions", content=request.body)
        try:
            with anyio.fail_after(self._timeout_s):
                response = await client.send(message, stream=True)
                if request.stream and _is_event_stream(response):
                    return Stream(chunks=self._events(response), close=response.aclose)
                try:
                    return self._answer(response, await self._read(response))
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            return NoAnswer(
                reason=f"{self._name} gave no answer within {self._timeout_s:g} s", timed_out=True
            )
        except httpx.HTTPError as error:
            return NoAnswer(reason=f"{self._name} cannot be reached: {_reason(error)}")

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _connected(self) -> httpx.AsyncClient:
        # Made at the first request, because its connections belong to the loop they are made in.
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._base_url,
                headers=self._headers,
                timeout=httpx.Timeout(self._timeout_s, connect=min(_CONNECT_S, self._timeout_s)),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            )
        return self._client

    async def _read(self, response: httpx.Response) -> bytes | None:
        """The body; None when it is longer than allowed."""
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_answer_bytes:
                return None
        return bytes(body)

    def _answer(self, response: httpx.Response, body: bytes | None) -> Answer:
        status = response.status_code
        if body is None:
            return _bad_gateway(f"the answer is longer than {self._max_answer_bytes} bytes")
        if status in (401, 403):
            # The endpoint's own words may quote the key.
            return Answer(
                status=status, body=error_body(f"the model's endpoint refuses the key (HTTP {status})")
            )
        if status >= 400:
            message, code = read_error(body)
            return Answer(
                status=status,
                body=error_body(self._without_key(message) or f"HTTP {status}", "upstream_error", code),
                retry_after_s=_seconds(response.headers.get("retry-after")),
            )
        if not response.is_success or not _is_object(body):
            return _bad_gateway(f"the model's endpoint answered HTTP {status} without a completion")
        return Answer(status=200, body=body)

    async def _events(self, response: httpx.Response) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > self._max_answer_bytes:
                    raise StreamBrokenError(f"the answer is longer than {self._max_answer_bytes} bytes")
                yield chunk
        except httpx.HTTPError as error:
            raise StreamBrokenError(f"the connection was lost: {_reason(error)}") from None

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _is_event_stream(response: httpx.Response) -> bool:
    return response.is_success and response.headers.get("content-type", "").startswith("text/event-stream")


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _bad_gateway(message: str) -> Answer:
    return Answer(status=502, body=error_body(message))


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header; None when absent, or given as a date (which no model endpoint does)."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
