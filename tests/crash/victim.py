"""An engine that kills itself at one point: `python -m tests.crash.victim POINT run --config F`.

Nothing of the engine knows of it: the points are put around its own functions here. A
point is one of

    commit:<RECORD>:<before|during|after>:<n>   around the journal's n-th such record
    wire:<STEP>:<first|half|last|answered>:<n>  while the n-th such request is written
    recovery:<n>                                at the n-th request a session makes for itself
    snapshot:<before|after>                     around a snapshot of the journal
    stop                                        while the engine is stopping

and, to see that such a thing is found out,

    lie:<RECORD>                                a record is called durable and is not written
"""

import asyncio
import os
import random
import re
import signal
import sys
import threading
import time
from asyncio import sslproto
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NoReturn

from engine.actors.watched_journal import WatchedJournal
from engine.app import App
from engine.cli import main
from engine.domain.messages import Step
from engine.domain.order import machine
from engine.domain.ports import Committed
from engine.gateway.order import HttpOrderGateway
from engine.gateway.session import HttpSessionGateway
from engine.journal import rebuild, sqlite
from engine.journal.codec import record_type
from engine.journal.rebuild import Snapshots

_ORDER: Final = re.compile(
    rb"(POST|DELETE) /v1/api/iserver/(account/[^/]+/order|reply/|notification)"
)
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_DURING_S_MAX: Final = 0.003
_LIE_S: Final = 1.0
_SNAPSHOT_RECORDS: Final = 12


def die() -> NoReturn:
    """End as a power failure of this process would: at once, and with nothing tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # The signal is on its way.
    raise AssertionError


class Countdown:
    """True at the n-th time that it is asked."""

    def __init__(self, number: str) -> None:
        self._left = int(number)

    def strikes(self) -> bool:
        """Count; say whether this was it."""
        self._left -= 1
        return self._left == 0


def around_commit(record: str, when: str, number: str) -> None:
    """Die around a record: before it is written, at some moment of it, or once it is durable."""
    plain, countdown = WatchedJournal.append, Countdown(number)
    if when == "during":
        _checkpoint_always()

    def append(self: Any, entry: Any, done: Callable[[Any], None]) -> None:
        if record_type(entry.message) != record or not countdown.strikes():
            plain(self, entry, done)
            return
        if when == "before":
            die()
        if when == "during":
            threading.Timer(random.uniform(0, _DURING_S_MAX), die).start()
            plain(self, entry, done)
            return
        plain(self, entry, lambda _result: die())

    WatchedJournal.append = append  # type: ignore[method-assign] # that is what this file does


def _checkpoint_always() -> None:
    """Fold SQLite's log into its file at every commit, so that a death may also fall into that."""
    plain = sqlite.prepare_file  # type: ignore[attr-defined] # it is sqlite_file's

    def prepare_file(connection: Any, path: Any) -> None:
        plain(connection, path)
        connection.execute("PRAGMA wal_autocheckpoint = 1")

    sqlite.prepare_file = prepare_file  # type: ignore[attr-defined] # as above


def around_answer(step: str, number: str) -> None:
    """Die when a request has its answer, before anybody was told."""
    plain, countdown = HttpOrderGateway._answer, Countdown(number)

    def answer(self: Any, asking: Any, work: Any) -> None:
        if asking.step is not Step(step.lower()) or not countdown.strikes():
            plain(self, asking, work)
            return
        plain(self, replace(asking, tell=lambda _answered: die()), work)

    HttpOrderGateway._answer = answer  # type: ignore[method-assign]


