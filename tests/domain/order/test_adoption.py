"""Somebody else's order becomes one of ours: what its row has to say, and what comes of it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    AdoptOrder,
    CancelOrder,
    ForgetOrder,
    LearnAlias,
    OrderMessage,
    RecordFailed,
    WriteRecord,
)
from engine.domain.order.adoption import obstacle_of, ticket_of, unsaid_terms
from engine.domain.values import (
    BrokerStatus,
    ClientOrderId,
    Coid,
    OrderRow,
    OrderState,
    OrderType,
    Pending,
    Reason,
    Side,
    Ticket,
    TimeInForce,
)
from tests.domain.order.samples import (
    ACCOUNT,
    BROKER_ID,
    CANCEL,
    CANCEL_AT_BROKER,
    CONID,
    ORDER_ID,
    SESSION,
    Played,
    anomalies,
    filled,
    seen,
)

ROW = OrderRow(
    account=ACCOUNT,
    broker_order_id=BROKER_ID,
    coid=Coid("by hand"),
    conid=CONID,
    side=Side.BUY,
    total_quantity=Decimal(10),
    filled_quantity=Decimal(0),
    status=BrokerStatus.SUBMITTED,
    symbol="AAPL",
    order_type="LMT",
    limit_price=Decimal(100),
    tif="GTC",
)
ADOPT = AdoptOrder(order_id=ORDER_ID, session=SESSION, row=ROW, by="ops")


def adopted(message: AdoptOrder = ADOPT) -> Played:
    played = Played()
    played.tell(message)
    played.commit(AdoptOrder)
    return played


def test_the_ticket_says_what_the_row_says() -> None:
    assert ticket_of(ROW) == Ticket(
        account=ACCOUNT,
        client_order_id=ClientOrderId(f"adopted-{BROKER_ID}"),
        conid=CONID,
        symbol="AAPL",
        side=Side.BUY,
        type=OrderType.LMT,
        quantity=Decimal(10),
        limit_price=Decimal(100),
        tif=TimeInForce.GTC,
    )


@pytest.mark.parametrize(
    ("lacks", "told"),
    [
        ({"conid": None}, "contract"),
        ({"side": None}, "side"),
        ({"total_quantity": None}, "quantity"),
        ({"order_type": None}, "type"),
        ({"order_type": "Box Top"}, "Box Top"),
    ],
)
def test_an_order_of_which_too_little_is_known_cannot_be_adopted(
    lacks: dict[str, object], told: str
) -> None:
    obstacle = obstacle_of(replace(ROW, **lacks))  # type: ignore[arg-type] # fields of OrderRow

    assert obstacle is not None
    assert obstacle.code == "UNADOPTABLE"
    assert told in obstacle.message
    assert obstacle_of(ROW) is None


@pytest.mark.parametrize(
    ("shows", "unsaid"),
    [
        ({}, ()),
        ({"order_type": "MKT", "limit_price": None}, ()),
        ({"limit_price": None}, ("limit price",)),
        ({"order_type": "STOP_LIMIT"}, ("stop price",)),
        ({"tif": "CLOSE"}, ("time in force",)),
        ({"order_type": "TRAIL"}, ("trailing amount, cap price or offset",)),
    ],
)
def test_what_a_change_would_have_to_repeat_is_named(
    shows: dict[str, object], unsaid: tuple[str, ...]
) -> None:
    assert unsaid_terms(replace(ROW, **shows)) == unsaid  # type: ignore[arg-type] # of OrderRow


def test_an_adopted_order_is_where_the_broker_shows_it() -> None:
    played = Played()

    effects = played.tell(ADOPT)
    committed = played.commit(AdoptOrder)

    view = played.order.view()
    assert effects == (
        WriteRecord(record=ADOPT, view=view, confirm=True),
        LearnAlias(order_id=ORDER_ID, account=ACCOUNT, broker_order_id=BROKER_ID),
    )
    assert committed == ()
    assert (view.state, view.adopted, view.coid, view.broker_order_id) == (
        OrderState.WORKING,
        True,
        None,
        BROKER_ID,
    )


def test_an_adopted_order_that_nobody_wants_is_cancelled_once_that_is_durable() -> None:
    played = Played()

    before = played.tell(replace(ADOPT, cancel=True))
    sent = played.commit(AdoptOrder)

    assert CANCEL_AT_BROKER not in before
    assert CANCEL_AT_BROKER in sent
    assert played.order.pending is Pending.CANCEL


def test_an_adopted_order_is_cancelled_like_any_other() -> None:
    played = adopted()

    played.tell(CANCEL)

    assert CANCEL_AT_BROKER in played.commit(CancelOrder)


def test_an_adoption_that_cannot_be_written_never_was() -> None:
    played = Played()
    played.tell(ADOPT)
    full = Reason(code="JOURNAL_FULL", message="the disk is full")

    effects = played.tell(RecordFailed(order_id=ORDER_ID, record=AdoptOrder.__name__, reason=full))

    assert ForgetOrder(order_id=ORDER_ID, account=ACCOUNT) in effects
    assert played.tell(CANCEL) == ()


@pytest.mark.parametrize(
    ("news", "state"),
    [
        ((filled(1, 10),), OrderState.FILLED),
        ((filled(1, 4),), OrderState.PARTIALLY_FILLED),
        ((seen(BrokerStatus.CANCELLED, filled=0),), OrderState.CANCELLED),
        ((seen(BrokerStatus.FILLED, filled=10), filled(1, 10)), OrderState.FILLED),
    ],
)
def test_news_of_an_adopted_order_is_taken_as_of_any_other(
    news: tuple[OrderMessage, ...], state: OrderState
) -> None:
    played = adopted()

    for message in news:
        played.tell(message)

    assert played.order.state is state
    assert played.replayed().view() == played.order.view()


def test_what_had_filled_before_it_was_adopted_need_not_be_shown_for_its_end() -> None:
    """The executions of another day are not listed any more."""
    played = adopted(replace(ADOPT, row=replace(ROW, filled_quantity=Decimal(4))))

    played.tell(filled(1, 6))
    played.tell(seen(BrokerStatus.FILLED, filled=10))

    assert played.order.state is OrderState.FILLED


@pytest.mark.parametrize(
    ("end", "counted", "shown", "left", "state"),
    [
        (BrokerStatus.FILLED, 10, 4, 3, OrderState.FILLED),
        (BrokerStatus.CANCELLED, 8, 2, 3, OrderState.CANCELLED),
    ],
)
def test_what_had_filled_before_it_was_adopted_counts_once_where_it_is_shown(
    end: BrokerStatus, counted: int, shown: int, left: int, state: OrderState
) -> None:
    played = adopted(replace(ADOPT, row=replace(ROW, filled_quantity=Decimal(3))))
    before = filled(1, 3)
    played.tell(replace(before, execution=replace(before.execution, at_ms=0)))

    played.tell(filled(2, shown))
    played.tell(seen(end, filled=counted))
    waits = played.order.state, played.order.needs_lookup
    played.tell(filled(3, left))

    assert waits == (OrderState.PARTIALLY_FILLED, True)
    assert (played.order.state, played.order.view().filled_quantity) == (
        state,
        Decimal(3 + shown + left),
    )


def test_a_restart_finds_an_adopted_order_by_the_brokers_id_and_looks_for_nothing() -> None:
    effects = adopted().replayed().resume(9_000)

    assert effects == (LearnAlias(order_id=ORDER_ID, account=ACCOUNT, broker_order_id=BROKER_ID),)


def test_an_adopted_order_answers_no_question_with_yes() -> None:
    assert adopted().order.questions.answers == {}
    assert anomalies(tuple(adopted().effects)) == []
