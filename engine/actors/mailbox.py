"""Actors of pykka whose mail is handled on the asyncio loop, without a thread each.

Rule 1: one message at a time for each actor, in the order that it came in; between
actors round-robin, one message a turn, so a flood to one does not delay another.

Rule 2: mail is None exactly while an actor is idle. Otherwise one of its messages waits in
the run-queue or is being handled, and `mail` holds those behind it.

Rule 3: one `call_soon` runs a whole batch of turns, then the sockets get a look.

Rule 4: an actor that raises is dead. What is behind in its mail becomes dead letters, and
its supervisor hears of it. Nothing else stops.

pykka's own `Actor.__init__` makes an event, a queue and a UUID for every actor; an order's
life is shorter than that. So the fields are set here, and actors are found by name in the
supervisor, not in pykka's registry, which is linear. Ported against pykka 4.4.2 to 4.x,
which holds actors weakly: here the ref holds its actor.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, ClassVar, Final

import pykka
from pykka import messages

from engine import log, metrics

_LOG = log.get("actors/mailbox")

BUDGET: Final = 64
"""Turns between two looks at the sockets. A count, so that a run can be repeated."""


class MailboxFullError(RuntimeError):
    """An actor has `capacity` messages waiting; the sender must slow down."""


class WouldBlockError(RuntimeError):
    """A reply was asked for on the loop before it was there; await it instead."""


class Reply(pykka.Future[Any]):
    """The answer to an `ask`: awaited on the loop, never waited for with a blocked thread."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def get(self, *, timeout: float | None = None) -> Any:  # noqa: ARG002 - pykka's signature
        """Return the answer if it is there. Raises `WouldBlockError` if it is not."""
        if not self._answer.done():
            msg = "the answer is not there yet; await the reply instead"
            raise WouldBlockError(msg)
        return self._answer.result()

    def set(self, value: Any | None = None) -> None:
        """Answer."""
        if not self._answer.done():
            self._answer.set_result(value)

    def set_exception(
        self,
        exc_info: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
        | None = None,
    ) -> None:
        """Answer with the exception."""
        assert exc_info is not None
        assert exc_info[1] is not None
        if not self._answer.done():
            self._answer.set_exception(exc_info[1])

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer.__await__()


