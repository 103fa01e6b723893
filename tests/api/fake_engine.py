"""An engine that keeps the contract of the port, without risk, journal or broker.

It also holds the harness of these tests: a server on real sockets and a client for it.
"""

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import aiohttp

from engine.api.route import Patience
from engine.api.server import ApiServer
from engine.api.token import Token, TokenScope
from engine.domain.messages import HaltScope, RequestAnswer, RequestVerdict, ResumeScope
from engine.domain.ports import (
    AgedInstrument,
    AmbiguousSymbol,
    ContractQuery,
    Engine,
    HistoryQuery,
    NotResolvable,
    OrderFilter,
    ResolveRequest,
    SubmitRequest,
    SubmitResult,
    Submitted,
    TermsChange,
    UnknownAccount,
    UnknownExternalOrder,
    UnknownOrder,
)
from engine.domain.values import (
    TERMINAL,
    AccountId,
    Bar,
    BrokerOrderId,
    BrokerStatus,
    CashBalance,
    ClientOrderId,
    Coid,
    Confidence,
    ConId,
    GroupPlace,
    Increment,
    Instrument,
    Mode,
    OrderId,
    OrderRow,
    OrderState,
    OrderType,
    Pending,
    PositionBreak,
    Quote,
    Reason,
    Reconciliation,
    Resolution,
    SessionName,
    SessionState,
    Side,
    Terms,
    Ticket,
    TifRule,
    TimeInForce,
    TradingState,
)
from engine.domain.views import (
    AccountView,
    Aged,
    EventView,
    ExternalOrderView,
    HealthView,
    LimitsView,
    LimitView,
    OrderView,
    PositionView,
    SessionView,
)

SECRET = "a-token-for-these-tests"
ACCOUNT = AccountId("DU1234567")
NOON_NS = 1_763_812_800_123_456_789
"""2025-11-22T12:00:00.123456789Z"""

