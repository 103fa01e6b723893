"""The accounts of a login become ready one by one, and each only once all of it was read."""

from dataclasses import replace

from engine.domain.messages import (
    AccountsRead,
    CallGateway,
    DeliverToRisk,
    FailureKind,
    OrderChanged,
    OrdersRead,
    ReadAccount,
    ReconcileAccount,
    SessionCall,
    StartTimer,
    StreamLost,
    StreamReady,
    TimerFired,
)
from engine.domain.session import Effect
from engine.domain.session.recovery import ALONE_TRIES_MAX
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderState,
    SessionState,
)
from engine.domain.views import OrderView
from tests.domain.risk.samples import view
from tests.domain.session.told import (
    ACCOUNT,
    FUNDS,
    LIST,
    POSITIONS,
    SETTINGS,
    TRADES,
    WARM_UP,
    Told,
    calls,
    failed,
    poll,
    steps,
)

OTHER = AccountId("DU7654321")
OTHERS_POSITIONS = replace(POSITIONS, account=OTHER)
OTHERS_FUNDS = replace(FUNDS, funds=replace(FUNDS.funds, account=OTHER))
OURS = BrokerOrderId("7")
ROW = OrderRow(account=ACCOUNT, broker_order_id=OURS, status=BrokerStatus.SUBMITTED)


def told_of(effects: tuple[Effect, ...]) -> list[ReconcileAccount]:
    messages = (effect.message for effect in effects if isinstance(effect, DeliverToRisk))
    return [message for message in messages if isinstance(message, ReconcileAccount)]


def progress(effects: tuple[Effect, ...]) -> list[tuple[AccountId, str]]:
    return [(one.account, "done" if one.done else one.step) for one in told_of(effects)]


def warm(*accounts: AccountId, known: tuple[OrderView, ...] = ()) -> Told:
    """A session of these accounts whose stream has just opened."""
    told = Told(replace(SETTINGS, accounts=accounts), known=known)
    told.tell(told.started, *WARM_UP[1:2], AccountsRead(accounts=accounts, paper=True))
    told.tell(*WARM_UP[3:8])
    assert told.session.state is SessionState.RECONCILING
    return told


def working(name: BrokerOrderId = OURS, account: AccountId = ACCOUNT) -> OrderView:
    order = replace(view(1, seq=1), account=account, broker_order_id=name)
    return replace(order, state=OrderState.WORKING)


def asked_alone(effects: tuple[Effect, ...]) -> list[AccountId | None]:
    return [
        effect.account
        for effect in effects
        if isinstance(effect, CallGateway) and effect.call is SessionCall.ORDERS
    ]


def test_an_account_goes_positions_orders_trades_funds_and_is_done() -> None:
    told = Told()

    effects = told.tell(*WARM_UP)

    assert steps(effects) == ["positions", "orders", "trades", "funds", "done"]
    last = told_of(effects)[-1]
    assert last == ReconcileAccount(account=ACCOUNT, epoch=1, step="", done=True)
    assert told.session.reconciliation(ACCOUNT) == last


def test_what_was_read_of_an_account_is_counted() -> None:
    told = warm(ACCOUNT, OTHER)
    told.tell(POSITIONS, OTHERS_POSITIONS)

    told.tell(replace(LIST, rows=(ROW,)), TRADES, FUNDS, OTHERS_FUNDS)

    counted = [told.session.reconciliation(account) for account in (ACCOUNT, OTHER)]
    assert [one and (one.orders, one.done) for one in counted] == [(1, True), (0, True)]


def test_the_session_is_ready_before_its_accounts_and_they_become_so_one_by_one() -> None:
    told = warm(ACCOUNT, OTHER)
    told.tell(POSITIONS, OTHERS_POSITIONS, LIST, TRADES)
    ready = told.session.ready

    first = told.tell(FUNDS)
    second = told.tell(OTHERS_FUNDS)

    assert ready
    assert progress(first) == [(ACCOUNT, "done")]
    assert progress(second) == [(OTHER, "done")]


