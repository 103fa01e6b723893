"""Actors of pykka whose mail is handled on the asyncio loop, without a thread each.

Rule 1: one message at a time for each actor, in the order that it came in; between
actors round-robin, one message a turn, so a flood to one does not delay another.

Rule 2: mail is None exactly while an actor is idle. Otherwise one of its messages waits in
the run-queue or is being handled, and `mail` holds those behind it. Of a paused actor none
is in the run-queue: all its mail waits.

Rule 3: one `call_soon` runs a whole batch of turns, then the sockets get a look.

Rule 4: an actor that raises is dead. The message is a dead letter; what is behind it in the
mail becomes dead letters, too, unless the supervisor pauses the address and puts another
instance there. Nothing else stops.

pykka's own `Actor.__init__` makes an event, a queue and a UUID for every actor; an order's
life is shorter than that. So the fields are set here, and actors are found by name in the
supervisor, not in pykka's registry, which is linear. Ported against pykka 4.4.2 to 4.x,
which holds actors weakly: here the ref holds its actor.
"""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any, ClassVar, Final, TypeAlias

import pykka
from pykka import messages

from engine import log, metrics
from engine.actors.afterwards import Afterwards
from engine.actors.reply import Reply
from engine.actors.tally import ActorStatistics, Tallies, Tally

_LOG = log.get("actors/mailbox")

BUDGET: Final = 64
"""Turns between two looks at the sockets. A count, so that a run can be repeated."""

_STOP: Final = messages._ActorStop  # noqa: SLF001 - what pykka tells an actor to stop it
_PYKKAS_OWN: Final = frozenset(
    {_STOP, messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr}
)

Letter: TypeAlias = tuple[Any, Reply | None]


class MailboxFullError(RuntimeError):
    """An actor has `capacity` messages waiting; the sender must slow down."""


class ActorPausedError(pykka.ActorDeadError):
    """The actor failed and is being rebuilt; whoever asked may ask again later."""


