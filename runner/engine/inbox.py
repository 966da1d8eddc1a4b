"""What reaches the deciding thread from others, one message at a time."""

from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from runner.core.events import Event
from runner.core.model import StepResult, WsId


@dataclass(frozen=True, slots=True)
class Stop:
    """The run is to stop: at first once the steps at work have ended, when asked again at once."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A job's future has completed."""

    ws_id: WsId
    future: Future[StepResult | None]


Message = Event | Finished | Stop


class Inbox:
    """Filled by any thread, also by signal handlers; emptied by one."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()

    def put(self, message: Message) -> None:
        self._messages.put(message)

    def next(self, *, within_s: float | None) -> Message:
        """The next message; once the time is over, one that says to stop (None: it never is)."""
        if within_s == 0:  # however many messages wait
            return Stop()
        try:
            return self._messages.get(timeout=within_s)
        except Empty:
            return Stop()
