from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest

from engine.domain.history import (
    EXTERNALS_MAX,
    REST_NS,
    History,
    LiveOrder,
    Reconciled,
    RestingOrder,
    canonical,
    lay_to_rest,
    replay,
)
from engine.domain.messages import (
    AccountReconciled,
    CancelOrder,
    EngineStarted,
    ExternalOrderSeen,
    HaltScope,
    JournalMessage,
    LimitsLoaded,
    LoginGuarded,
    NoticeSeen,
    OrderExpired,
    OrderRowSeen,
    ResumeScope,
    SubmitOrder,
)
from engine.domain.ports import Entry, Recorded
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderRow,
    OrderState,
    QuestionPolicy,
    Reason,
    Reconciliation,
    Scope,
    ScopeKind,
    SessionName,
    Source,
    TradingState,
    make_coid,
    make_order_id,
)
from engine.journal.snapshot_body import PACKING
from tests.domain.order.samples import approve
from tests.fakes import NOON_NS

MAIN = SessionName("main")
APPROVED = approve(QuestionPolicy(answers={}))
ACCOUNT = APPROVED.ticket.account
FIRM = Scope(kind=ScopeKind.FIRM)
HALT = HaltScope(scope=FIRM, level=TradingState.HALT, reason="drill", by="ops")
GUARD = LoginGuarded(session=MAIN, failures=1, taken_over=False, latched=False, reason="refused")
RECONCILED = AccountReconciled(
    account=ACCOUNT,
    session=MAIN,
    epoch=1,
    result=Reconciliation.CLEAN,
    orders=0,
    executions=0,
    positions=(),
)
UNSENT = Reason(code="EXPIRED_UNSENT", message="restarted")


def intent(number: int = 1, *, group: GroupPlace | None = None) -> SubmitOrder:
    ticket = replace(APPROVED.ticket, group=group)
    order_id, coid = make_order_id(1, number), make_coid("0001", 1, number)
    approved = replace(APPROVED, ticket=ticket, order_id=order_id, coid=coid)
    return SubmitOrder(approved=approved, body=b"{}")


def expired(number: int = 1) -> OrderExpired:
    return OrderExpired(order_id=make_order_id(1, number), reason=UNSENT)


def recorded(*messages: JournalMessage, at_ns: int = NOON_NS, first: int = 1) -> list[Recorded]:
    found = []
    for seq, message in enumerate(messages, start=first):
        order_id: OrderId | None = getattr(message, "order_id", None)
        if isinstance(message, SubmitOrder):
            order_id = message.approved.order_id
        entry = Entry(at_ns=at_ns, account=ACCOUNT, order_id=order_id, message=message)
        found.append(Recorded(seq=seq, entry=entry))
    return found


def apply(history: History, records: Sequence[Recorded]) -> History:
    for one in records:
        history.apply(one)
    return history


def later(*messages: JournalMessage, first: int) -> list[Recorded]:
    """The same a day later."""
    return recorded(*messages, at_ns=NOON_NS + REST_NS, first=first)


def test_records_of_an_order_make_the_order_and_name_its_last_place() -> None:
    records = recorded(intent(), CancelOrder(order_id=APPROVED.order_id, cause="enough"))

    ((order, seq),) = replay(records).live()

    assert (order.state, seq) == (OrderState.CANCELLED, 2)


def test_records_without_the_first_one_are_skipped_and_counted() -> None:
    cancel = CancelOrder(order_id=APPROVED.order_id, cause="enough")

    history = replay(recorded(cancel, cancel))

    assert (history.skipped, history.orders, history.seq) == (2, {}, 2)


def test_the_strictest_halt_holds_until_it_is_resumed() -> None:
    milder = replace(HALT, level=TradingState.REDUCE_ONLY)
    resume = ResumeScope(scope=FIRM, reason="over", by="ops")

    assert replay(recorded(HALT, milder)).halts == {FIRM: HALT}
    assert replay(recorded(milder, HALT)).halts == {FIRM: HALT}
    assert replay(recorded(HALT, resume)).halts == {}


def test_the_newest_guard_of_a_session_and_comparison_of_an_account_count() -> None:
    newer, breaks = replace(GUARD, failures=2), replace(RECONCILED, result=Reconciliation.BREAKS)

    history = replay(recorded(GUARD, RECONCILED, newer, breaks))

    assert history.guards == {MAIN: newer}
    assert history.reconciled == {ACCOUNT: Reconciled(record=breaks, seq=4, at_ns=NOON_NS)}


def external(number: int, status: BrokerStatus = BrokerStatus.SUBMITTED) -> ExternalOrderSeen:
    row = OrderRow(account=ACCOUNT, broker_order_id=BrokerOrderId(str(number)), status=status)
    return ExternalOrderSeen(session=MAIN, row=row)


def test_the_last_word_about_others_orders_is_kept_of_so_many() -> None:
    over = external(1, BrokerStatus.FILLED)
    many = [external(number) for number in range(2, EXTERNALS_MAX + 2)]

    history = replay(recorded(external(2), external(1), over, *many))

    assert len(history.externals) == EXTERNALS_MAX
    assert (ACCOUNT, BrokerOrderId("1")) not in history.externals
    assert list(history.externals.values()) == many
    assert list(replay(recorded(external(1), over)).externals.values()) == [over]


def test_what_is_only_news_makes_nothing() -> None:
    records = recorded(
        EngineStarted(version="1", mode="paper"),
        LimitsLoaded(version=1, policy_hash="0", approved_by=(), changes=()),
        NoticeSeen(session=MAIN, kind="bulletin", notice_id="1", text="Hello"),
    )

    assert replay(records).digest() == History().digest()