SESSION = SessionView(
    name=SessionName("main"),
    state=SessionState.READY,
    reason=None,
    accounts=(ACCOUNT,),
    gateway="https://127.0.0.1:5000",
    epoch=3,
    since_ns=NOON_NS,
    socket_connected=True,
    last_heartbeat_age_ms=250,
    login_by_ns=NOON_NS + 600_000_000_000,
    login_failures=2,
)
ACCOUNT_VIEW = AccountView(
    account=ACCOUNT,
    session=SESSION.name,
    session_state=SessionState.READY,
    trading_state=TradingState.NORMAL,
    ready=True,
    reason=None,
    currency="USD",
    net_liquidation=Aged(value=Decimal("1E+6"), age_ms=12),
    available_funds=Aged(value=Decimal("250000.50"), age_ms=12),
    daily_pnl=Aged(value=Decimal("-12.5"), age_ms=7),
    unrealized_pnl=Aged(value=None, age_ms=None),
    excess_liquidity=Aged(value=Decimal(240_000), age_ms=12),
    buying_power=Aged(value=Decimal(1_000_000), age_ms=12),
    total_cash=Aged(value=Decimal("-20.5"), age_ms=12),
    cash=(
        CashBalance(
            currency="EUR",
            cash=Decimal("100.25"),
            settled_cash=None,
            net_liquidation=Decimal("100.25"),
            exchange_rate=Decimal("1.1"),
        ),
    ),
    cash_age_ms=900,
    reconciliation=Reconciliation.BREAKS,
    reconciled_age_ms=4_000,
    breaks=(
        PositionBreak(
            conid=ConId(265598), symbol="AAPL", expected=Decimal(100), found=Decimal(-40)
        ),
    ),
    external_orders=1,
)
EXTERNAL = ExternalOrderView(
    session=SessionName("main"),
    row=OrderRow(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("987"),
        coid=Coid("by-hand"),
        conid=ConId(265598),
        side=Side.SELL,
        total_quantity=Decimal(5),
        status=BrokerStatus.SUBMITTED,
        symbol="AAPL",
        order_type="Limit",
        limit_price=Decimal(200),
        tif="GTC",
    ),
    seen_at_ns=NOON_NS,
)
POSITION = PositionView(
    account=ACCOUNT,
    conid=ConId(265598),
    symbol="AAPL",
    quantity=Decimal(-100),
    lowest=Decimal(-130),
    highest=Decimal(-100),
    working_buy=Decimal(10),
    working_sell=Decimal(0),
    average_price=Decimal("189.25"),
    market_price=None,
    market_value=None,
    unrealized_pnl=None,
    currency="USD",
    age_ms=40,
)
LIMITS = LimitsView(
    account=ACCOUNT,
    groups=("desk",),
    version=7,
    policy_hash="c0ffee",
    limits=(LimitView(name="order_notional_max", value="50000", source="risk.yaml:12"),),
    file_error=None,
)
INSTRUMENT = Instrument(
    conid=ConId(265598),
    symbol="AAPL",
    sec_type="STK",
    currency="USD",
    exchange="NASDAQ",
    name="APPLE INC",
    multiplier=Decimal(1),
    increments=(Increment(lower_edge=Decimal(0), increment=Decimal("0.01")),),
    size_increment=Decimal(1),
    order_types=(OrderType.MKT, OrderType.LMT),
    tradable=True,
    tifs=(
        TifRule(tif=TimeInForce.DAY, outside_rth=True),
        TifRule(tif=TimeInForce.IOC, order_types=(OrderType.MKT,)),
    ),
    outside_rth_types=(OrderType.LMT,),
    fraction_types=(OrderType.MKT,),
    valid_exchanges=("SMART", "NASDAQ"),
)
QUOTE = Quote(
    conid=ConId(265598),
    bid=Decimal("189.24"),
    ask=Decimal("189.26"),
    last=Decimal("189.25"),
    bid_size=Decimal(300),
    ask_size=Decimal(1300),
    last_size=None,
    volume=Decimal("5.66E+6"),
    prior_close=None,
    halted=False,
    availability="RpB",
    received_ns=1,
)
BAR = Bar(
    conid=ConId(265598),
    interval_ms=1000,
    start_ms=1_763_812_800_000,
    open=Decimal("189.2"),
    high=Decimal("189.3"),
    low=Decimal("189.1"),
    close=Decimal("189.25"),
    volume=Decimal(0),
    vwap=None,
    trades=0,
)
ORDER = OrderView(
    order_id=OrderId("1-1"),
    client_order_id=ClientOrderId("mine-1"),
    account=ACCOUNT,
    conid=ConId(265598),
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(10),
    filled_quantity=Decimal(4),
    average_price=Decimal("189.25"),
    limit_price=Decimal("189.3"),
    tif=TimeInForce.DAY,
    strategy=None,
    state=OrderState.PARTIALLY_FILLED,
    pending=Pending.NONE,
    confidence=Confidence.CONFIRMED,
    reason=None,
    coid=Coid("EXAAAA-1-1-00"),
    broker_order_id=BrokerOrderId("1234"),
    created_at_ns=NOON_NS,
    updated_at_ns=NOON_NS + 1_000_000_000,
    seq=5,
    request_sha256="0" * 64,
)


HEALTH = HealthView(
    started=True, alive=True, ready=True, draining=False, sessions=(SESSION,), problems=()
)


