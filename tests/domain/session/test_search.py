"""A whole session that looks for an order: when it says that there is none, and when not.

Each trap is a broker that hides the order, or an engine that knows too little: none of
them may lead to a proof.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.messages import (
    CallGateway,
    DeliverNews,
    FailureKind,
    OrderChanged,
    OrdersRead,
    ParkOrder,
    PositionsRead,
    ProveAbsent,
    RequestLookup,
    RowsStreamed,
    SessionCall,
    StartTimer,
    StopLookup,
    StreamLost,
    TimerFired,
    TradesRead,
)
from engine.domain.session import LOOKUP_HEALTHY_MS_MAX, Effect, ObserveVisibility, calendar_of
from engine.domain.session.absence import HORIZON_MS_MIN
from engine.domain.session.effects import View
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    ConId,
    Evidence,
    Execution,
    ExecutionId,
    OrderId,
    OrderRow,
    OrderState,
    Position,
    SessionState,
    Side,
)
from engine.domain.views import OrderView
from tests.domain.risk.samples import view
from tests.domain.session.told import (
    ACCOUNT,
    NAME,
    ONE,
    POSITIONS,
    SETTINGS,
    UP,
    Told,
    calls,
    failed,
    read,
)

CONID = ConId(265598)
COID = Coid("EX0001-1-1-F1")
STANDING = BrokerOrderId("7")
ENDED = BrokerOrderId("6")
HOUR_MS = 3_600_000


def row(
    broker_id: BrokerOrderId = STANDING,
    *,
    filled: int = 0,
    status: BrokerStatus = BrokerStatus.SUBMITTED,
    coid: str | None = "somebody's",
    conid: int = 8314,
    side: Side = Side.BUY,
) -> OrderRow:
    return OrderRow(
        account=ACCOUNT,
        broker_order_id=broker_id,
        coid=None if coid is None else Coid(coid),
        conid=ConId(conid),
        side=side,
        status=status,
        filled_quantity=Decimal(filled),
    )


OURS = row(BrokerOrderId("9"), coid=COID, conid=CONID)
OVER = row(ENDED, status=BrokerStatus.CANCELLED, coid="coid-1")
"""An order of ours that has ended."""


def our_view(broker_id: BrokerOrderId, state: OrderState, *, updated_at_ns: int = 0) -> OrderView:
    return replace(
        view(1, seq=1),
        account=ACCOUNT,
        broker_order_id=broker_id,
        state=state,
        filled_quantity=Decimal(0),
        updated_at_ns=updated_at_ns,
    )


def execution(name: str, at_ms: int, quantity: int = 5) -> Execution:
    return Execution(
        execution_id=ExecutionId(f"{name}.01"),
        account=ACCOUNT,
        broker_order_id=STANDING,
        coid=None,
        conid=CONID,
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(1),
        commission=None,
        at_ms=at_ms,
    )


def holding(told: Told, quantity: int) -> PositionsRead:
    position = Position(
        account=ACCOUNT,
        conid=CONID,
        symbol="AAPL",
        quantity=Decimal(quantity),
        average_price=None,
        market_price=None,
        market_value=None,
        unrealized_pnl=None,
        currency="USD",
    )
    return replace(POSITIONS, positions=(position,), started_ns=told.now_ns, ended_ns=told.now_ns)


class Hunt:
    """A session that has seen a standing order, and then looks for one that it just sent."""

    def __init__(self, told: Told | None = None, **request: Any) -> None:
        self.told = Told().ready() if told is None else told
        self.rows: Callable[[], Sequence[OrderRow]] = lambda: (row(filled=self.shown),)
        self.executions: tuple[Execution, ...] = ()
        self.filled = self.shown = 0
        self.held: int | None = 10
        self.lags: list[int] = []
        self.told.tell(RowsStreamed(rows=(row(),)))
        self.cycle(), self.cycle()
        wanted = RequestLookup(
            order_id=ONE,
            session=NAME,
            account=ACCOUNT,
            coid=COID,
            conid=CONID,
            side=Side.BUY,
            sent_at_ns=self.told.wall_ns,
            session_epoch=self.told.session.epoch,
            provable=True,
        )
        self.request = replace(wanted, **request)
        self.sent_ns = self.told.now_ns
        self.told.wait(12_000).tell(self.request)

    @property
    def elapsed_ms(self) -> int:
        return (self.told.now_ns - self.sent_ns) // 1_000_000

    def change(self, *, shown: bool = True) -> None:
        """The standing order fills a little, and the stream tells it."""
        self.filled += 1
        self.told.tell(RowsStreamed(rows=(row(filled=self.filled),)))
        if shown:
            self.shown = self.filled

    def appear(self, *rows: OrderRow) -> None:
        """From now on the list shows these, too, and the stream has told of them."""
        self.told.tell(RowsStreamed(rows=rows))
        before = self.rows
        self.rows = lambda: (*before(), *rows)

    def cycle(self, *, wait_ms: int = 5_000, **orders: Any) -> tuple[Effect, ...]:
        """Let one pair of reads be made and answered, and the keep-alive behind it."""
        effects = self.told.wait(wait_ms).tell(TimerFired(name="poll"))
        (call,) = (
            one
            for one in effects
            if isinstance(one, CallGateway) and one.call is SessionCall.ORDERS
        )
        rows = () if call.force else tuple(self.rows())
        answer = OrdersRead(rows=rows, snapshot=not call.force, forced=call.force)
        effects = (*effects, *self.told.tell(replace(answer, **orders)))
        effects = (*effects, *self.told.tell(TradesRead(executions=self.executions)))
        if SessionCall.TICKLE in calls(effects):
            effects = (*effects, *self.told.tell(read(UP, SessionCall.TICKLE)))
        if self.held is not None:
            self.told.tell(holding(self.told, self.held))
        seen = (one for one in effects if isinstance(one, ObserveVisibility))
        self.lags += [one.after_ms for one in seen if one.view is View.ORDERS]
        return effects

    def go_on(self, until_ms: int = 240_000, **orders: Any) -> ProveAbsent | ParkOrder | None:
        """Read on until it is judged; None when that takes longer than `until_ms`."""
        while self.elapsed_ms < until_ms:
            for effect in self.cycle(**orders):
                if isinstance(effect, ProveAbsent | ParkOrder):
                    return effect
        return None


def evidence_of(judged: ProveAbsent | ParkOrder | None) -> Evidence:
    assert judged is not None
    assert judged.evidence is not None
    return judged.evidence


def test_an_order_that_no_fresh_list_shows_for_long_enough_is_proven_absent() -> None:
    hunt = Hunt()
    hunt.change()

    judged = hunt.go_on()

    evidence = evidence_of(judged)
    assert isinstance(judged, ProveAbsent)
    assert judged.order_id == ONE
    assert evidence.missing == ()
    assert evidence.canaries == (STANDING,)
    assert evidence.same_login
    assert evidence.list_reads >= 3
    assert evidence.trade_reads >= 2
    assert evidence.horizon_ms == 12_000 + HORIZON_MS_MIN
    assert evidence.horizon_ms <= evidence.elapsed_ms <= evidence.horizon_ms + 15_000


def test_what_a_person_answered_long_after_it_was_sent_is_awaited_from_then_on() -> None:
    told = Told().ready()
    sent_at_ns = told.wall_ns
    hunt = Hunt(told.wait(150_000), sent_at_ns=sent_at_ns)
    hunt.change()

    early = hunt.go_on(until_ms=12_000 + HORIZON_MS_MIN)
    judged = hunt.go_on()

    assert early is None
    assert isinstance(judged, ProveAbsent)
    assert evidence_of(judged).horizon_ms >= 150_000 + HORIZON_MS_MIN


def test_what_was_looked_at_so_far_can_be_asked_for_before_it_amounts_to_anything() -> None:
    hunt = Hunt()
    hunt.change()
    search = hunt.told.session._search
    hunt.cycle(), hunt.cycle()
    later_ns = hunt.told.now_ns + 1_000_000_000

    so_far = search.evidence(ONE, later_ns)

    assert so_far == Evidence(
        elapsed_ms=hunt.elapsed_ms + 1_000,
        healthy_ms=10_000,
        horizon_ms=12_000 + HORIZON_MS_MIN,
        list_reads=1,
        trade_reads=2,
        canaries=(STANDING,),
        same_login=True,
        positions_agree=None,
        missing=(
            "1 of 3 reads of the order list count",
            "the positions of the account were not read since",
            "the last list that counts was read 22000 of 86000 ms after it was sent",
        ),
    )
    assert search.evidence(OrderId("1-99"), later_ns) is None


def test_a_proven_order_is_not_looked_for_any_more() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.go_on()

    effects = hunt.cycle()

    assert StartTimer(name="poll", delay_ms=60_000) in effects


def test_every_other_read_clears_the_brokers_cache() -> None:
    hunt = Hunt()

    forced = [
        one.force
        for _ in range(4)
        for one in hunt.cycle()
        if isinstance(one, CallGateway) and one.call is SessionCall.ORDERS
    ]

    assert forced == [True, False, True, False]


# --- traps ----------------------------------------------------------------------------------


def parked(hunt: Hunt, **orders: Any) -> Evidence:
    """Read on, see that nothing is proven, and return what a proof lacks."""
    judged = hunt.go_on(**orders)
    assert isinstance(judged, ParkOrder)
    assert judged.healthy_ms >= LOOKUP_HEALTHY_MS_MAX
    evidence = evidence_of(judged)
    assert evidence.missing
    return evidence


def test_a_frozen_list_with_a_standing_order_proves_nothing() -> None:
    hunt = Hunt()

    evidence = parked(hunt)

    assert evidence.list_reads == 0
    assert "no order of the account that changed since it was sent" in evidence.missing[0]


def test_what_a_standing_order_is_told_again_dates_no_list() -> None:
    hunt = Hunt()

    hunt.told.tell(RowsStreamed(rows=(row(),)))

    assert parked(hunt).list_reads == 0


def test_what_changed_right_after_it_was_sent_dates_no_list() -> None:
    hunt = Hunt()
    early = hunt.told.began_ns
    hunt.told.began_ns -= 3_000_000_000  # Now it is 9 s after the order was sent.
    hunt.change()
    hunt.told.began_ns = early

    assert parked(hunt).list_reads == 0


@pytest.mark.parametrize(("made_after_ms", "dates"), [(10_001, True), (10_000, False)])
def test_an_order_of_ours_dates_the_list_by_when_it_was_made(
    made_after_ms: int, *, dates: bool
) -> None:
    hunt = Hunt()
    made_ns = hunt.request.sent_at_ns + made_after_ms * 1_000_000
    ours = replace(our_view(BrokerOrderId("8"), OrderState.PENDING_NEW), created_at_ns=made_ns)
    hunt.told.tell(OrderChanged(view=ours))
    hunt.appear(row(BrokerOrderId("8")))

    assert isinstance(hunt.go_on(), ProveAbsent) is dates


def test_a_new_order_of_somebody_else_dates_no_list() -> None:
    hunt = Hunt()
    hunt.appear(row(BrokerOrderId("8")))

    assert parked(hunt).list_reads == 0


def test_a_frozen_list_that_lacks_what_the_stream_told_proves_nothing() -> None:
    hunt = Hunt()
    hunt.change(shown=False)

    evidence = parked(hunt)

    assert evidence.list_reads == 0
    assert "late or frozen" in evidence.missing[0]


def test_a_list_that_froze_after_a_change_proves_nothing_once_more_is_told() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.go_on(until_ms=40_000)
    before = hunt.told.session._search.lookups

    hunt.change(shown=False)
    evidence = parked(hunt)

    assert before
    lagging = evidence.horizon_ms > 12_000 + HORIZON_MS_MIN
    assert "late or frozen" in " ".join(evidence.missing) or lagging


def test_a_falsely_empty_list_proves_nothing() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.rows = tuple

    evidence = parked(hunt)

    assert evidence.list_reads == 0
    assert "late or frozen" in evidence.missing[0]


def test_an_empty_list_of_an_account_without_orders_proves_nothing() -> None:
    hunt = Hunt()
    hunt.rows = tuple

    assert parked(hunt).list_reads == 0


def test_a_list_of_a_new_login_proves_nothing() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.told.tell(failed(SessionCall.TRADES, FailureKind.NO_BRIDGE))
    hunt.told.ready_again()
    hunt.told.tell(RowsStreamed(rows=(row(filled=hunt.filled),)))
    hunt.cycle(), hunt.cycle()
    hunt.change()

    evidence = parked(hunt)

    assert not evidence.same_login
    assert "another login" in evidence.missing[0]


def test_a_list_of_a_new_login_that_goes_back_before_the_attempt_counts() -> None:
    hunt = Hunt()
    ended = our_view(ENDED, OrderState.CANCELLED, updated_at_ns=hunt.request.sent_at_ns - 1)
    hunt.told.tell(OrderChanged(view=ended))
    hunt.told.tell(failed(SessionCall.TRADES, FailureKind.NO_BRIDGE))
    hunt.told.ready_again()
    hunt.told.tell(RowsStreamed(rows=(row(filled=hunt.filled),)))
    hunt.appear(OVER)
    hunt.cycle(), hunt.cycle()
    hunt.change()

    judged = hunt.go_on()

    assert isinstance(judged, ProveAbsent)
    assert evidence_of(judged).same_login


@pytest.mark.parametrize(
    "reused",
    [
        row(ENDED, status=BrokerStatus.SUBMITTED, coid="coid-1"),
        row(ENDED, status=BrokerStatus.CANCELLED),
        row(ENDED, status=BrokerStatus.CANCELLED, coid=None),
    ],
)
def test_a_number_that_the_broker_gave_again_does_not_tell_the_login(reused: OrderRow) -> None:
    hunt = Hunt()
    ended = our_view(ENDED, OrderState.CANCELLED, updated_at_ns=hunt.request.sent_at_ns - 1)
    hunt.told.tell(OrderChanged(view=ended))
    hunt.told.tell(failed(SessionCall.TRADES, FailureKind.NO_BRIDGE))
    hunt.told.ready_again()
    hunt.told.tell(RowsStreamed(rows=(row(filled=hunt.filled),)))
    hunt.appear(reused)
    hunt.cycle(), hunt.cycle()
    hunt.change()

    assert "another login" in parked(hunt).missing[0]


def test_a_clock_that_was_put_back_over_a_restart_makes_no_login_the_same() -> None:
    told = Told()
    sent_at_ns = told.wall_ns + 25_000_000_000
    wanted = RequestLookup(
        order_id=ONE,
        session=NAME,
        account=ACCOUNT,
        coid=COID,
        conid=CONID,
        side=Side.BUY,
        sent_at_ns=sent_at_ns,
        session_epoch=1,
        provable=True,
    )
    told.tell(wanted)  # As a restart asks: before the first login, which is number 1 again.
    hunt = Hunt(told.ready(), sent_at_ns=sent_at_ns, session_epoch=1)
    told.wait(60_000)
    hunt.change()

    assert "another login" in parked(hunt).missing[0]


def test_an_order_that_is_shown_in_another_account_is_there() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.appear(replace(OURS, account=AccountId("F1234567")))

    assert "the broker showed it" in parked(hunt).missing


def restarted(ended_before_ms: int) -> Hunt:
    """An engine that was restarted after the attempt, an hour ago."""
    sent_at_ns = Told().wall_ns - HOUR_MS * 1_000_000
    ended_at_ns = sent_at_ns - ended_before_ms * 1_000_000
    known = our_view(ENDED, OrderState.CANCELLED, updated_at_ns=ended_at_ns)
    hunt = Hunt(Told(known=(known,)).ready(), sent_at_ns=sent_at_ns, session_epoch=1)
    hunt.appear(OVER)
    hunt.cycle()
    hunt.change()
    return hunt


def test_after_a_restart_an_ended_order_that_is_still_listed_tells_the_login() -> None:
    judged = restarted(ended_before_ms=1_000).go_on()

    assert isinstance(judged, ProveAbsent)
    assert evidence_of(judged).elapsed_ms > HOUR_MS


def test_after_a_restart_one_that_ended_later_tells_nothing() -> None:
    hunt = restarted(ended_before_ms=-1_000)

    assert "another login" in parked(hunt).missing[0]


def test_of_very_many_ended_orders_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.domain.session.search.ENDED_MAX", 1)
    hunt = restarted(ended_before_ms=1_000)
    younger = our_view(BrokerOrderId("5"), OrderState.FILLED, updated_at_ns=1)

    hunt.told.tell(OrderChanged(view=younger))

    assert "another login" in parked(hunt).missing[0]


def test_an_order_that_works_again_tells_no_login() -> None:
    hunt = restarted(ended_before_ms=1_000)

    hunt.told.tell(OrderChanged(view=our_view(ENDED, OrderState.WORKING)))

    assert "another login" in parked(hunt).missing[0]


def test_the_same_number_of_a_login_before_the_restart_is_not_the_same_login() -> None:
    told = Told().ready()
    hunt = Hunt(told, sent_at_ns=told.began_ns - 1_000_000_000, session_epoch=1)
    hunt.change()

    assert not parked(hunt).same_login


def test_a_list_that_is_late_proves_nothing_before_three_times_its_lag() -> None:
    hunt = Hunt()
    history: list[tuple[int, int]] = []

    def late() -> Sequence[OrderRow]:
        """Show the standing order as it was 30 s ago; it fills with every read."""
        hunt.change(shown=False)
        history.append((hunt.told.now_ns, hunt.filled - 1))
        shown = [filled for at_ns, filled in history if at_ns <= hunt.told.now_ns - 30_000_000_000]
        return (row(filled=shown[-1] if shown else 0),)

    hunt.rows = late
    lagging = hunt.go_on(until_ms=100_000)
    hunt.rows = lambda: (row(filled=hunt.filled),)
    judged = hunt.go_on()

    assert lagging is None
    evidence = evidence_of(judged)
    assert evidence.horizon_ms >= 90_000
    assert isinstance(judged, ProveAbsent)
    assert evidence.elapsed_ms >= evidence.horizon_ms


def test_an_order_that_is_accepted_90_seconds_late_is_found_after_all() -> None:
    hunt = Hunt()
    hunt.change()
    judged = hunt.go_on(until_ms=90_000)
    hunt.rows = lambda: (row(filled=hunt.shown), OURS)

    hunt.told.wait(30_000)
    effects = hunt.cycle()

    assert isinstance(judged, ProveAbsent)
    news = [one.rows for one in effects if isinstance(one, DeliverNews)]
    assert OURS in news[0], "the order hears of it, whatever was proven"


def test_an_order_that_is_accepted_while_it_is_looked_for_is_never_absent() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.go_on(until_ms=50_000)
    hunt.appear(OURS)

    evidence = parked(hunt)

    assert evidence.missing == ("the broker showed it",)


@pytest.mark.parametrize(
    "message",
    [
        RowsStreamed(rows=(OURS,)),
        TradesRead(executions=(replace(execution("1", 0), coid=COID),)),
    ],
)
def test_what_the_stream_or_the_trades_show_is_there_whatever_the_list_says(
    message: RowsStreamed | TradesRead,
) -> None:
    hunt = Hunt()
    hunt.change()
    hunt.told.tell(TimerFired(name="poll"), OrdersRead(rows=(), snapshot=True, forced=True))

    hunt.told.tell(message)
    if isinstance(message, RowsStreamed):
        hunt.told.tell(TradesRead(executions=()))

    assert "the broker showed it" in parked(hunt).missing


def test_a_list_with_a_row_that_cannot_be_read_proves_nothing() -> None:
    hunt = Hunt()
    hunt.change()

    judged = hunt.go_on(until_ms=HOUR_MS // 10, complete=False)

    assert judged is None, "and it is no time spent looking"


def test_a_list_that_is_as_long_as_lists_can_be_proves_nothing() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.rows = lambda: tuple(
        row(filled=hunt.shown) if number == 7 else row(BrokerOrderId(str(number)))
        for number in range(1, 1_001)
    )

    assert "cut off" in parked(hunt).missing[0]


def test_an_order_without_a_reference_that_may_be_it_prevents_a_proof() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.appear(row(BrokerOrderId("8"), coid=None, conid=CONID))

    assert "without a reference" in parked(hunt).missing[0]


@pytest.mark.parametrize(
    "other",
    [
        row(BrokerOrderId("8"), coid=None, conid=CONID, side=Side.SELL),
        row(BrokerOrderId("8"), coid=None, conid=1),
    ],
)
def test_an_order_without_a_reference_that_is_another_one_prevents_nothing(
    other: OrderRow,
) -> None:
    hunt = Hunt()
    hunt.change()
    hunt.appear(other)

    assert isinstance(hunt.go_on(), ProveAbsent)


def test_an_order_without_a_reference_that_was_there_before_prevents_nothing() -> None:
    told = Told().ready()
    older = row(BrokerOrderId("8"), coid=None, conid=CONID)
    told.tell(RowsStreamed(rows=(older,)))
    hunt = Hunt(told)
    hunt.change()
    hunt.appear(older)

    assert isinstance(hunt.go_on(), ProveAbsent)


def test_an_order_of_which_something_was_seen_is_never_proven_absent() -> None:
    hunt = Hunt(provable=False)
    hunt.change()

    assert "it was seen before, or a change of it is open" in parked(hunt).missing


def test_near_a_reset_nothing_is_proven() -> None:
    night = int(datetime.fromisoformat("2026-11-23T00:48:00-05:00").timestamp()) * 1_000_000_000
    calendar = calendar_of("america")
    hunt = Hunt(Told(replace(SETTINGS, calendar=calendar), wall_ns=night).ready())
    hunt.change()

    judged = hunt.go_on()

    assert isinstance(judged, ParkOrder)
    assert "within 10 minutes" in evidence_of(judged).missing[0]


def test_while_the_stream_is_away_nothing_is_proven() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.told.tell(StreamLost(reason="cut"))

    judged = hunt.go_on(until_ms=600_000)

    assert hunt.told.session.state is SessionState.DEGRADED
    assert judged is None


def test_trades_that_lack_what_the_stream_told_prove_nothing() -> None:
    hunt = Hunt()
    hunt.change()
    hunt.told.tell(RowsStreamed(rows=(), executions=(ExecutionId("0001.01"),)))

    evidence = parked(hunt)

    assert evidence.trade_reads == 0
    assert evidence.horizon_ms > 180_000, "they may be as late as that"


# --- positions ------------------------------------------------------------------------------


def held(before: int, after: int | None, *executions: int) -> Hunt:
    """A hunt in an account that held so many before, and 40 s after."""
    told = Told().ready()
    told.tell(holding(told, before))
    hunt = Hunt(told)
    hunt.held = None
    hunt.change()
    at_ms = hunt.told.wall_ns // 1_000_000 + 5_000
    hunt.executions = tuple(
        execution(f"{number}", at_ms, quantity) for number, quantity in enumerate(executions)
    )
    hunt.told.tell(RowsStreamed(rows=(), executions=tuple(e.execution_id for e in hunt.executions)))
    assert hunt.go_on(until_ms=40_000) is None
    hunt.held = after
    return hunt


def test_positions_that_did_not_move_agree() -> None:
    judged = held(10, 10).go_on()

    assert isinstance(judged, ProveAbsent)
    assert evidence_of(judged).positions_agree is True


def test_positions_that_moved_by_what_is_known_agree() -> None:
    assert isinstance(held(10, 18, 5, 3).go_on(), ProveAbsent)


def test_positions_that_moved_by_more_than_is_known_prevent_a_proof() -> None:
    evidence = parked(held(10, 19, 5, 3))

    assert evidence.positions_agree is False
    assert evidence.missing == (
        "the positions of the account moved by more than the executions known",
    )


def test_positions_that_were_read_before_have_to_be_read_again() -> None:
    evidence = parked(held(10, None))

    assert evidence.missing == ("the positions of the account were not read since",)


# --- afterwards -----------------------------------------------------------------------------


def test_a_parked_order_is_looked_for_on_and_on_and_may_be_proven_later() -> None:
    hunt = Hunt()
    parked(hunt)
    slow = hunt.cycle()

    hunt.change()
    judged = hunt.go_on(until_ms=600_000)

    assert StartTimer(name="poll", delay_ms=30_000) in slow
    assert isinstance(judged, ProveAbsent)


def test_a_parked_order_is_parked_once() -> None:
    hunt = Hunt()
    parked(hunt)

    assert hunt.go_on(until_ms=900_000) is None


def test_who_needs_no_search_any_more_ends_it() -> None:
    hunt = Hunt()

    hunt.told.tell(StopLookup(order_id=ONE, session=NAME))
    effects = hunt.cycle()

    assert StartTimer(name="poll", delay_ms=60_000) in effects


def test_an_order_that_begins_to_work_does_not_slow_the_search_down() -> None:
    hunt = Hunt()
    unnamed = replace(our_view(STANDING, OrderState.WORKING), broker_order_id=None)

    assert hunt.told.tell(OrderChanged(view=unnamed), OrderChanged(view=unnamed)) == ()


def test_the_time_until_a_list_shows_an_acknowledged_order_is_measured() -> None:
    hunt = Hunt()
    other = BrokerOrderId("8")
    hunt.told.tell(OrderChanged(view=our_view(other, OrderState.PENDING_NEW)))

    hunt.cycle(), hunt.cycle()
    hunt.rows = lambda: (row(filled=hunt.shown), row(other))
    hunt.cycle(), hunt.cycle()

    assert hunt.lags == [20_000]
