"""What the journal promises of time: an intent durable, many of them, a replay, a start.

Beside ours stands what is promised, where something is: as many orders a second as the
broker could ever take of one engine, a whole replay while a person waits, and a start with
a snapshot before anybody has noticed.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from benchmarks.contest import Clock, Contender, Contest, Digest, Lap
from benchmarks.journal import intent
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock as EngineClock
from engine.actors.spawner import Spawner
from engine.actors.supervisor import Supervisor
from engine.actors.switchboard import Switchboard
from engine.actors.views import Views
from engine.domain.history import History
from engine.domain.messages import (
    AttemptStarted,
    ExecutionSeen,
    JournalMessage,
    OrderAnswered,
    OrderRowSeen,
    Step,
    SubmitOrder,
)
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.risk import RiskPolicy
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Execution,
    ExecutionId,
    OrderRow,
    Outcome,
    OutcomeKind,
    SessionName,
    Side,
    Source,
)
from engine.gateway.wire import TicketEncoder
from engine.journal.batch import Waiting, chain_rows, prepare
from engine.journal.rebuild import Snapshots, without_collector
from engine.journal.snapshot_body import PACKING
from engine.journal.sqlite import SqliteJournal
from engine.journal.verify import EMPTY, Head

SINGLES: Final = 300
ORDERS: Final = 1_000
RECORDS: Final = 1_000_000

ORDERS_A_SECOND: Final = 300
REPLAY_S: Final = 30
START_S: Final = 2

_STORY: Final = 7
_ORDERS_A_DAY: Final = 2_000
_DAY_NS: Final = 24 * 3600 * 10**9
_SESSION: Final = SessionName("main")
_CHUNK: Final = 20_000


def contests(
    folder: Path, *, singles: int = SINGLES, orders: int = ORDERS, records: int = RECORDS
) -> Iterator[Contest]:
    """Return the contests. What they write is in `folder`, and is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=folder) as place:
        for percent in (50, 99):
            yield _percentile(Path(place), percent, singles)
        yield _contest(
            "journal/orders",
            f"{orders:,} orders at once, each with an intent, an attempt and an outcome that "
            "wait for one another",
            operation="order",
            operations=orders,
            lap=lambda: _together(Path(place), orders),
            promise=f"the floor, {ORDERS_A_SECOND} orders/s",
            promised_ns=orders * 10**9 // ORDERS_A_SECOND,
        )
        written = Written(Path(place) / "long", records)
        yield _contest(
            "journal/replay",
            f"{records:,} records verified and replayed into {records // _STORY:,} orders",
            operation="record",
            operations=records,
            lap=written.replay,
            promise=f"the ceiling, {REPLAY_S} s for 1,000,000",
            promised_ns=REPLAY_S * 1000 * records,
        )
        yield _contest(
            "journal/start",
            f"an engine with {records // _STORY:,} orders is there again from a snapshot",
            operation="start",
            operations=1,
            lap=written.start,
            promise=f"the ceiling, {START_S} s",
            promised_ns=START_S * 10**9,
        )


def _contest(
    name: str,
    what: str,
    *,
    operation: str,
    operations: int,
    lap: Callable[[], Lap],
    promise: str,
    promised_ns: int,
) -> Contest:
    done: list[Digest] = []

    def ours() -> Lap:
        found = lap()
        done.append(found.digest)
        return found

    return Contest(
        name=name,
        what=what,
        operation=operation,
        operations=operations,
        clock=Clock.WALL,
        contenders=(
            Contender(name="engine", lap=ours),
            Contender(name=promise, lap=lambda: Lap(cost=promised_ns, digest=done[-1])),
        ),
        rounds_max=3,
    )


# --- commits -----------------------------------------------------------------------------------


