"""Whether the broker and the engine agree on what an account holds."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    AccountReconciled,
    ExternalWorking,
    OrderChanged,
    PositionsRead,
    ReadAccount,
    ReconcileAccount,
    ReportAnomaly,
    ResumeScope,
    StartTimer,
    TimerFired,
    WriteReconciled,
)
from engine.domain.risk import AccountRisk, Code, HaltAccount, LastReconciled, RiskEffect
from engine.domain.risk.exposure import NO_DOUBT, Doubt, Exposure
from engine.domain.values import (
    BrokerOrderId,
    ConId,
    OrderRow,
    OrderState,
    PositionBreak,
    Reconciliation,
    Side,
    TradingState,
)
from tests.domain.risk.samples import (
    ACCOUNT,
    BUY,
    CONID,
    FIRM,
    INSTRUMENT,
    MINE,
    NOW_NS,
    READY,
    RECONCILED,
    SECOND,
    SELL,
    SESSION,
    filled,
    halt,
    limits,
    position,
    read,
    ready_risk,
    refusal,
    request,
    view,
)

OTHER = ConId(8314)
THIRD = ConId(8315)
AGAIN = StartTimer(name="reconcile", delay_ms=5_100)
OVER = TimerFired(name="reconcile")
RESUME = ResumeScope(scope=MINE, reason="assigned, it is right", by="ops")
SOLD = PositionBreak(conid=CONID, symbol="AAPL", expected=Decimal(100), found=Decimal(60))


def reconciled(
    result: Reconciliation,
    *positions: tuple[ConId, int],
    breaks: tuple[PositionBreak, ...] = (),
    epoch: int = 1,
) -> AccountReconciled:
    return AccountReconciled(
        account=ACCOUNT,
        session=SESSION,
        epoch=epoch,
        result=result,
        orders=0,
        executions=0,
        positions=tuple((conid, Decimal(quantity)) for conid, quantity in positions),
        breaks=breaks,
    )


def written(effects: Iterable[RiskEffect]) -> list[AccountReconciled]:
    return [effect.reconciled for effect in effects if isinstance(effect, WriteReconciled)]


def halts(effects: Iterable[RiskEffect]) -> list[HaltAccount]:
    return [effect for effect in effects if isinstance(effect, HaltAccount)]


def statuses(risk: AccountRisk, *reads: PositionsRead) -> list[str]:
    found = []
    for one in reads:
        risk.handle(one)
        found.append(risk.reconciliation.value)
    return found


def after_restart(*positions: tuple[ConId, int], seconds_ago: int = 3_600) -> AccountRisk:
    """Make a risk that knows what was agreed on before, and a session that logs in."""
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    last = reconciled(Reconciliation.CLEAN, *positions)
    risk.handle(LastReconciled(reconciled=last, at_ns=NOW_NS - seconds_ago * SECOND))
    risk.handle(READY)
    return risk


# --- at a login ------------------------------------------------------------------------------


def test_nothing_passes_until_all_was_read_and_the_account_says_what_is_missing() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(READY)
    found = []

    for number, step in enumerate(("positions", "orders", "trades", "funds", ""), start=1):
        risk.handle(replace(RECONCILED, step=step, done=not step))
        if step == "positions":
            risk.handle(read())
        shown = risk.account_view(NOW_NS)
        found.append((shown.reconciliation.value, shown.reconcile_step, shown.ready))
        refused = refusal(risk, request(number))
        assert refused == (Code.ACCOUNT_NOT_RECONCILED if step else None)

    assert found == [
        ("pending", "positions", False),
        ("pending", "orders", False),
        ("pending", "trades", False),
        ("pending", "funds", False),
        ("clean", "", True),
    ]


def test_the_first_comparison_of_a_login_is_written_and_others_are_not() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(READY)
    risk.handle(read(position(100)))
    done = replace(RECONCILED, orders=3, executions=7)

    first = risk.handle(done)
    later = (*risk.handle(read(position(100), second=30)), *risk.handle(done))

    record = replace(reconciled(Reconciliation.CLEAN, (CONID, 100)), orders=3, executions=7)
    assert first == (WriteReconciled(reconciled=record),)
    assert later == ()


def test_a_new_login_is_compared_anew_and_its_orders_wait_meanwhile() -> None:
    risk = ready_risk(position(100))
    again = replace(READY, epoch=2)

    risk.handle(again)
    waiting = refusal(risk, request(1)), risk.sending_refusal(BUY)
    risk.handle(RECONCILED)  # Of the login before.
    still = refusal(risk, request(2))
    risk.handle(replace(RECONCILED, epoch=2, step="positions", done=False))
    risk.handle(read(position(100), second=60))
    effects = risk.handle(replace(RECONCILED, epoch=2))

    code, reason = waiting
    assert code == still == Code.ACCOUNT_NOT_RECONCILED
    assert reason is not None
    assert reason.code == Code.ACCOUNT_NOT_RECONCILED
    assert written(effects) == [reconciled(Reconciliation.CLEAN, (CONID, 100), epoch=2)]
    assert refusal(risk, request(3)) is None
    assert risk.sending_refusal(BUY) is None


def test_a_read_of_the_login_before_is_not_compared() -> None:
    risk = ready_risk(position(100))
    risk.handle(replace(READY, epoch=2))

    effects = risk.handle(replace(RECONCILED, epoch=2))

    assert effects == ()
    assert risk.account_view(NOW_NS).reconcile_step == "positions"
    assert refusal(risk, request(1)) == Code.ACCOUNT_NOT_RECONCILED


def test_reads_that_begin_anew_in_the_same_login_are_waited_for() -> None:
    risk = ready_risk(position(100))

    risk.handle(replace(RECONCILED, step="orders", done=False))
    waiting = refusal(risk, request(1))
    risk.handle(read(position(100), second=30))
    risk.handle(RECONCILED)

    assert waiting == Code.ACCOUNT_NOT_RECONCILED
    assert refusal(risk, request(2)) is None


def test_without_anything_to_compare_with_the_broker_is_believed() -> None:
    risk = AccountRisk(ACCOUNT, SESSION, limits())
    risk.handle(filled("before", 70, second=-4_000))
    risk.handle(READY)
    risk.handle(read(position(100)))

    effects = risk.handle(RECONCILED)

    assert written(effects) == [reconciled(Reconciliation.CLEAN, (CONID, 100))]
    assert risk.exposure(CONID).position == 100


@pytest.mark.parametrize("told", ["before", "between", "after"])
def test_after_a_restart_all_executions_since_explain_what_is_held(told: str) -> None:
    """Whoever's they were, and whenever they are told."""
    risk = after_restart((CONID, 100))
    ours = filled("ours", 30, number=1, second=-1_800)
    theirs = filled("theirs", 50, second=-900, side=Side.SELL)
    if told == "before":
        risk.handle(ours)
        risk.handle(theirs)
    risk.handle(read(position(80)))
    if told == "between":
        risk.handle(ours)
        risk.handle(theirs)
    effects = risk.handle(RECONCILED)
    if told == "after":
        assert risk.reconciliation is Reconciliation.PENDING
        risk.handle(ours)
        risk.handle(theirs)
        effects = risk.handle(read(position(80), second=6))

    assert written(effects) == [reconciled(Reconciliation.CLEAN, (CONID, 80))]


