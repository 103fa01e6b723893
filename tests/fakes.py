"""Fakes of the ports, which keep their contracts, and a loop whose time is skipped.

A fake answers what it was asked: as much as its port promises, and when the test says so.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from engine.actors.shell import Clock
from engine.domain.messages import (
    AccountReconciled,
    AccountsRead,
    AuthStatus,
    AuthStatusRead,
    CallDone,
    CallFailed,
    CallGateway,
    CancelAtBroker,
    DenyOrder,
    Failure,
    FailureKind,
    FeedMessage,
    FundsRead,
    HeartbeatSeen,
    LedgerRead,
    ModifyAtBroker,
    OrderAnswered,
    OrdersRead,
    OrderStatusRead,
    PlaceAtBroker,
    PositionsRead,
    ProfitRead,
    ReplyAtBroker,
    SendTopic,
    SessionCall,
    SessionMessage,
    SocketClosed,
    SocketOpened,
    Step,
    SubmitOrder,
    SystemSucceeded,
    Topic,
    TradesRead,
)
from engine.domain.ports import (
    AlgoRule,
    AmbiguousSymbol,
    Committed,
    ContractQuery,
    Entry,
    HistoryQuery,
    NotCommitted,
    Recorded,
    Snapshot,
)
from engine.domain.values import (
    AccountId,
    Bar,
    Coid,
    ConId,
    Execution,
    Funds,
    Instrument,
    OrderId,
    OrderRow,
    Outcome,
    Position,
    Quote,
    Reason,
    Terms,
    Ticket,
)
from engine.domain.views import EventView
from engine.journal import codec

T = TypeVar("T")

NOON_NS: Final = 1_763_812_800_000_000_000
"""2025-11-22T12:00:00Z, when every skipping loop starts."""


class _SkippingSelector(selectors.DefaultSelector):
    """Never waits: when nothing else is to be done, the time of the next timer is here."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            text = "the test waits for something that nobody is going to do"
            raise AssertionError(text)
        if not found and timeout is not None:
            self.now_s += timeout
        return found


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time. Not for sockets, nor for other threads."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now_s


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test on a loop that skips all waiting."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(work)


async def quiet() -> None:
    """Return once everybody has done all that can be done without waiting."""
    await skip(0.001)


def loop_clock() -> Clock:
    """Make a clock that follows the running loop's time."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    return Clock(
        wall_ns=lambda: NOON_NS + round((loop.time() - started_s) * 1e9),
        monotonic_ns=lambda: round(loop.time() * 1e9),
    )


async def skip(seconds: float) -> None:
    """Let that much of a skipping loop's time pass."""
    assert isinstance(asyncio.get_running_loop(), SkippingLoop), "nobody waits in a test"
    await asyncio.sleep(seconds)


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.wall_ns = NOON_NS
        self.monotonic_ns = 1_000_000_000
        self.clock = Clock(wall_ns=lambda: self.wall_ns, monotonic_ns=lambda: self.monotonic_ns)

    def advance(self, milliseconds: int) -> None:
        self.wall_ns += milliseconds * 1_000_000
        self.monotonic_ns += milliseconds * 1_000_000


BACKLOG: Final = NotCommitted(
    reason=Reason(code="JOURNAL_BACKLOG", message="too many records wait for the disk")
)
Done = Callable[[Committed | NotCommitted], None]