@dataclass
class FakeEngine:
    """Every field may be changed by a test before, or while, the server runs."""

    health_view: HealthView = HEALTH
    limits_view: LimitsView = LIMITS
    order_views: dict[OrderId, OrderView] = field(default_factory=dict)
    submitted: list[SubmitRequest] = field(default_factory=list)
    deny: Reason | None = None
    fail: Exception | None = None
    symbols: dict[str, Instrument | AmbiguousSymbol | Reason] = field(default_factory=dict)
    streamed: dict[ConId, Instrument] = field(default_factory=dict)
    bars_kept: tuple[Bar, ...] = (BAR,)
    journal: list[EventView] = field(default_factory=list)
    halts: list[tuple[HaltScope, bool]] = field(default_factory=list)
    resumes: list[ResumeScope] = field(default_factory=list)
    cancels: list[tuple[OrderId, str]] = field(default_factory=list)
    resolved: list[tuple[OrderId, ResolveRequest, str]] = field(default_factory=list)
    adopted: list[tuple[BrokerOrderId, bool, str]] = field(default_factory=list)
    stories: dict[OrderId, tuple[EventView, ...]] = field(default_factory=dict)
    changes: list[tuple[OrderId, TermsChange, str]] = field(default_factory=list)
    settles: list[tuple[OrderId, int]] = field(default_factory=list)
    retries: list[tuple[SessionName, str, str]] = field(default_factory=list)
    queries: list[ContractQuery] = field(default_factory=list)
    snapshots: dict[ConId, Quote] | Reason = field(default_factory=dict)
    snapshots_asked: list[tuple[ConId, ...]] = field(default_factory=list)
    past: dict[HistoryQuery, tuple[Bar, ...] | Reason] = field(default_factory=dict)
    waits: list[tuple[OrderId, bool, int]] = field(default_factory=list)
    wanted: list[OrderFilter] = field(default_factory=list)
    drained: bool = False
    followers: int = 0

    def __post_init__(self) -> None:
        self._news = asyncio.Condition()
        self._following = asyncio.Condition()

    def accounts(self) -> tuple[AccountView, ...]:
        return (ACCOUNT_VIEW,)

    def account(self, account: AccountId) -> AccountView:
        if account != ACCOUNT:
            raise UnknownAccount(account)
        return ACCOUNT_VIEW

    def positions(self, account: AccountId) -> tuple[PositionView, ...]:
        self.account(account)
        return (POSITION,)

    def limits(self, account: AccountId) -> LimitsView:
        self.account(account)
        return self.limits_view

    def sessions(self) -> tuple[SessionView, ...]:
        if self.fail is not None:
            raise self.fail
        return (SESSION,)

    def health(self) -> HealthView:
        return self.health_view

    def orders(self, wanted: OrderFilter) -> tuple[OrderView, ...]:
        self.wanted.append(wanted)
        views = sorted(self.order_views.values(), key=lambda view: -view.seq)
        return tuple(views[: wanted.limit])

    def order(self, order_id: OrderId) -> OrderView:
        try:
            return self.order_views[order_id]
        except KeyError:
            raise UnknownOrder(order_id) from None

    async def submit(self, request: SubmitRequest) -> SubmitResult:
        if self.fail is not None:
            raise self.fail
        ticket = request.ticket
        if ticket.symbol:
            found = self.symbols.get(ticket.symbol)
            if isinstance(found, AmbiguousSymbol):
                return found
        for view in self.order_views.values():
            if view.client_order_id == ticket.client_order_id:
                same = view.request_sha256 == request.request_sha256
                verdict = RequestVerdict.REPEATED if same else RequestVerdict.CONFLICT
                answer = RequestAnswer(verdict=verdict, order_id=view.order_id)
                return Submitted(answer=answer, order=view)
        self.submitted.append(request)
        number = len(self.order_views) + 1
        order_id = OrderId(f"1-{number}")
        size = 1 + len(request.followers)
        views = [
            self._made(each, request, number + index, self._place(request, order_id, index, size))
            for index, each in enumerate((ticket, *request.followers))
        ]
        self.order_views |= {view.order_id: view for view in views}
        await asyncio.sleep(0)
        verdict = RequestVerdict.DENIED if self.deny else RequestVerdict.APPROVED
        answer = RequestAnswer(verdict=verdict, order_id=order_id)
        return Submitted(answer=answer, order=views[0], followers=tuple(views[1:]))

    def _place(
        self, request: SubmitRequest, leader: OrderId, index: int, size: int
    ) -> GroupPlace | None:
        if request.group is None:
            return None
        return GroupPlace(kind=request.group, leader=leader, index=index, size=size)

    def _made(
        self, ticket: Ticket, request: SubmitRequest, number: int, group: GroupPlace | None
    ) -> OrderView:
        return replace(
            ORDER,
            order_id=OrderId(f"1-{number}"),
            client_order_id=ticket.client_order_id,
            side=ticket.side,
            type=ticket.type,
            sec_type=ticket.sec_type,
            quantity=ticket.quantity,
            cash_quantity=ticket.cash_quantity,
            stop_price=ticket.stop_price,
            trailing_type=ticket.trailing_type,
            trailing_amount=ticket.trailing_amount,
            cap_price=ticket.cap_price,
            outside_rth=ticket.outside_rth,
            filled_quantity=Decimal(0),
            average_price=None,
            limit_price=ticket.limit_price,
            tif=ticket.tif,
            strategy=ticket.strategy,
            state=OrderState.DENIED if self.deny else OrderState.SUBMITTING,
            reason=self.deny,
            broker_order_id=None,
            seq=number,
            request_sha256=request.request_sha256,
            group=group,
            algo=ticket.algo,
            good_till_ms=ticket.good_till_ms,
        )

    async def cancel(self, order_id: OrderId, *, by: str) -> OrderView:
        if self.fail is not None:
            raise self.fail
        view = self.order(order_id)
        self.cancels.append((order_id, by))
        if view.state in TERMINAL:
            return view
        return replace(view, pending=Pending.CANCEL)

    async def resolve(self, order_id: OrderId, request: ResolveRequest, *, by: str) -> OrderView:
        if self.fail is not None:
            raise self.fail
        view = self.order(order_id)
        if view.state not in {OrderState.IN_DOUBT, OrderState.PARKED}:
            text = f"order {order_id} is {view.state}, allowed are IN_DOUBT and PARKED"
            raise NotResolvable(text)
        self.resolved.append((order_id, request, by))
        state = {
            Resolution.NOT_PLACED: OrderState.NOT_PLACED,
            Resolution.LIVE: OrderState.PENDING_NEW,
            Resolution.FILLED: OrderState.FILLED,
        }[request.resolution]
        return replace(view, state=state)

    async def adopt(
        self, account: AccountId, broker_order_id: BrokerOrderId, *, cancel: bool, by: str
    ) -> OrderView:
        if self.fail is not None:
            raise self.fail
        self.account(account)
        if broker_order_id != EXTERNAL.row.broker_order_id:
            raise UnknownExternalOrder(broker_order_id)
        self.adopted.append((broker_order_id, cancel, by))
        pending = Pending.CANCEL if cancel else Pending.NONE
        return replace(ORDER, broker_order_id=broker_order_id, adopted=True, pending=pending)

    async def story(self, order_id: OrderId) -> tuple[EventView, ...]:
        self.order(order_id)
        return self.stories.get(order_id, ())

    async def modify(self, order_id: OrderId, change: TermsChange, *, by: str) -> OrderView:
        if self.fail is not None:
            raise self.fail
        view = self.order(order_id)
        self.changes.append((order_id, change, by))
        wanted = Terms(
            quantity=change.quantity or view.quantity,
            limit_price=change.limit_price or view.limit_price,
            stop_price=change.stop_price or view.stop_price,
        )
        return replace(view, pending=Pending.REPLACE, wanted=wanted)

    async def wait_settled(self, order_id: OrderId, *, timeout_ms: int) -> OrderView:
        self.settles.append((order_id, timeout_ms))
        return self.order(order_id)

    def external_orders(self, account: AccountId) -> tuple[ExternalOrderView, ...]:
        self.account(account)
        return (EXTERNAL,)

    async def retry_login(self, session: SessionName, *, reason: str, by: str) -> SessionView:
        self.retries.append((session, reason, by))
        return replace(SESSION, state=SessionState.BROKERAGE_INIT, login_failures=0)

    async def wait(self, order_id: OrderId, *, terminal: bool, timeout_ms: int) -> OrderView:
        self.waits.append((order_id, terminal, timeout_ms))
        state = OrderState.FILLED if terminal else OrderState.WORKING
        return replace(self.order(order_id), state=state)

    async def halt(self, halt: HaltScope, *, cancel_working: bool) -> int:
        if self.fail is not None:
            raise self.fail
        self.halts.append((halt, cancel_working))
        return 2 if cancel_working else 0

    async def resume(self, resume: ResumeScope) -> bool:
        self.resumes.append(resume)
        return any(halt.scope == resume.scope for halt, _ in self.halts)

    def quotes(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...]:
        return ((QUOTE, 85),) if QUOTE.conid in conids else ()

    def bars(self, conid: ConId, *, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        kept = [
            bar for bar in self.bars_kept if (bar.conid, bar.interval_ms) == (conid, interval_ms)
        ]
        return tuple(kept[-limit:])

    async def subscribe(self, conid: ConId) -> Instrument | Reason:
        if conid != INSTRUMENT.conid:
            return Reason(code="INSTRUMENT_UNKNOWN", message=f"no conid {conid}")
        self.streamed[conid] = INSTRUMENT
        return INSTRUMENT

    def subscriptions(self) -> tuple[ConId, ...]:
        return tuple(self.streamed)

    async def unsubscribe(self, conid: ConId) -> bool:
        return self.streamed.pop(conid, None) is not None

    async def instrument(self, query: ContractQuery) -> AgedInstrument | AmbiguousSymbol | Reason:
        self.queries.append(query)
        text = f"the broker knows no {query.sec_type} {query.symbol}"
        unknown = Reason(code="INSTRUMENT_UNKNOWN", message=text)
        found = self.symbols.get(query.symbol, unknown)
        if isinstance(found, Instrument):
            return AgedInstrument(instrument=found, age_ms=40)
        return found

    async def contract(self, conid: ConId) -> AgedInstrument | Reason:
        if conid != INSTRUMENT.conid:
            return Reason(code="INSTRUMENT_UNKNOWN", message=f"no conid {conid}")
        return AgedInstrument(instrument=INSTRUMENT, age_ms=40)

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[tuple[Quote, int], ...] | Reason:
        self.snapshots_asked.append(tuple(conids))
        if isinstance(self.snapshots, Reason):
            return self.snapshots
        return tuple((self.snapshots[conid], 3) for conid in conids if conid in self.snapshots)

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        return self.past[query]

    async def events(self, after_seq: int) -> AsyncIterator[EventView]:
        await self._count(1)
        try:
            while True:
                for event in self.journal[after_seq:]:
                    after_seq = event.seq
                    yield event
                async with self._news:
                    if len(self.journal) <= after_seq:
                        await self._news.wait()
        finally:
            await self._count(-1)

    async def _count(self, change: int) -> None:
        async with self._following:
            self.followers += change
            self._following.notify_all()

    async def until_followers(self, count: int) -> None:
        """Wait until so many clients follow the events."""
        async with asyncio.timeout(5), self._following:
            await self._following.wait_for(lambda: self.followers == count)

    async def record(self, count: int = 1, *, padding: int = 0) -> None:
        """Append records, each with its number and some padding in its body."""
        for _ in range(count):
            seq = len(self.journal) + 1
            body = json.dumps({"number": seq, "padding": "x" * padding}).encode()
            self.journal.append(event(seq, body))
        async with self._news:
            self._news.notify_all()

    def drain(self) -> None:
        self.drained = True


def event(seq: int, body: bytes = b"{}") -> EventView:
    return EventView(
        seq=seq,
        at_ns=NOON_NS,
        type="OrderAnswered",
        account=ACCOUNT,
        order_id=OrderId("1-1"),
        body=body,
    )


def token(scope: TokenScope = TokenScope.FULL) -> Token:
    return Token(digest=hashlib.sha256(SECRET.encode()).digest(), scope=scope)


@dataclass
class Client:
    """A client with the right token; what it gets back is status and parsed JSON."""

    server: ApiServer
    engine: FakeEngine
    http: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, *, body: object = None, **options: Any
    ) -> tuple[int, Any]:
        if body is not None:
            options["json"] = body
        async with self.http.request(method, self.server.url + path, **options) as answer:
            content = await answer.read()
            return answer.status, json.loads(content) if content else None

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.server.url.rpartition("/")[2].rpartition(":")
        return host, int(port)