def test_what_is_in_the_record_already_is_not_counted_again() -> None:
    risk = after_restart((CONID, 100))
    risk.handle(filled("old", 100, second=-7_200))
    risk.handle(read(position(100)))

    risk.handle(RECONCILED)

    assert risk.reconciliation is Reconciliation.CLEAN


def test_a_difference_after_a_restart_is_read_a_second_time_and_then_a_break() -> None:
    risk = after_restart((CONID, 100))
    risk.handle(read(position(60)))

    first = risk.handle(RECONCILED)
    waiting = risk.account_view(NOW_NS)
    refused = refusal(risk, request(1))
    asked = risk.handle(OVER)
    too_early = risk.handle(read(position(60), second=4))
    second = risk.handle(read(position(60), second=6))

    assert first == (
        ReportAnomaly(
            machine="risk",
            kind="position_differs",
            detail="account=DU1234567 conid=265598 expected=100 broker=60",
        ),
        AGAIN,
    )
    assert waiting.reconcile_step == "positions differ and are read again"
    assert refused == Code.ACCOUNT_NOT_RECONCILED
    assert asked == (ReadAccount(account=ACCOUNT),)
    assert written(too_early) == []
    assert second == (
        WriteReconciled(reconciled=reconciled(Reconciliation.BREAKS, (CONID, 100), breaks=(SOLD,))),
        HaltAccount(
            account=ACCOUNT,
            reason="the broker's holdings differ from what orders and trades explain: AAPL "
            "(265598) should be 100 and is 60; check, then resume the account to accept the "
            "broker's figures",
        ),
    )