class FakeJournal:
    """A journal in memory. Commits as the loop turns, or with `held` when told to.

    From the first entry of a type in `failing` on, nothing is committed any more. With a
    `backlog` it takes no new orders for a while, and nothing more of one that it refused.
    """

    def __init__(self, records: Sequence[Recorded] = (), *, epoch: int = 1) -> None:
        self.epoch = epoch
        self.durable: list[Recorded] = list(records)
        self.held = False
        self.failing: Collection[type] = ()
        self.backlog = False
        self.refusal: NotCommitted | None = None
        self.refused_orders: set[OrderId] = set()
        self.snapshots: list[Snapshot] = []
        self._before = tuple(records)
        self._waiting: deque[tuple[Entry, Done]] = deque()

    @property
    def last_seq(self) -> int:
        return self.durable[-1].seq if self.durable else 0

    @property
    def waiting(self) -> list[type]:
        """The types of the entries that are not durable yet."""
        return [type(entry.message) for entry, _ in self._waiting]

    @property
    def written(self) -> list[type]:
        """The types of the entries that became durable since the start.

        Without the comparisons with the broker: every login writes one.
        """
        before = self._before[-1].seq if self._before else 0
        return [type(one.entry.message) for one in self.story if one.seq > before]

    @property
    def story(self) -> list[Recorded]:
        """What is durable, without the comparisons with the broker."""
        return [one for one in self.durable if not isinstance(one.entry.message, AccountReconciled)]

    @property
    def of_orders(self) -> list[Recorded]:
        """What became durable since the start and is about an order."""
        since = self.durable[len(self._before) :]
        return [one for one in since if one.entry.order_id is not None]

    def append(self, entry: Entry, done: Done) -> None:
        self._waiting.append((entry, done))
        if not self.held:
            asyncio.get_running_loop().call_soon(self.commit)

    def commit(self, count: int | None = None) -> None:
        """Answer the oldest `count` waiting entries, or all of them."""
        for _ in range(len(self._waiting) if count is None else count):
            entry, done = self._waiting.popleft()
            if type(entry.message) in self.failing:
                self.fail()
            if self.refusal is not None:
                done(self.refusal)
                continue
            new = isinstance(entry.message, SubmitOrder | DenyOrder)
            if (self.backlog and new) or entry.order_id in self.refused_orders:
                if entry.order_id is not None:
                    self.refused_orders.add(entry.order_id)
                done(BACKLOG)
                continue
            codec.encode(entry.message)  # What cannot be written is not committed.
            self.durable.append(Recorded(seq=self.last_seq + 1, entry=entry))
            done(Committed(seq=self.last_seq))

    def fail(self) -> None:
        """Commit nothing from now on."""
        reason = Reason(code="JOURNAL_UNAVAILABLE", message="the disk is full")
        self.refusal = NotCommitted(reason=reason)

    async def replay(
        self, *, after_seq: int = 0, until_seq: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        known = self._before if until_seq is None else self.durable
        last = until_seq or self.last_seq
        page = tuple(one for one in known if after_seq < one.seq <= last)
        await asyncio.sleep(0)  # As in `read`.
        if page:
            yield page

    async def snapshot(self) -> Snapshot | None:
        await asyncio.sleep(0)
        return self.snapshots[-1] if self.snapshots else None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots = [*self.snapshots, snapshot][-2:]

    async def records(
        self, *, account: AccountId | None = None, order_id: OrderId | None = None
    ) -> tuple[Recorded, ...]:
        found = tuple(
            one
            for one in self.durable
            if (account is None or one.entry.account == account)
            and (order_id is None or one.entry.order_id == order_id)
        )
        await asyncio.sleep(0)  # As in `read`.
        return found

    async def read(
        self, *, after_seq: int, limit: int, order_id: OrderId | None = None
    ) -> tuple[EventView, ...]:
        page = tuple(
            EventView(
                seq=one.seq,
                at_ns=one.entry.at_ns,
                type=codec.record_type(one.entry.message),
                account=one.entry.account,
                order_id=one.entry.order_id,
                body=codec.encode(one.entry.message),
            )
            for one in self.durable
            if one.seq > after_seq and order_id in {None, one.entry.order_id}
        )[:limit]
        await asyncio.sleep(0)  # A real one reads in a thread; more may come meanwhile.
        return page


OrderCall = PlaceAtBroker | ReplyAtBroker | CancelAtBroker | ModifyAtBroker


class FakeOrderGateway:
    """Remembers every request; the test answers each exactly once, oldest first."""

    def __init__(self) -> None:
        self.calls: list[OrderCall] = []
        self.error: Exception | None = None
        self._open: deque[tuple[OrderCall, Step, Callable[[OrderAnswered], None]]] = deque()

    @property
    def placed(self) -> list[PlaceAtBroker]:
        return [call for call in self.calls if isinstance(call, PlaceAtBroker)]

    def place(self, effect: PlaceAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        self._take(effect, Step.PLACE, tell)

    def reply(self, effect: ReplyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        self._take(effect, Step.REPLY, tell)

    def cancel(self, effect: CancelAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        self._take(effect, Step.CANCEL, tell)

    def modify(self, effect: ModifyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        self._take(effect, Step.MODIFY, tell)

    def _take(self, call: OrderCall, step: Step, tell: Callable[[OrderAnswered], None]) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(call)
        self._open.append((call, step, tell))

    def answer(self, outcome: Outcome) -> None:
        call, step, tell = self._open.popleft()
        tell(OrderAnswered(order_id=call.order_id, step=step, outcome=outcome))


READY_STATUS: Final = AuthStatus(
    authenticated=True, connected=True, competing=False, established=True
)


class FakeSessionGateway:
    """A gateway that is logged in and answers every call, but those in `held`."""

    def __init__(self, accounts: Sequence[AccountId], clock: Clock) -> None:
        self.accounts = tuple(accounts)
        self.status = READY_STATUS
        self.rows: tuple[OrderRow, ...] = ()
        self.executions: tuple[Execution, ...] = ()
        self.positions: tuple[Position, ...] = ()
        self.calls: list[SessionCall] = []
        self.held: set[SessionCall] = set()
        self.failures: dict[SessionCall, Failure] = {}
        self.error: Exception | None = None
        self._clock = clock

    def call(self, effect: CallGateway, tell: Callable[[SessionMessage], None]) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(effect.call)
        if effect.call not in self.held:
            asyncio.get_running_loop().call_soon(tell, self._answer(effect))

    def _answer(self, effect: CallGateway) -> SessionMessage:
        now_ns = self._clock.monotonic_ns()
        if effect.call in self.failures:
            return CallFailed(call=effect.call, failure=self.failures[effect.call])
        match effect.call:
            case SessionCall.AUTH_STATUS | SessionCall.OPEN_BROKERAGE | SessionCall.TICKLE:
                return AuthStatusRead(call=effect.call, status=self.status)
            case SessionCall.ACCOUNTS:
                return AccountsRead(accounts=self.accounts, paper=True)
            case SessionCall.ORDERS:
                alone = (row for row in self.rows if effect.account in (None, row.account))
                return OrdersRead(
                    rows=() if effect.force else tuple(alone),
                    snapshot=not effect.force,
                    forced=effect.force,
                    account=effect.account,
                )
            case SessionCall.ORDER_STATUS:
                for row in self.rows:
                    if row.broker_order_id == effect.broker_order_id:
                        return OrderStatusRead(row=row)
                unknown = Failure(kind=FailureKind.SERVER_ERROR, message="HTTP 400: no such order")
                return CallFailed(call=effect.call, failure=unknown)
            case SessionCall.TRADES:
                return TradesRead(executions=self.executions)
            case SessionCall.POSITIONS:
                assert effect.account is not None
                mine = tuple(one for one in self.positions if one.account == effect.account)
                return PositionsRead(
                    account=effect.account, positions=mine, started_ns=now_ns, ended_ns=now_ns
                )
            case SessionCall.FUNDS:
                assert effect.account is not None
                funds = Funds(
                    account=effect.account,
                    currency="USD",
                    net_liquidation=None,
                    available_funds=None,
                    excess_liquidity=None,
                )
                return FundsRead(funds=funds, now_ns=now_ns)
            case SessionCall.LEDGER:
                assert effect.account is not None
                return LedgerRead(account=effect.account, balances=(), now_ns=now_ns)
            case SessionCall.PROFIT:
                return ProfitRead(results=())
            case SessionCall.PORTFOLIO_ACCOUNTS | SessionCall.SUPPRESS:
                return CallDone(call=effect.call)


class FakeFeedGateway:
    """A WebSocket that opens at once; the broker behind it answers every keep-alive.

    While `down` says why, it does not open.
    """

    def __init__(self) -> None:
        self.sent: list[SendTopic] = []
        self.quotes: dict[ConId, Quote] = {}
        self.bars_of: dict[ConId, tuple[Bar, ...]] = {}
        self.down: str | None = None
        self.error: Exception | None = None
        self._tell: Callable[[FeedMessage], None] | None = None

    def connect(self, tell: Callable[[FeedMessage], None]) -> None:
        self._tell = tell
        if self.down is None:
            self.bring(SocketOpened(), SystemSucceeded(paper=True))
        else:
            self.close(self.down)

    def bring(self, *messages: FeedMessage) -> None:
        """Let the stream bring these, if there is one."""
        for message in messages:
            if self._tell is not None:
                asyncio.get_running_loop().call_soon(self._tell, message)

    def send(self, effect: SendTopic) -> None:
        if self.error is not None:
            raise self.error
        if self._tell is not None:
            self.sent.append(effect)
            if effect.topic is Topic.KEEP_ALIVE:
                self.bring(HeartbeatSeen())

    def close(self, reason: str) -> None:
        self.bring(SocketClosed(reason=reason))
        self._tell = None

    def quote(self, conid: ConId) -> Quote | None:
        return self.quotes.get(conid)

    def bars(self, conid: ConId, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        bars = self.bars_of.get(conid, ())
        return tuple(bar for bar in bars if bar.interval_ms == interval_ms)[-limit:]

    def heartbeat_age_ms(self) -> int | None:
        return None if self._tell is None else 0


class FakeInstruments:
    """Knows the contracts that it was given."""

    def __init__(self, *instruments: Instrument) -> None:
        self.instruments = instruments
        self.algo_rules: dict[ConId, tuple[AlgoRule, ...]] = {}
        self.asked: list[ConId | str] = []

    async def by_conid(self, conid: ConId) -> Instrument | Reason:
        self.asked.append(conid)
        await asyncio.sleep(0)
        for instrument in self.instruments:
            if instrument.conid == conid:
                return instrument
        return Reason(code="INSTRUMENT_UNKNOWN", message=f"no contract {conid}")

    async def find(self, query: ContractQuery) -> Instrument | AmbiguousSymbol | Reason:
        self.asked.append(query.symbol)
        await asyncio.sleep(0)
        found = tuple(one for one in self.instruments if _fits(one, query))
        if len(found) == 1:
            return found[0]
        if found:
            return AmbiguousSymbol(symbol=query.symbol, candidates=found, count=len(found))
        return Reason(code="INSTRUMENT_UNKNOWN", message=f"no {query.sec_type} {query.symbol}")

    async def algos(self, conid: ConId) -> tuple[AlgoRule, ...] | Reason:
        self.asked.append(conid)
        await asyncio.sleep(0)
        unknown = Reason(code="SERVER_ERROR", message=f"conid {conid}: HTTP 503")
        return self.algo_rules.get(conid, unknown)

    def age_ms(self, conid: ConId) -> int | None:
        return 0 if any(one.conid == conid for one in self.instruments) else None


def _fits(instrument: Instrument, query: ContractQuery) -> bool:
    return (instrument.symbol, instrument.sec_type) == (query.symbol, query.sec_type) and all(
        wanted in {None, found}
        for wanted, found in (
            (query.exchange, instrument.exchange),
            (query.currency, instrument.currency),
            (query.expiry, instrument.expiry),
            (query.strike, instrument.strike),
            (query.right, instrument.right),
        )
    )


class FakeData:
    """Reads what it was given over REST; what it was not given it refuses."""

    def __init__(self) -> None:
        self.quotes: dict[ConId, Quote] = {}
        self.bars_of: dict[HistoryQuery, tuple[Bar, ...]] = {}
        self.refusal: Reason | None = None

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[Quote, ...] | Reason:
        await asyncio.sleep(0)
        found = tuple(self.quotes[conid] for conid in conids if conid in self.quotes)
        return found if self.refusal is None else self.refusal

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        await asyncio.sleep(0)
        if self.refusal is not None:
            return self.refusal
        unknown = Reason(code="NO_DATA", message=f"no bars of conid {query.conid}")
        return self.bars_of.get(query) or unknown


@dataclass(frozen=True, slots=True)
class FakeEncoder:
    """Writes an order's id as its body, so that a test can tell bodies apart."""

    error: Exception | None = None

    def encode(self, ticket: Ticket, coid: Coid) -> bytes:
        if self.error is not None:
            raise self.error
        return f"{coid} {ticket.side} {ticket.quantity}".encode()

    def encode_group(self, orders: Sequence[tuple[Ticket, Coid]]) -> bytes:
        return b"\n".join(self.encode(ticket, coid) for ticket, coid in orders)

    def encode_change(
        self, ticket: Ticket, coid: Coid, terms: Terms, *, leader: Coid | None = None
    ) -> bytes:
        if self.error is not None:
            raise self.error
        entry = "" if leader is None else f" exit of {leader}"
        return f"{coid} {ticket.side} {terms.quantity} {terms.limit_price}{entry}".encode()

    def refusal(self, ticket: Ticket) -> Reason | None:
        refused = ticket.sec_type == "FUT"
        return Reason(code="EXT_OPERATOR_MISSING", message="no operator") if refused else None