class PartWriter:
    """Lets a part of a request's bytes out, before they are encrypted, and then dies."""

    def __init__(self, step: str, how_far: str, number: str) -> None:
        self._step, self._how_far, self._countdown = step, how_far, Countdown(number)
        self._writing: Any = None
        self._left = 0
        self._plain = sslproto._SSLProtocolTransport.write

    def write(self, transport: Any, data: bytes) -> None:
        """Write as the transport does, until it is enough."""
        data = bytes(data)
        if self._writing is None and self._is_wanted(data) and self._countdown.strikes():
            self._writing, self._left = transport, self._bytes_of(data)
        if transport is not self._writing:
            self._plain(transport, data)
            return
        self._plain(transport, data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            die()

    def _is_wanted(self, data: bytes) -> bool:
        match = _ORDER.match(data)
        if match is None:
            return False
        if match[1] == b"DELETE":
            return self._step == "CANCEL"
        if not match[2].startswith(b"account"):
            return self._step == "REPLY"
        return self._step == ("PLACE" if b"/orders " in data.split(b"\r\n", 1)[0] else "MODIFY")

    def _bytes_of(self, data: bytes) -> int:
        head = data.index(b"\r\n\r\n") + 4
        length = _LENGTH.search(data[:head])
        whole = head + (int(length[1]) if length else 0)
        return {"first": 1, "half": whole // 2, "last": whole}[self._how_far]


def around_write(step: str, how_far: str, number: str) -> None:
    """Die with a request partly or wholly on its way."""
    writer = PartWriter(step, how_far, number)

    def write(self: Any, data: Any) -> None:
        writer.write(self, data)

    sslproto._SSLProtocolTransport.write = write  # type: ignore[method-assign]


def lie_about(record: str) -> None:
    """Say that the first such record is durable, write nothing any more, and die soon after."""
    plain, lying = WatchedJournal.append, [False]

    def append(self: Any, entry: Any, done: Callable[[Any], None]) -> None:
        if not lying[0] and record_type(entry.message) != record:
            plain(self, entry, done)
            return
        if not lying[0]:
            lying[0] = True
            threading.Timer(_LIE_S, die).start()
        asyncio.get_running_loop().call_soon(done, Committed(seq=self.last_seq + 1))

    WatchedJournal.append = append  # type: ignore[method-assign] # as above


def in_recovery(number: str) -> None:
    """Die when a session asks for something for itself."""
    plain, countdown = HttpSessionGateway.call, Countdown(number)

    def call(self: Any, effect: Any, tell: Any) -> None:
        if countdown.strikes():
            die()
        plain(self, effect, tell)

    HttpSessionGateway.call = call  # type: ignore[method-assign] # as above


def around_snapshot(when: str) -> None:
    """Die before a snapshot is kept, or right after; one is made of every few records."""
    plain = WatchedJournal.save_snapshot
    rebuild.LOOK_S = 0.1  # type: ignore[misc] # as above
    plain_init = Snapshots.__init__

    def init(self: Any, journal: Any, *, records: int, **others: Any) -> None:
        plain_init(self, journal, records=min(records, _SNAPSHOT_RECORDS), **others)

    Snapshots.__init__ = init  # type: ignore[method-assign] # as above

    async def save_snapshot(self: Any, snapshot: Any) -> None:
        if when == "before":
            die()
        await plain(self, snapshot)
        die()

    WatchedJournal.save_snapshot = save_snapshot  # type: ignore[method-assign] # as above


def while_stopping() -> None:
    """Die some time after the stop has begun."""
    plain = App.stop

    async def stop(self: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(random.uniform(0, 0.2), die)
        await plain(self)

    App.stop = stop  # type: ignore[method-assign] # as above


def arm(point: str) -> None:
    """Put the point into the engine. Raises `ValueError` for one that does not exist."""
    match point.split(":"):
        case ["commit", record, ("before" | "during" | "after") as when, number]:
            around_commit(record, when, number)
        case ["wire", step, "answered", number]:
            around_answer(step, number)
        case ["wire", step, ("first" | "half" | "last") as how_far, number]:
            around_write(step, how_far, number)
        case ["recovery", number]:
            in_recovery(number)
        case ["snapshot", ("before" | "after") as when]:
            around_snapshot(when)
        case ["lie", record]:
            lie_about(record)
        case ["stop"]:
            while_stopping()
        case ["none"]:
            pass
        case _:
            message = f"{point!r} is no point to die at"
            raise ValueError(message)


def lose_no_time() -> None:
    """Wait less: this gateway does not count how often it is asked, and its rows are not old."""
    machine.OLD_TERMS_MS = 2_000  # type: ignore[misc] # as above
    HttpSessionGateway.defer_reads = lambda self: None  # type: ignore[method-assign] # noqa: ARG005 - as above


if __name__ == "__main__":
    lose_no_time()
    arm(sys.argv[1])
    del sys.argv[1]
    main()