def test_a_difference_that_the_second_answer_does_not_show_was_none() -> None:
    risk = after_restart((CONID, 100))
    risk.handle(read(position(60)))
    risk.handle(RECONCILED)

    effects = risk.handle(read(position(100), second=6))

    assert effects == (WriteReconciled(reconciled=reconciled(Reconciliation.CLEAN, (CONID, 100))),)
    assert risk.handle(OVER) == ()


# --- while it trades ---------------------------------------------------------------------------


def test_a_difference_is_a_break_once_it_has_stood_for_a_minute() -> None:
    risk = ready_risk(position(100))

    found = statuses(
        risk,
        read(position(60), second=30),
        read(position(60), second=60),
        read(position(60), second=90),
        read(position(60), second=91),
    )

    assert found == ["clean", "clean", "clean", "breaks"], "30 s, 59.999 s, 60.999 s"
    assert risk.account_view(NOW_NS).breaks == (SOLD,)
    assert risk.trading_state is TradingState.REDUCE_ONLY


def test_what_differs_and_is_no_break_yet_is_shown_as_being_explained() -> None:
    risk = ready_risk(position(100))
    shown = []

    for answer in (
        read(position(100), second=20),
        read(position(60), second=30),
        read(position(100), second=40),
        read(position(60), second=50),
        read(position(60), second=120),
    ):
        risk.handle(answer)
        view = risk.account_view(NOW_NS)
        shown.append((view.reconciliation, view.reconcile_step))

    explaining = (
        Reconciliation.EXPLAINING,
        "1 position differs, executions may still explain it",
    )
    assert shown == [
        (Reconciliation.CLEAN, ""),
        explaining,
        (Reconciliation.CLEAN, ""),
        explaining,
        (Reconciliation.BREAKS, ""),
    ]


def test_beside_a_break_it_is_told_how_many_more_positions_differ() -> None:
    risk = ready_risk(position(100), position(7, OTHER), position(8, THIRD))
    broken = (position(60), position(7, OTHER), position(8, THIRD))
    worse = (position(60), position(5, OTHER), position(5, THIRD))
    for answer in (read(*broken, second=30), read(*broken, second=100), read(*worse, second=110)):
        risk.handle(answer)

    view = risk.account_view(NOW_NS)

    assert (view.reconciliation, view.breaks) == (Reconciliation.BREAKS, (SOLD,))
    assert view.reconcile_step == "2 positions differ, executions may still explain it"


def test_an_answer_that_agrees_in_between_begins_the_minute_anew() -> None:
    risk = ready_risk(position(100))

    found = statuses(
        risk,
        read(position(60), second=30),
        read(position(100), second=80),
        read(position(60), second=95),
        read(position(60), second=150),
        read(position(60), second=160),
    )

    assert found == ["clean"] * 4 + ["breaks"]


def test_an_execution_that_comes_late_explains_the_difference() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(filled("late", 40, second=20, seen=70, side=Side.SELL))

    found = statuses(risk, read(position(60), second=100), read(position(60), second=200))

    assert found == ["clean", "clean"]
    assert risk.exposure(CONID).doubt == NO_DOUBT


def test_a_difference_is_read_again_soon_and_then_once_its_time_is_up() -> None:
    risk = ready_risk(position(100))

    first = risk.handle(read(position(60), second=30))
    asked = risk.handle(OVER)
    second = risk.handle(read(position(60), second=36))

    assert first[1:] == (AGAIN,)
    assert asked == (ReadAccount(account=ACCOUNT),)
    assert second == (StartTimer(name="reconcile", delay_ms=54_100),)


def test_until_a_difference_is_explained_the_position_is_anywhere_between() -> None:
    """A cache that froze must not let anything pass on what it shows."""
    risk = ready_risk(position(100))
    risk.handle(filled("a", 100, second=20, side=Side.SELL))
    risk.handle(read(position(100), second=60))
    counted = risk.exposure(CONID)

    refused = refusal(risk, replace(request(1, replace(SELL, quantity=Decimal(1))), quote=None))

    assert counted == Exposure(position=Decimal(100), doubt=Doubt(below=Decimal(100)))
    assert refused == Code.NO_REFERENCE_PRICE, "it may open a short, so it needs a price"
    (shown,) = risk.position_views(NOW_NS)
    assert [shown.lowest, shown.highest] == [0, 100]


def test_a_break_lets_only_reducing_orders_pass_in_its_account_at_once() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    effects = risk.handle(read(position(60), second=100))

    increasing = refusal(risk, request(1))
    reducing = refusal(risk, request(2, replace(SELL, quantity=Decimal(60))))
    too_much = refusal(risk, request(3, replace(SELL, quantity=Decimal(1))))

    (effect,) = halts(effects)
    assert risk.halt_of(effect) == replace(
        halt(MINE, TradingState.REDUCE_ONLY), reason=effect.reason, by="engine"
    )
    assert increasing == Code.TRADING_REDUCE_ONLY
    assert reducing is None
    assert too_much == Code.TRADING_REDUCE_ONLY, "60 is all that is surely held"