def test_funds_that_were_read_before_the_lists_are_not_waited_for() -> None:
    told = warm(ACCOUNT)

    told.tell(POSITIONS, FUNDS, LIST)
    effects = told.tell(TRADES)

    assert progress(effects) == [(ACCOUNT, "done")]


def test_funds_that_cannot_be_read_keep_no_account_from_trading() -> None:
    told = warm(ACCOUNT)
    told.tell(POSITIONS, LIST, TRADES)
    refused = failed(SessionCall.FUNDS, FailureKind.BAD_ANSWER)

    again = told.tell(refused, TimerFired(name="accounts"), refused, TimerFired(name="accounts"))
    last = told.tell(refused)

    assert progress(again) == []
    assert progress(last) == [(ACCOUNT, "done")]


def test_an_account_whose_positions_come_late_waits_for_the_next_lists() -> None:
    told = warm(ACCOUNT, OTHER)
    told.tell(POSITIONS)
    told.wait(5_000).tell(TimerFired(name="lists"), LIST, TRADES)

    late = told.wait(1_000).tell(OTHERS_POSITIONS, FUNDS, OTHERS_FUNDS)
    effects = poll(told.wait(1_000))

    assert told.session.ready
    assert StartTimer(name="poll", delay_ms=1_000) in late
    assert (OTHER, "orders") in progress(late)
    assert progress(effects) == [(OTHER, "trades"), (OTHER, "done")]


def test_lists_that_were_asked_for_before_its_positions_came_do_not_count() -> None:
    told = warm(ACCOUNT, OTHER)
    told.tell(POSITIONS)
    told.wait(5_000).tell(TimerFired(name="lists"))

    told.wait(1_000).tell(OTHERS_POSITIONS)
    effects = told.tell(LIST, TRADES)

    assert progress(effects) == [(ACCOUNT, "trades"), (ACCOUNT, "funds")]


def test_while_an_account_waits_for_lists_they_are_read_every_five_seconds() -> None:
    told = warm(ACCOUNT, OTHER)
    told.tell(POSITIONS)
    told.wait(5_000).tell(TimerFired(name="lists"))
    told.wait(1_000).tell(OTHERS_POSITIONS)

    waiting = told.tell(LIST, TRADES)
    over = poll(told.wait(5_000))

    assert StartTimer(name="poll", delay_ms=5_000) in waiting
    assert StartTimer(name="poll", delay_ms=60_000) in over


# --- lists that are not believed ----------------------------------------------------------


def test_a_list_without_an_order_that_works_is_read_for_its_account_alone() -> None:
    told = warm(ACCOUNT, OTHER, known=(working(),))
    told.tell(POSITIONS, OTHERS_POSITIONS)

    doubted = told.tell(LIST, TRADES)
    asked = told.wait(5_000).tell(TimerFired(name="poll"))
    alone = OrdersRead(rows=(ROW,), snapshot=True, forced=False, account=ACCOUNT)
    believed = told.tell(alone, TRADES)

    assert progress(doubted) == [(OTHER, "trades"), (OTHER, "funds")]
    assert asked_alone(asked) == [ACCOUNT]
    assert progress(believed) == [(ACCOUNT, "trades"), (ACCOUNT, "funds")]


def test_a_list_that_has_all_orders_that_work_is_believed() -> None:
    told = warm(ACCOUNT)
    told.tell(OrderChanged(view=working()), POSITIONS)

    effects = told.tell(replace(LIST, rows=(ROW,)))

    assert progress(effects) == [(ACCOUNT, "trades")]


def test_an_order_that_ended_since_need_not_be_listed() -> None:
    told = warm(ACCOUNT, known=(working(),))
    told.tell(OrderChanged(view=replace(working(), state=OrderState.CANCELLED)), POSITIONS)

    assert progress(told.tell(LIST)) == [(ACCOUNT, "trades")]