class Dispatcher:
    """Runs the turns of all actors of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.on_failure: Callable[[LoopRef, BaseException], None] = lambda _ref, _error: None
        self.depths: dict[str, int] = {}
        self._thread = threading.get_ident()
        self._ready: deque[tuple[LoopRef, Any, Reply | None]] = deque()
        self._armed = False

    def post(self, ref: "LoopRef", message: Any, reply: Reply | None) -> None:
        """Queue a message; from another thread, hand it to the loop first."""
        if threading.get_ident() != self._thread:
            self.loop.call_soon_threadsafe(self.post, ref, message, reply)
            return
        if ref.mail is None:
            ref.mail = _NO_MAIL
            self._ready.append((ref, message, reply))
        else:
            if ref.mail is _NO_MAIL:
                ref.mail = deque()
            elif len(ref.mail) >= ref.actor_class.capacity:
                msg = f"{ref} has {len(ref.mail)} messages waiting, its capacity"
                raise MailboxFullError(msg)
            ref.mail.append((message, reply))
        self.depths[ref.actor_class.__name__] = self.depths.get(ref.actor_class.__name__, 0) + 1
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self._run)

    def _run(self) -> None:
        try:
            for _ in range(BUDGET):
                if not self._ready:
                    break
                self._turn(*self._ready.popleft())
        finally:
            self._armed = bool(self._ready)
            if self._armed:
                self.loop.call_soon(self._run)

    def _turn(self, ref: "LoopRef", message: Any, reply: Reply | None) -> None:
        self.depths[ref.actor_class.__name__] -= 1
        try:
            if ref.stopped:
                self._bury(ref, reply)
            else:
                self._handle(ref, message, reply)
        finally:
            if ref.mail:
                self._ready.append((ref, *ref.mail.popleft()))
            else:
                ref.mail = None

    def _handle(self, ref: "LoopRef", message: Any, reply: Reply | None) -> None:
        try:
            answer = ref.actor._handle_receive(message)  # noqa: SLF001 - pykka's dispatch
        except Exception as error:  # noqa: BLE001 - whatever it was, this actor is over
            if reply is not None:
                reply.set_exception((type(error), error, error.__traceback__))
            ref.stopped = True
            metrics.ACTOR_FAILURES.labels(ref.actor_class.__name__).inc()
            _LOG.exception("actor_failed", actor=str(ref), message=type(message).__name__)
            self.on_failure(ref, error)
        else:
            if reply is not None:
                reply.set(answer)

    def _bury(self, ref: "LoopRef", reply: Reply | None) -> None:
        metrics.DEAD_LETTERS.labels(ref.actor_class.__name__).inc()
        if reply is not None:
            dead = pykka.ActorDeadError(f"{ref} stopped before handling the message")
            reply.set_exception((type(dead), dead, None))


_NO_MAIL: Final[deque[tuple[Any, Reply | None]]] = deque(maxlen=0)
"""Stands for an empty queue behind a message that is on its way."""


class LoopRef(pykka.ActorRef["LoopActor"]):
    """The address of an actor, with its mail. It keeps the actor alive."""

    actor_class: type["LoopActor"]

    def __init__(self, actor: "LoopActor", dispatcher: Dispatcher) -> None:
        # pykka's own fields, without its event and its UUID; see the file's head.
        self.actor = actor
        self.actor_class = type(actor)
        self.mail: deque[tuple[Any, Reply | None]] | None = None
        self.stopped = False
        self.dispatcher = dispatcher

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} ({self.actor.name})"

    def is_alive(self) -> bool:
        """Return False once the actor has stopped or failed."""
        return not self.stopped

    def tell(self, message: Any) -> None:
        """Send a message. Raises `pykka.ActorDeadError` or `MailboxFullError`."""
        if self.stopped:
            msg = f"{self} is stopped"
            raise pykka.ActorDeadError(msg)
        self.dispatcher.post(self, message, None)

    def ask(self, message: Any, *, block: bool = False, timeout: float | None = None) -> Any:
        """Send a message and return the `Reply` to await. Nothing here ever blocks."""
        assert not block, "an actor's answer is awaited, never waited for"
        assert timeout is None, "use asyncio.timeout around the await"
        reply = Reply()
        if self.stopped:
            dead = pykka.ActorDeadError(f"{self} is stopped")
            reply.set_exception((type(dead), dead, None))
        else:
            self.dispatcher.post(self, message, reply)
        return reply

    def stop(self, *, block: bool = False, timeout: float | None = None) -> Any:
        """Stop the actor after the mail that is already there."""
        return self.ask(messages._ActorStop(), block=block, timeout=timeout)  # noqa: SLF001


class LoopActor(pykka.Actor):
    """An actor of the loop. Subclasses override `on_receive`, and `on_start` or `on_stop`."""

    capacity: ClassVar[int] = 10_000

    def __init__(self, *, dispatcher: Dispatcher, name: str) -> None:
        self.name = name
        self.ref = LoopRef(self, dispatcher)
        self._actor_ref = self.ref

    def begin(self) -> LoopRef:
        """Start taking mail; return the address."""
        self.on_start()
        return self.ref

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Any:
        """Build the actor and start it."""
        return cls(*args, **kwargs).begin()

    def __str__(self) -> str:
        return str(self.ref)

    @staticmethod
    def _create_actor_inbox() -> Any:  # pragma: no cover - pykka's hook; the ref is the inbox
        raise NotImplementedError

    @staticmethod
    def _create_future() -> Reply:
        return Reply()

    def _start_actor_loop(self) -> None:  # pragma: no cover - pykka's hook; nothing to start
        raise NotImplementedError

    def _stop(self) -> None:
        self.ref.stopped = True
        self.on_stop()

    def on_receive(self, message: Any) -> Any:
        """Handle one message; what is returned answers an `ask`."""
        raise NotImplementedError

    @property
    def actor_ref(self) -> Any:
        """This actor's address."""
        return self.ref