class Dispatcher:
    """Runs the turns of all actors of one loop.

    With `chance`, the next turn is drawn from the actors that have mail, and so is how
    many turns a batch has: another seed is another interleaving that could have been.
    `on_turn` is told each message before it is handled. Without them neither costs anything.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        chance: random.Random | None = None,
        on_turn: "Callable[[LoopRef, object], None] | None" = None,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.on_failure: Callable[[LoopRef, object, Exception], None] = _nothing
        self.on_full: Callable[[LoopRef, object], None] = _nothing
        self._chance = chance
        self._on_turn = on_turn
        self._batch = self._run if chance is None and on_turn is None else self._run_watched
        self._thread = threading.get_ident()
        self._ready: deque[tuple[LoopRef, Any, Reply | None]] = deque()
        self._armed = False
        self.afterwards = Afterwards(self.loop)
        self.tallies = Tallies()

    # --- the mail --------------------------------------------------------------------------

    def post(
        self, ref: "LoopRef", message: Any, reply: Reply | None, *, pressing: bool = False
    ) -> None:
        """Queue a message; from another thread, hand it to the loop first.

        Raises `MailboxFullError`, unless the message is `pressing`.
        """
        if threading.get_ident() != self._thread:
            self.loop.call_soon_threadsafe(self._absorb, ref, message, reply)
            return
        mail = ref.mail
        if mail is None:
            ref.mail = _NO_MAIL
            self._ready.append((ref, message, reply))
        else:
            if mail is _NO_MAIL:
                mail = ref.mail = deque()
            elif len(mail) >= ref.actor.capacity and not pressing:
                msg = f"{ref} has {len(mail)} messages waiting, its capacity"
                raise MailboxFullError(msg)
            mail.append((message, reply))
        ref.tally.waiting += 1
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self._batch)

    def _absorb(self, ref: "LoopRef", message: Any, reply: Reply | None) -> None:
        try:
            self.post(ref, message, reply)
        except MailboxFullError:
            self.refuse(ref, message)

    def refuse(self, ref: "LoopRef", message: object) -> None:
        """Drop a message because its mailbox is full, and say so to who can repair it."""
        self.dead_letter(ref, message, "full")
        self.on_full(ref, message)

    @property
    def busy(self) -> bool:
        """True while an actor has a turn ahead."""
        return bool(self._ready)

    def waiting(self, ref: "LoopRef") -> tuple[Any, ...]:
        """Return the messages that an actor has not handled yet, oldest first. It is slow."""
        first = [message for other, message, _ in self._ready if other is ref]
        return (*first, *(message for message, _ in ref.mail or ()))

    def is_waiting(self, *kinds: type) -> bool:
        """Return whether any actor with a turn ahead has a message of these kinds. It is slow."""
        return any(
            isinstance(message, kinds) or any(isinstance(one, kinds) for one, _ in ref.mail or ())
            for ref, message, _ in self._ready
        )

    def dead_letter(self, ref: "LoopRef", message: object, reason: str) -> None:
        """Count and log a message that nobody will handle."""
        name = ref.actor_class.__name__
        metrics.DEAD_LETTERS.labels(name, reason).inc()
        kind = type(message).__name__
        _LOG.warning("dead_letter", actor=str(ref), message=kind, reason=reason)

    # --- turns -----------------------------------------------------------------------------

    def _run(self) -> None:
        ready, turn, now = self._ready, self._turn, perf_counter_ns
        before_ns = now()
        try:
            for _ in range(BUDGET):
                if not ready:
                    break
                tally = turn(*ready.popleft())
                after_ns = now()
                spent_ns = after_ns - before_ns
                before_ns = after_ns
                tally.handling_ns += spent_ns
                if spent_ns > tally.slowest_ns:  # noqa: PLR1730 - a call costs more than this
                    tally.slowest_ns = spent_ns
        finally:
            self._armed = bool(ready)
            if self._armed:
                self.loop.call_soon(self._batch)

    def _run_watched(self) -> None:
        chance, on_turn = self._chance, self._on_turn
        turns = BUDGET if chance is None else chance.randint(1, BUDGET)
        try:
            for _ in range(turns):
                if not self._ready:
                    break
                if chance is not None:
                    # One message of each actor is in the queue: any of them may be next.
                    self._ready.rotate(-chance.randrange(len(self._ready)))
                ref, message, reply = self._ready.popleft()
                if on_turn is not None and not ref.stopped:
                    on_turn(ref, message)
                self._turn(ref, message, reply)
        finally:
            self._armed = bool(self._ready)
            if self._armed:
                self.loop.call_soon(self._batch)

    def _turn(self, ref: "LoopRef", message: Any, reply: Reply | None) -> Tally:
        tally = ref.tally
        tally.waiting -= 1
        tally.handled += 1
        if reply is not None or ref.stopped or type(message) in _PYKKAS_OWN:
            self._special(ref, message, reply)
        else:
            try:
                ref.actor.on_receive(message)
            except Exception as error:  # noqa: BLE001 - whatever it was, this actor is over
                self._failed(ref, message, error)
        if not ref.paused:
            if ref.mail:
                self._ready.append((ref, *ref.mail.popleft()))
            else:
                ref.mail = None
        return tally

    def _special(self, ref: "LoopRef", message: Any, reply: Reply | None) -> None:
        """Take the turns that are rare: stops, asks, and those of an actor that is gone."""
        if ref.stopped:
            self._bury(ref, message, reply, "stopped")
            return
        if reply is not None and reply.forsaken and type(message) is not _STOP:
            # Who asked was told that nothing came of it; so nothing must.
            self.dead_letter(ref, message, "unasked")
            return
        try:
            answer = ref.actor._handle_receive(message)  # noqa: SLF001 - pykka's dispatch
        except Exception as error:  # noqa: BLE001 - as in a plain turn
            if reply is not None:
                reply.set_exception((type(error), error, error.__traceback__))
            self._failed(ref, message, error)
        else:
            if reply is not None:
                reply.set(answer)

    # --- what goes wrong -------------------------------------------------------------------

    def guarded(self, actor: "LoopActor", work: Callable[..., None], *arguments: Any) -> None:
        """Do an actor's work outside of its turn; if that raises, the actor failed."""
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001 - as in a turn
            if actor.ref.actor is actor:
                self._failed(actor.ref, None, error)
            else:  # It was replaced meanwhile: its successor has done nothing wrong.
                _LOG.error("predecessor_failed", actor=str(actor), exc_info=error)

    def _failed(self, ref: "LoopRef", message: object, error: Exception) -> None:
        kind = type(message).__name__
        _LOG.error("actor_failed", actor=str(ref), message=kind, exc_info=error)
        if ref.stopped or ref.paused:
            return  # Its supervisor knows.
        ref.stopped = True
        metrics.ACTOR_FAILURES.labels(ref.actor_class.__name__).inc()
        if message is not None:
            self.dead_letter(ref, message, "failed")
        try:
            self.on_failure(ref, message, error)
        except Exception as worse:  # noqa: BLE001 - a supervisor's failure is no actor's
            what = f"what should be done about the failure of {ref} failed itself"
            self.loop.call_exception_handler({"message": what, "exception": worse})

    def pause(self, ref: "LoopRef") -> None:
        """Let an address keep its mail although its actor is gone; who asked hears of it."""
        ref.paused, ref.stopped = True, False
        kept = self._take_mail(ref)
        ref.mail = deque()
        for message, reply in kept:
            if reply is None or type(message) is _STOP:
                ref.tally.waiting += 1
                ref.mail.append((message, reply))
            else:
                error = ActorPausedError(f"{ref} failed before it handled the message")
                self._answer_dead(ref, message, reply, error, "failed")

    def replace(
        self,
        ref: "LoopRef",
        actor: "LoopActor",
        *first: object,
        outlived: Callable[[Any], bool],
    ) -> None:
        """Put another instance where the failed one was.

        It handles `first`, then the mail that waits. A message that has `outlived` its
        meaning with the old one is a dead letter.
        """
        assert ref.paused, f"{ref} is not paused"
        ref.actor = actor
        actor.ref = ref
        ref.paused = False
        mail, ref.mail = self._take_mail(ref), None
        for one in first:
            self.post(ref, one, None, pressing=True)
        for message, reply in mail:
            if outlived(message):
                self.dead_letter(ref, message, "restarted")
            else:
                self.post(ref, message, reply, pressing=True)

    def end(self, ref: "LoopRef") -> None:
        """Stop an address now, without a turn; its mail is dead letters."""
        ref.paused, ref.stopped = False, True
        mail, ref.mail = self._take_mail(ref), None
        for message, reply in mail:
            self._bury(ref, message, reply, "stopped")

    def _take_mail(self, ref: "LoopRef") -> list[Letter]:
        """Take all that waits for an actor, also out of the run-queue."""
        taken: list[Letter] = [(what, who) for other, what, who in self._ready if other is ref]
        if taken:
            others = [one for one in self._ready if one[0] is not ref]
            self._ready.clear()
            self._ready.extend(others)
        taken.extend(ref.mail or ())
        ref.tally.waiting -= len(taken)
        return taken

    def _bury(self, ref: "LoopRef", message: Any, reply: Reply | None, reason: str) -> None:
        if reply is None:
            self.dead_letter(ref, message, reason)
        else:
            error = pykka.ActorDeadError(f"{ref} stopped before handling the message")
            self._answer_dead(ref, message, reply, error, reason)

    def _answer_dead(
        self, ref: "LoopRef", message: object, reply: Reply, error: Exception, reason: str
    ) -> None:
        self.dead_letter(ref, message, reason)
        reply.set_exception((type(error), error, None))

    # --- the end -----------------------------------------------------------------------------

    async def stop(self, refs: Iterable["LoopRef"], *, timeout_s: float) -> None:
        """Stop these actors after the mail that they have; what comes later is dead letters.

        One that is paused, or still busy when the time is over, is ended as it is.
        """
        stopping = tuple(ref for ref in refs if not ref.stopped)
        for ref in stopping:
            self.post(ref, _STOP(), None, pressing=True)
        deadline = self.loop.time() + timeout_s
        while self._ready and self.loop.time() < deadline:  # noqa: ASYNC110 - no turn tells
            await asyncio.sleep(0)
        for ref in stopping:
            if not ref.stopped:
                ref.actor.abandon()
                self.end(ref)

    # --- statistics --------------------------------------------------------------------------

    @property
    def depths(self) -> dict[str, int]:
        """How many messages wait, by class of actor."""
        return self.tallies.depths()

    def statistics(self) -> dict[str, ActorStatistics]:
        """Return the counts by class of actor, and begin a new look for the slowest turn."""
        return self.tallies.read()

    def measure(self) -> None:
        """Copy the counts to the metrics. Called once a second, so that a turn stays cheap."""
        self.tallies.show()


