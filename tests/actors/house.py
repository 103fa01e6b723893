"""All the actors of an engine over fakes: what the tests of whole orders start from."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from engine.actors.bridge import EngineBridge
from engine.actors.mailbox import Dispatcher
from engine.actors.restarts import Restart
from engine.actors.spawner import Spawner
from engine.actors.supervisor import SessionParts, Supervisor
from engine.actors.switchboard import Switchboard
from engine.actors.views import Views
from engine.actors.watched_journal import WatchedJournal
from engine.domain.ports import ContractQuery, Recorded, SubmitRequest, Submitted
from engine.domain.risk import Level, RiskPolicy
from engine.domain.session import SessionSettings
from engine.domain.values import (
    AccountId,
    Answer,
    BrokerOrderId,
    BrokerStatus,
    ClientOrderId,
    Coid,
    ConId,
    Execution,
    ExecutionId,
    MessageId,
    Mode,
    OrderRow,
    OrderType,
    Outcome,
    OutcomeKind,
    Question,
    QuestionId,
    Quote,
    Reason,
    SessionName,
    Side,
    Ticket,
    TimeInForce,
    make_coid,
)
from engine.domain.views import OrderView
from engine.journal.rebuild import Snapshots
from engine.journal.snapshot_body import PACKING
from tests.domain.risk.samples import INSTRUMENT, QUOTE, ROOMY, settings
from tests.fakes import (
    FakeData,
    FakeEncoder,
    FakeFeedGateway,
    FakeInstruments,
    FakeJournal,
    FakeOrderGateway,
    FakeSessionGateway,
    loop_clock,
    quiet,
)

SHARD: Final = "0001"
MAIN: Final = SessionName("main")
ACCOUNT: Final = AccountId("DU1234567")
OTHER: Final = AccountId("DU7654321")
CONID: Final = INSTRUMENT.conid
BROKER_ID: Final = BrokerOrderId("245323648")
POLICY: Final = RiskPolicy(
    version=1,
    defaults={**ROOMY, **settings({"broker_messages.o163": Answer.ACCEPT})},
    groups={"desk": Level()},
    accounts={ACCOUNT: Level(groups=("desk",))},
)
TICKET: Final = Ticket(
    account=ACCOUNT,
    client_order_id=ClientOrderId("mine-1"),
    conid=CONID,
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(10),
    limit_price=Decimal(100),
    tif=TimeInForce.DAY,
)

ACK: Final = Outcome(kind=OutcomeKind.ACK, broker_order_id=BROKER_ID, status="PreSubmitted")
TIMEOUT: Final = Outcome(
    kind=OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer in 12,000 ms")
)
REFUSED: Final = Outcome(
    kind=OutcomeKind.REFUSED, reason=Reason(code="BAD_PRICE", message="bad price")
)
ASKED: Final = Outcome(
    kind=OutcomeKind.QUESTION,
    question=Question(
        question_id=QuestionId("q-1"), message_ids=(MessageId("o163"),), texts=("Sure?",)
    ),
)


def submit_request(ticket: Ticket = TICKET, *, exchange: str | None = None) -> SubmitRequest:
    """Make the request for a ticket; one without a conid names its contract by symbol."""
    digest = hashlib.sha256(repr((ticket, exchange)).encode()).hexdigest()
    query = None
    if not ticket.conid:
        query = ContractQuery(symbol=ticket.symbol, sec_type=ticket.sec_type, exchange=exchange)
    return SubmitRequest(ticket=ticket, query=query, request_sha256=digest)


def keyed(key: str, ticket: Ticket = TICKET) -> Ticket:
    return replace(ticket, client_order_id=ClientOrderId(key))


def coid(number: int, *, epoch: int = 1) -> Coid:
    """Return the id on the wire of the `number`-th order."""
    return make_coid(SHARD, epoch, number)


def row(
    status: BrokerStatus | None = BrokerStatus.SUBMITTED,
    *,
    coid: Coid | None = None,
    broker_id: BrokerOrderId = BROKER_ID,
    account: AccountId = ACCOUNT,
    filled: int | None = None,
) -> OrderRow:
    return OrderRow(
        account=account,
        broker_order_id=broker_id,
        coid=coid,
        status=status,
        filled_quantity=None if filled is None else Decimal(filled),
    )


def fill(
    name: str,
    quantity: int,
    *,
    coid: Coid | None = None,
    broker_id: BrokerOrderId | None = BROKER_ID,
    account: AccountId = ACCOUNT,
    commission: str | None = None,
) -> Execution:
    return Execution(
        execution_id=ExecutionId(f"0000dc8f.{name}.01.01"),
        account=account,
        broker_order_id=broker_id,
        coid=coid,
        conid=CONID,
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(100),
        commission=None if commission is None else Decimal(commission),
        at_ms=1_763_812_800_000,
    )


@dataclass
class Line:
    """The fakes of one session."""

    orders: FakeOrderGateway
    session: FakeSessionGateway
    feed: FakeFeedGateway
    instruments: FakeInstruments
    data: FakeData


@dataclass
class House:
    """An engine without its outer walls: no file, no socket, no API."""

    journal: FakeJournal = field(default_factory=FakeJournal)
    policy: RiskPolicy = POLICY
    drains: int = 0
    chance: random.Random | None = None
    restart: Restart | None = None

    def __post_init__(self) -> None:
        self.clock = loop_clock()
        self.dispatcher = Dispatcher(chance=self.chance)
        self.watched = WatchedJournal(self.journal)
        self.board = Switchboard(
            journal=self.watched, views=Views(PACKING), shard=SHARD, clock=self.clock
        )
        self.encoder = FakeEncoder()
        self.spawner = Spawner(
            dispatcher=self.dispatcher,
            clock=self.clock,
            switchboard=self.board,
            encoder=self.encoder,
        )
        self.supervisor = Supervisor(
            dispatcher=self.dispatcher,
            clock=self.clock,
            switchboard=self.board,
            spawner=self.spawner,
            policy=self.policy,
            restart=self.restart,
            chance=random.Random(1),
        )
        self.gateways: dict[SessionName, str] = {}
        self.bridge = EngineBridge(
            supervisor=self.supervisor,
            switchboard=self.board,
            clock=self.clock,
            shard=SHARD,
            encoder=self.encoder,
            gateways=self.gateways,
            on_drain=self._drained,
        )
        self.watched.on_commit = self.bridge.journal_advanced
        self.watched.on_failure = self.bridge.journal_failed
        self.lines: dict[SessionName, Line] = {}

    def _drained(self) -> None:
        self.drains += 1

    def add(
        self,
        name: SessionName = MAIN,
        accounts: Sequence[AccountId] = (ACCOUNT,),
        *,
        listed: bool = True,
        conids: tuple[ConId, ...] = (CONID,),
    ) -> Line:
        """Configure a session; without `listed` it takes all accounts of its login."""
        line = Line(
            orders=FakeOrderGateway(),
            session=FakeSessionGateway(accounts, self.clock),
            feed=FakeFeedGateway(),
            instruments=FakeInstruments(INSTRUMENT),
            data=FakeData(),
        )
        self.lines[name] = line
        self.gateways[name] = f"https://{name}.invalid:5000"
        self.supervisor.add_session(
            SessionParts(
                settings=SessionSettings(
                    name=name,
                    mode=Mode.PAPER,
                    accounts=tuple(accounts) if listed else None,
                    compete_once=False,
                    suppress=(),
                ),
                session_gateway=line.session,
                order_gateway=line.orders,
                feed_gateway=line.feed,
                instrument_gateway=line.instruments,
                data_gateway=line.data,
                conids=conids,
            )
        )
        line.feed.quotes[CONID] = self.quote()
        return line

    def quote(self) -> Quote:
        return replace(QUOTE, received_ns=self.clock.monotonic_ns())

    async def start(self) -> None:
        """Replay the journal, log in, and be ready."""
        self.supervisor.rebuild(await Snapshots(self.watched, records=1_000).rebuild())
        self.supervisor.start()
        self.bridge.started = True
        await quiet()

    @property
    def line(self) -> Line:
        return self.lines[MAIN]

    async def submit(self, ticket: Ticket = TICKET) -> OrderView:
        self.line.feed.quotes[CONID] = self.quote()
        result = await self.bridge.submit(submit_request(ticket))
        assert isinstance(result, Submitted)
        await quiet()
        return self.bridge.order(result.order.order_id)

    async def work(self, ticket: Ticket = TICKET, *, outcome: Outcome = ACK) -> OrderView:
        """Submit an order and let the broker answer so."""
        view = await self.submit(ticket)
        self.line.orders.answer(outcome)
        await quiet()
        return self.bridge.order(view.order_id)


async def ready_house(
    records: Sequence[Recorded] = (), *, epoch: int = 1, accounts: Sequence[AccountId] = (ACCOUNT,)
) -> House:
    """Start an engine of one session, on an empty journal or on these records."""
    house = House(journal=FakeJournal(records, epoch=epoch))
    house.add(accounts=accounts)
    await house.start()
    assert house.bridge.health().ready
    return house