def test_an_accounts_own_list_is_believed_whatever_it_shows() -> None:
    told = warm(ACCOUNT, known=(working(),))
    told.tell(POSITIONS, LIST, TRADES)
    told.wait(5_000).tell(TimerFired(name="poll"))

    effects = told.tell(replace(LIST, account=ACCOUNT))

    assert progress(effects) == [(ACCOUNT, "trades")]


def test_where_an_accounts_own_list_cannot_be_read_the_one_of_all_has_to_do() -> None:
    told = warm(ACCOUNT, known=(working(),))
    told.tell(POSITIONS, LIST, TRADES)

    tries = []
    for _ in range(ALONE_TRIES_MAX):
        told.wait(5_000).tell(TimerFired(name="poll"))
        tries.append(progress(told.tell(failed(SessionCall.ORDERS, FailureKind.SERVER_ERROR))))

    assert tries == [[], [], [(ACCOUNT, "trades")]]


def test_of_two_accounts_that_are_doubted_each_is_read_alone() -> None:
    theirs = replace(working(BrokerOrderId("8"), OTHER), order_id=replace(view(2, seq=2)).order_id)
    told = warm(ACCOUNT, OTHER, known=(working(), theirs))
    told.tell(POSITIONS, OTHERS_POSITIONS, LIST, TRADES)

    first = told.wait(5_000).tell(TimerFired(name="poll"))
    told.tell(replace(LIST, account=ACCOUNT), TRADES)
    second = told.wait(5_000).tell(TimerFired(name="poll"))

    assert (asked_alone(first), asked_alone(second)) == ([ACCOUNT], [OTHER])


# --- logins -------------------------------------------------------------------------------


def test_a_stream_that_comes_back_in_the_same_login_takes_nothing_back() -> None:
    told = Told().ready()

    effects = told.tell(StreamLost(reason="cut"), StreamReady(), LIST, TRADES)

    assert told.session.ready
    assert progress(effects) == []


def test_a_new_login_reads_every_account_anew() -> None:
    told = Told().ready()
    told.tell(failed(SessionCall.TRADES, FailureKind.NO_BRIDGE))
    before = told.session.reconciliation(ACCOUNT)

    effects = told.tell(*WARM_UP[1:])

    assert before == ReconcileAccount(account=ACCOUNT, epoch=1, step="", done=True)
    assert steps(effects) == ["positions", "orders", "trades", "funds", "done"]
    assert {one.epoch for one in told_of(effects)} == {2}


def test_what_a_new_login_shows_while_it_is_cold_is_no_news_of_the_reads_before() -> None:
    told = warm(ACCOUNT)
    told.tell(POSITIONS, LIST, failed(SessionCall.FUNDS, FailureKind.NO_BRIDGE))

    effects = told.tell(*WARM_UP[1:7])

    assert calls(effects)[-1] is not SessionCall.FUNDS
    assert progress(effects) == []


def test_an_account_whose_risk_asks_again_is_read_and_keeps_what_it_is() -> None:
    told = Told().ready()

    effects = told.tell(ReadAccount(account=ACCOUNT), POSITIONS, FUNDS)

    assert progress(effects) == []


def test_before_the_first_login_nothing_was_told() -> None:
    assert Told().session.reconciliation(ACCOUNT) is None


def test_twenty_accounts_are_done_with_two_rounds_of_reads_and_one_of_lists() -> None:
    accounts = tuple(AccountId(f"DU{number:07}") for number in range(20))
    told = warm(*accounts)

    effects: tuple[Effect, ...] = ()
    for account in accounts:
        effects = (*effects, *told.tell(replace(POSITIONS, account=account)))
    effects = (*effects, *told.tell(LIST, TRADES))
    for account in accounts:
        funds = replace(FUNDS, funds=replace(FUNDS.funds, account=account))
        effects = (*effects, *told.tell(funds))

    asked = calls(effects)
    assert asked.count(SessionCall.ORDERS) == asked.count(SessionCall.TRADES) == 1
    assert asked.count(SessionCall.FUNDS) == 20
    assert [one.account for one in told_of(effects) if one.done] == list(accounts)