def make_server(engine: Engine, **changes: Any) -> ApiServer:
    settings: dict[str, Any] = {
        "engine": engine,
        "token": token(),
        "host": "127.0.0.1",
        "port": 0,
        "tls": None,
        "allowed_hosts": (),
        "metrics_host": "127.0.0.1",
        "metrics_port": 0,
        "mode": Mode.PAPER,
    }
    return ApiServer(**(settings | changes))


@asynccontextmanager
async def serving(
    engine: FakeEngine | None = None,
    *,
    trust: ssl.SSLContext | None = None,
    **changes: Any,
) -> AsyncIterator[Client]:
    """A server on free ports of loopback, and a client of it."""
    asked = engine or FakeEngine()
    server = make_server(asked, **changes)
    await server.start()
    try:
        connector = aiohttp.TCPConnector(ssl=trust if trust is not None else True)
        headers = {"Authorization": f"Bearer {SECRET}"}
        async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
            yield Client(server=server, engine=asked, http=http)
    finally:
        await server.stop()


async def raw(client: Client, request: bytes, *, seconds: float = 5.0) -> tuple[int, Any]:
    """Send bytes as they are; return the status and the body of the first answer."""
    reader, writer = await asyncio.open_connection(*client.address)
    try:
        writer.write(request)
        async with asyncio.timeout(seconds):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            return status, json.loads(await reader.readexactly(length))
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


QUICK = Patience(
    body_seconds=0.2,
    idle_seconds=0.2,
    blocked_seconds=0.2,
    linger_seconds=0.1,
    keep_alive_seconds=0.1,
)