def _nothing(*_arguments: object) -> None:
    """Stand in for a supervisor."""


_NO_MAIL: Final[deque[Letter]] = deque(maxlen=0)
"""Stands for an empty queue behind a message that is on its way."""


class LoopRef(pykka.ActorRef["LoopActor"]):
    """The address of an actor, with its mail. It keeps the actor alive, and outlives it.

    `paused` while a failed actor is being rebuilt: it can be told, not asked.
    """

    __slots__ = ("actor", "dispatcher", "mail", "paused", "stopped", "tally")

    def __init__(self, actor: "LoopActor", dispatcher: Dispatcher) -> None:
        # pykka's own fields, without its event and its UUID; see the file's head.
        self.actor = actor
        self.dispatcher = dispatcher
        self.mail: deque[Letter] | None = None
        self.paused = False
        self.stopped = False
        self.tally = dispatcher.tallies.of(type(actor))

    @property
    def actor_class(self) -> type["LoopActor"]:  # type: ignore[override] # one field less to keep
        """The class of the actor."""
        return type(self.actor)

    def __str__(self) -> str:
        return f"{type(self.actor).__name__} ({self.actor.name})"

    def is_alive(self) -> bool:
        """Return False once the actor has stopped, or failed and is not coming back."""
        return not self.stopped

    def tell(self, message: Any) -> None:
        """Send a message. Raises `pykka.ActorDeadError` or `MailboxFullError`."""
        if self.stopped:
            msg = f"{self} is stopped"
            raise pykka.ActorDeadError(msg)
        self.dispatcher.post(self, message, None)

    def ask(self, message: Any, *, block: bool = False, timeout: float | None = None) -> Any:
        """Send a message and return the `Reply` to await. Nothing here ever blocks.

        Raises `MailboxFullError`. The reply is an error when the actor is gone or paused.
        """
        assert not block, "an actor's answer is awaited, never waited for"
        assert timeout is None, "use asyncio.timeout around the await"
        reply = Reply()
        if self.stopped:
            dead = pykka.ActorDeadError(f"{self} is stopped")
            reply.set_exception((type(dead), dead, None))
        elif self.paused and type(message) is not _STOP:
            paused = ActorPausedError(f"{self} failed and is being rebuilt")
            reply.set_exception((type(paused), paused, None))
        else:
            self.dispatcher.post(self, message, reply)
        return reply

    def stop(self, *, block: bool = False, timeout: float | None = None) -> Any:
        """Stop the actor after the mail that is already there."""
        return self.ask(_STOP(), block=block, timeout=timeout)


class LoopActor(pykka.Actor):
    """An actor of the loop. Subclasses override `on_receive`, and `on_start` or `on_stop`."""

    __slots__ = ("name", "ref")

    capacity: ClassVar[int] = 10_000

    def __init__(self, *, dispatcher: Dispatcher, name: str) -> None:
        self.name = name
        self.ref = LoopRef(self, dispatcher)

    def begin(self) -> LoopRef:
        """Start taking mail; return the address."""
        self.on_start()
        return self.ref

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Any:
        """Build the actor and start it."""
        return cls(*args, **kwargs).begin()

    def abandon(self) -> None:
        """Let go of what would outlive the actor; it failed, so nothing else is asked of it."""

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