# --- rest ------------------------------------------------------------------------------------


def test_an_order_rests_a_day_after_it_ended_and_is_the_same_when_it_is_woken() -> None:
    history = apply(History(PACKING), recorded(intent(), expired()))
    before = history.digest()
    history.rest()
    awake = [type(one) for one in history.orders.values()]

    apply(history, later(EngineStarted(version="1", mode="paper"), first=3))
    history.rest()

    (resting,) = history.orders.values()
    assert awake == [LiveOrder]
    assert isinstance(resting, RestingOrder)
    assert (resting.order_id, resting.coid) == (APPROVED.order_id, make_coid("0001", 1, 1))
    assert (resting.state, resting.seq) == (OrderState.EXPIRED, 2)
    assert list(history.live()) == []
    assert history.digest() == before


def test_news_wakes_an_order_at_rest_as_if_it_had_never_rested() -> None:
    row = OrderRow(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("7"),
        coid=APPROVED.coid,
        status=BrokerStatus.SUBMITTED,
    )
    seen = OrderRowSeen(order_id=APPROVED.order_id, row=row, source=Source.POLL)
    records = recorded(intent(), expired())
    news = later(external(9), seen, first=3)
    history = apply(History(PACKING), [*records, news[0]])
    history.rest()

    apply(history, news[1:])

    ((order, seq),) = history.live()
    assert (order.state, seq) == (OrderState.WORKING, 4)
    assert history.digest() == apply(History(), [*records, *news]).digest()


def test_a_fill_that_the_last_comparison_does_not_have_keeps_its_order_awake() -> None:
    history = apply(History(PACKING), recorded(intent(), RECONCILED, expired()))
    apply(history, later(EngineStarted(version="1", mode="paper"), first=4))
    history.rest()
    awake = list(history.orders)

    apply(history, later(RECONCILED, first=5))
    history.rest()

    assert awake == [APPROVED.order_id]
    assert isinstance(history.orders[APPROVED.order_id], RestingOrder)


def grouped(number: int) -> SubmitOrder:
    place = GroupPlace(kind=GroupKind.OCA, leader=make_order_id(1, 1), index=number - 1, size=2)
    return intent(number, group=place)


@pytest.mark.parametrize("ended", [1, 2])
def test_no_order_of_a_group_rests_before_all_have_ended(ended: int) -> None:
    history = apply(History(PACKING), recorded(grouped(1), grouped(2), expired(ended)))
    apply(history, later(EngineStarted(version="1", mode="paper"), first=4))

    history.rest()

    assert [type(one) for one in history.orders.values()] == [LiveOrder, LiveOrder]


@pytest.mark.parametrize("ended", [1, 2])
def test_all_orders_of_a_group_wake_with_the_one_that_must(ended: int) -> None:
    history = apply(History(PACKING), recorded(grouped(1), grouped(2), intent(3), expired(ended)))
    apply(history, recorded(expired(3), first=5))
    apply(history, later(EngineStarted(version="1", mode="paper"), first=6))
    whole = history.digest()
    body = History(PACKING)
    body.seq, body.at_ns = history.seq, history.at_ns
    body.orders = {
        order.order_id: lay_to_rest(order, seq, PACKING) for order, seq in history.live()
    }

    body.wake()

    assert [type(one) for one in body.orders.values()] == [LiveOrder, LiveOrder, RestingOrder]
    assert body.digest() == whole


def test_without_a_way_to_keep_them_no_order_rests() -> None:
    history = apply(History(), recorded(intent(), expired()))
    apply(history, later(EngineStarted(version="1", mode="paper"), first=3))

    history.rest()

    assert isinstance(history.orders[APPROVED.order_id], LiveOrder)


# --- the digest ------------------------------------------------------------------------------


DIFFERENCES: list[list[Recorded]] = [
    recorded(intent(), expired()),
    recorded(intent(2)),
    recorded(intent(), intent(2)),
    recorded(intent(), HALT),
    recorded(intent(), GUARD),
    recorded(intent(), RECONCILED),
    recorded(intent(), external(1)),
    recorded(external(1), intent()),
    recorded(intent(), at_ns=NOON_NS + 1),
    [],
]


@pytest.mark.parametrize("number", range(len(DIFFERENCES)))
def test_another_history_has_another_digest(number: int) -> None:
    digests = [replay(records).digest() for records in [*DIFFERENCES, recorded(intent())]]

    assert digests.count(digests[number]) == 1


def test_the_digest_does_not_depend_on_the_order_in_which_things_are_kept() -> None:
    one = replay(recorded(intent(1), intent(2), GUARD, HALT))
    other = replay(recorded(intent(1), intent(2), GUARD, HALT))
    other.orders = dict(reversed(other.orders.items()))

    assert one.digest() == other.digest()


def test_values_that_differ_have_different_canonical_texts() -> None:
    values = [
        None, "-", "", 1, "1", (), ("a", "b"), ("a b",), ("a'b",), b"a", "a", "x61", {}, {"a": 1},
        {"a": "1"}, {"b": 1}, Decimal("1.50"), AccountId("1.50"), HALT, GUARD, FIRM,
    ]  # fmt: skip

    texts = [canonical(value) for value in values]

    assert len(set(texts)) == len(values)
    assert canonical({"a": 1, "b": 2}) == canonical(MappingProxyType({"b": 2, "a": 1}))