def _percentile(place: Path, percent: int, singles: int) -> Contest:
    """Compare the waits for one intent, by their percentile, with a bare commit's."""

    def lap(commit_all: Callable[[Path, int], list[int]]) -> Callable[[], Lap]:
        def run() -> Lap:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                waits = sorted(commit_all(Path(folder) / "journal", singles))
            return Lap(
                cost=waits[min(len(waits) * percent // 100, len(waits) - 1)],
                digest={"records": len(waits)},
            )

        return run

    return Contest(
        name=f"journal/intent-p{percent}",
        what=f"percentile {percent} of the time from an intent to its being durable, one by one",
        operation="intent",
        operations=1,
        clock=Clock.WALL,
        contenders=(
            Contender(name="engine SqliteJournal", lap=lap(_journal_waits)),
            Contender(name="sqlite3, commit per record", lap=lap(_plain_waits)),
        ),
    )


def _journal_waits(path: Path, singles: int) -> list[int]:
    async def run() -> list[int]:
        journal = SqliteJournal.open(path)
        waits = []
        for number in range(1, singles + 1):
            entry = intent(number)
            started_ns = time.perf_counter_ns()
            await _append(journal, entry)
            waits.append(time.perf_counter_ns() - started_ns)
        await journal.close()
        return waits

    return asyncio.run(run())


def _plain_waits(path: Path, singles: int) -> list[int]:
    waits = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE records (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        for number in range(1, singles + 1):
            body = _ready(intent(number)).body
            started_ns = time.perf_counter_ns()
            connection.execute("INSERT INTO records (body) VALUES (?)", (body,))
            waits.append(time.perf_counter_ns() - started_ns)
    return waits


async def _append(journal: SqliteJournal, entry: Entry) -> None:
    done: asyncio.Future[Committed | NotCommitted] = asyncio.get_running_loop().create_future()
    journal.append(entry, done.set_result)
    answer = await done
    assert isinstance(answer, Committed), answer.reason.message


def _together(place: Path, orders: int) -> Lap:
    async def order(journal: SqliteJournal, number: int) -> None:
        for message in story(number)[:3]:
            await _append(journal, _entry(number, message))

    async def run(path: Path) -> tuple[int, int]:
        journal = SqliteJournal.open(path)
        started_ns = time.perf_counter_ns()
        await asyncio.gather(*(order(journal, number) for number in range(1, orders + 1)))
        cost, seq = time.perf_counter_ns() - started_ns, journal.last_seq
        await journal.close()
        return cost, seq

    with tempfile.TemporaryDirectory(dir=place) as folder:
        cost, seq = asyncio.run(run(Path(folder) / "journal"))
    return Lap(cost=cost, digest={"records": seq})


# --- a long journal ------------------------------------------------------------------------------


def story(number: int) -> tuple[JournalMessage, ...]:
    """Return the records of an order that filled in one piece, with its commission."""
    submit = intent(number).message
    assert isinstance(submit, SubmitOrder)
    approved = submit.approved
    order_id, ticket = approved.order_id, approved.ticket
    broker_id = BrokerOrderId(str(10**8 + number))
    outcome = Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=broker_id,
        status="PreSubmitted",
        http_status=200,
        body_sha256=f"{number:064x}",
    )
    row = OrderRow(
        account=ticket.account,
        broker_order_id=broker_id,
        coid=approved.coid,
        conid=ticket.conid,
        side=Side.BUY,
        total_quantity=ticket.quantity,
        filled_quantity=Decimal(0),
        status=BrokerStatus.SUBMITTED,
    )
    fill = Execution(
        execution_id=ExecutionId(f"0000e0d5.{number:08x}.01.01"),
        account=ticket.account,
        broker_order_id=broker_id,
        coid=approved.coid,
        conid=ticket.conid,
        side=Side.BUY,
        quantity=ticket.quantity,
        price=Decimal("189.25"),
        commission=None,
        at_ms=1_750_000_000_000 + number,
    )
    paid = replace(fill, commission=Decimal("1.01"))
    over = replace(row, status=BrokerStatus.FILLED, filled_quantity=ticket.quantity)
    return (
        replace(submit, approved=replace(approved, request_sha256=f"{number:064x}")),
        AttemptStarted(order_id=order_id, number=1, session_epoch=1),
        OrderAnswered(order_id=order_id, step=Step.PLACE, outcome=outcome),
        OrderRowSeen(order_id=order_id, row=row, source=Source.STREAM),
        ExecutionSeen(order_id=order_id, execution=fill, source=Source.STREAM),
        ExecutionSeen(order_id=order_id, execution=paid, source=Source.POLL),
        OrderRowSeen(order_id=order_id, row=over, source=Source.STREAM),
    )


def _entry(number: int, message: JournalMessage) -> Entry:
    like = intent(number)
    at_ns = like.at_ns + number * (_DAY_NS // _ORDERS_A_DAY)
    return replace(like, at_ns=at_ns, message=message, session=_SESSION)


def _ready(entry: Entry) -> Waiting:
    waiting = prepare(entry, lambda _answer: None)
    assert isinstance(waiting, Waiting)
    return waiting


class Written:
    """A journal of many records, made when it is wanted first."""

    def __init__(self, path: Path, records: int) -> None:
        self._path = path
        self._records = records
        self._has_snapshot = False

    def replay(self) -> Lap:
        """Open the journal, check all of it, and make its history."""
        self._make()
        return asyncio.run(self._replay())

    async def _replay(self) -> Lap:
        started_ns = time.perf_counter_ns()
        journal = SqliteJournal.open(self._path)
        history = await Snapshots(journal, records=1).rebuild()
        cost = time.perf_counter_ns() - started_ns
        await journal.close()
        return Lap(cost=cost, digest=_digest(history))

    def start(self) -> Lap:
        """Open the journal with its snapshot, and have all its orders in an engine."""
        self._make()
        return asyncio.run(self._start())

    async def _start(self) -> Lap:
        if not self._has_snapshot:
            journal = SqliteJournal.open(self._path)
            await Snapshots(journal, records=1, pause_s=0).take()
            await journal.close()
            self._has_snapshot = True
        started_ns = time.perf_counter_ns()
        journal = SqliteJournal.open(self._path)
        with without_collector():
            history = await Snapshots(journal, records=1).rebuild()
            board = _engine(journal, history)
        cost = time.perf_counter_ns() - started_ns
        shown = sum(1 for _ in board.views) + sum(1 for _ in board.views.at_rest())
        await journal.close()
        return Lap(cost=cost, digest={**_digest(history), "shown": shown})

    def _make(self) -> None:
        if self._path.exists():
            return

        async def make() -> None:
            await SqliteJournal.open(self._path).close()

        asyncio.run(make())
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # It is made, not measured.
            head = replace(EMPTY, epoch=1)
            for first in range(1, self._records // _STORY + 1, _CHUNK):
                last = min(first + _CHUNK, self._records // _STORY + 1)
                head = _write(connection, head, range(first, last))


def _write(connection: sqlite3.Connection, head: Head, numbers: range) -> Head:
    batch = [_ready(_entry(number, one)) for number in numbers for one in story(number)]
    rows, head = chain_rows(batch, head)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO records (seq, at_ns, epoch, type, account, order_id, session, body, prev_hash,"
        " hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.execute("UPDATE meta SET head_seq = ?, head_hash = ?", (head.seq, head.hash))
    connection.execute("COMMIT")
    return head


def _engine(journal: SqliteJournal, history: History) -> Switchboard:
    """Have all orders of a history in an engine that has no session."""
    dispatcher, clock = Dispatcher(), EngineClock()
    board = Switchboard(journal=journal, views=Views(PACKING), shard="0001", clock=clock)
    spawner = Spawner(
        dispatcher=dispatcher, clock=clock, switchboard=board, encoder=TicketEncoder()
    )
    supervisor = Supervisor(
        dispatcher=dispatcher,
        clock=clock,
        switchboard=board,
        spawner=spawner,
        policy=RiskPolicy(version=1, defaults={}, groups={}, accounts={}),
    )
    supervisor.rebuild(history)
    return board


def _digest(history: History) -> Digest:
    return {
        "records": history.seq,
        "orders": len(history.orders),
        "awake": sum(1 for _ in history.live()),
    }