def test_a_break_invents_no_fill() -> None:
    risk = ready_risk(position(100))
    risk.request(request(1))
    risk.handle(read(position(111), second=30))

    effects = risk.handle(read(position(111), second=100))

    assert [type(effect) for effect in effects] == [WriteReconciled, HaltAccount]
    assert risk.exposure(CONID).working_buy == 10, "the order holds what it held"


def test_a_second_break_is_written_and_reported_and_the_same_one_is_not() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(read(position(60), second=100))

    same = risk.handle(read(position(60), second=130))
    risk.handle(read(position(60), position(5, OTHER), second=160))
    more = risk.handle(read(position(60), position(5, OTHER), second=230))

    assert same == ()
    (record,) = written(more)
    assert record.positions == ((CONID, Decimal(100)),)
    assert [found.conid for found in record.breaks] == [OTHER, CONID]
    (effect,) = halts(more)
    assert "(8314) should be 0 and is 5, AAPL (265598) should be 100 and is 60" in effect.reason


def test_of_many_breaks_some_are_named_and_the_others_counted() -> None:
    risk = ready_risk()
    many = [position(1, ConId(number)) for number in range(1, 8)]
    risk.handle(read(*many, second=30))

    (effect,) = halts(risk.handle(read(*many, second=100)))

    assert "(5) should be 0 and is 1, 2 more; check" in effect.reason


def test_a_break_that_is_explained_later_is_none_but_the_halt_stays() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(read(position(60), second=100))
    risk.handle(filled("late", 40, second=20, seen=110, side=Side.SELL))

    effects = risk.handle(read(position(60), second=130))

    assert written(effects) == [reconciled(Reconciliation.CLEAN, (CONID, 60))]
    assert risk.account_view(NOW_NS).breaks == ()
    assert risk.trading_state is TradingState.REDUCE_ONLY, "a person lifts it"
    assert refusal(risk, request(1, replace(SELL, quantity=Decimal(60)))) is None


# --- what an open order may have filled ---------------------------------------------------------


def test_what_an_open_order_may_have_filled_holds_up_no_login_and_counts_twice_over() -> None:
    risk = after_restart((CONID, 100))
    risk.handle(OrderChanged(view=view(1, BUY, seq=5, state=OrderState.IN_DOUBT)))
    risk.handle(read(position(104)))

    effects = risk.handle(RECONCILED)

    assert written(effects) == [reconciled(Reconciliation.CLEAN, (CONID, 100))]
    assert risk.exposure(CONID) == Exposure(
        position=Decimal(104),
        doubt=Doubt(below=Decimal(4)),
        working_buy=Decimal(10),
        orders_total=1,
        orders_buy=1,
    )
    shown = risk.account_view(NOW_NS)
    assert (shown.ready, shown.reconciled_age_ms) == (True, None), "it has not agreed yet"


@pytest.mark.parametrize(
    ("found", "side", "expected"),
    [
        (110, Side.BUY, "clean"),
        (111, Side.BUY, "breaks"),
        (99, Side.BUY, "breaks"),
        (90, Side.SELL, "clean"),
        (89, Side.SELL, "breaks"),
    ],
)
def test_only_as_much_as_it_may_fill_is_waited_for(found: int, side: Side, expected: str) -> None:
    risk = ready_risk(position(100))
    risk.request(request(1, replace(BUY, side=side)))

    *_, late = statuses(
        risk,
        read(position(found), second=30),
        read(position(found), second=100),
        read(position(found), second=320),
    )
    after = statuses(risk, read(position(found), second=331))

    assert (late, after) == (expected, ["breaks"])


def test_an_order_that_ends_without_its_fill_explains_nothing_any_more() -> None:
    risk = ready_risk(position(100))
    risk.request(request(1))
    risk.handle(read(position(110), second=30))
    risk.handle(read(position(110), second=100))

    risk.handle(OrderChanged(view=view(1, BUY, seq=9, state=OrderState.CANCELLED)))

    assert statuses(risk, read(position(110), second=101)) == ["breaks"]


def test_an_order_of_others_explains_as_much() -> None:
    risk = ready_risk(position(100))
    row = OrderRow(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("777"),
        conid=CONID,
        side=Side.SELL,
        total_quantity=Decimal(40),
    )
    risk.handle(ExternalWorking(row=row, over=False))

    found = statuses(risk, read(position(60), second=30), read(position(60), second=100))

    assert found == ["clean", "clean"]


# --- a person accepts ----------------------------------------------------------------------------


def test_resuming_the_account_takes_the_brokers_word() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(read(position(60), second=100))

    effects = risk.handle(RESUME)
    later = risk.handle(read(position(60), second=130))

    assert effects == (WriteReconciled(reconciled=reconciled(Reconciliation.CLEAN, (CONID, 60))),)
    assert later == ()
    assert risk.exposure(CONID).position == 60
    assert risk.exposure(CONID).doubt == NO_DOUBT
    assert refusal(risk, request(1)) is None


def test_resuming_something_else_accepts_nothing() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(read(position(60), second=100))

    assert risk.handle(replace(RESUME, scope=FIRM)) == ()
    assert risk.account_view(NOW_NS).breaks == (SOLD,)


def test_resuming_accepts_no_difference_that_is_not_a_break_yet() -> None:
    risk = ready_risk(position(100))
    risk.handle(halt(MINE))
    risk.handle(read(position(60), second=30))

    effects = risk.handle(RESUME)
    found = statuses(risk, read(position(60), second=100))

    assert effects == ()
    assert found == ["breaks"]


def test_what_fills_after_it_was_accepted_is_counted_from_there() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(read(position(60), second=100))
    risk.handle(RESUME)
    risk.handle(filled("a", 5, second=140))

    found = statuses(risk, read(position(65), second=200), read(position(65), second=300))

    assert found == ["clean", "clean"]


def test_an_accepted_difference_is_no_break_in_a_new_login() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(read(position(60), second=100))
    risk.handle(replace(READY, epoch=2))

    risk.handle(RESUME)
    waits = risk.reconciliation
    risk.handle(read(position(60), second=200))
    effects = risk.handle(replace(RECONCILED, epoch=2))

    assert waits is Reconciliation.PENDING
    assert written(effects) == [reconciled(Reconciliation.CLEAN, (CONID, 60), epoch=2)]


def test_a_break_that_nobody_accepted_is_one_in_the_next_login_and_after_a_restart() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    (record,) = written(risk.handle(read(position(60), second=100)))

    again = AccountRisk(ACCOUNT, SESSION, limits())
    again.handle(LastReconciled(reconciled=record, at_ns=NOW_NS + 100 * SECOND))
    found = []
    for one in (risk, again):
        one.handle(replace(READY, epoch=2))
        one.handle(read(position(60), second=200))
        one.handle(replace(RECONCILED, epoch=2))
        found.append((*statuses(one, read(position(60), second=210)), one.trading_state.value))

    assert found == [("breaks", "reduce_only")] * 2


def test_a_difference_that_waits_is_not_written_as_agreed() -> None:
    """Else a restart in that minute would take it for the truth."""
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))
    risk.handle(read(position(60), second=100))
    risk.handle(read(position(60), position(5, OTHER), second=130))

    (record,) = written(risk.handle(RESUME))

    assert record == reconciled(Reconciliation.CLEAN, (CONID, 60))


def test_a_pair_of_currencies_is_not_compared() -> None:
    """The broker keeps a virtual position of it for some accounts only."""
    allowed = limits(
        {"instruments.allow_sec_types": frozenset({"CASH"}), "order.max_qty.CASH": 100}
    )
    risk = ready_risk(position(100), within=allowed)
    pair = replace(request(1), instrument=replace(INSTRUMENT, sec_type="CASH"))
    assert refusal(risk, replace(pair, ticket=replace(pair.ticket, sec_type="CASH"))) is None
    risk.handle(filled("a", 10, number=1, second=30))

    found = statuses(risk, read(position(100), second=60), read(position(100), second=400))

    assert found == ["clean", "clean"]
    assert risk.exposure(CONID).doubt == NO_DOUBT


# --- what is shown -------------------------------------------------------------------------------


def test_the_age_of_the_last_agreement_is_shown() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(60), second=30))

    shown = risk.account_view(NOW_NS + 50 * SECOND)

    assert shown.reconciled_age_ms == 50_000
    assert risk.agreed_ns == NOW_NS + 1


def test_an_older_answer_is_not_compared() -> None:
    risk = ready_risk(position(100))
    risk.handle(read(position(100), second=30))

    assert risk.handle(read(position(60), second=20)) == ()
    assert risk.handle(ReconcileAccount(account=ACCOUNT, epoch=0, step="x", done=False)) == ()
    assert risk.reconciliation is Reconciliation.CLEAN
