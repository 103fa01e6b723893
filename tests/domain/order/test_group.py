"""Who is who in the answer to a group, in the broker's rows, and which exit is missing."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.order import group
from engine.domain.order.group import UNSEEN, exit_of, missing, outcomes
from engine.domain.values import (
    AccountId,
    AnswerRow,
    BrokerOrderId,
    ConId,
    GroupKind,
    OrderId,
    OrderRow,
    OrderState,
    OrderType,
    Outcome,
    OutcomeKind,
    Reason,
    Side,
    TrailingType,
)
from engine.domain.views import OrderView
from tests.domain.order.company import (
    ENTRY,
    FAILED,
    LEGS,
    PROFIT,
    STOP,
    Company,
    acknowledged,
    approve,
    broker_id,
    coid,
    entry_row,
    exit_row,
    unnamed,
)

ENTRY_ID = broker_id(ENTRY)
TIMEOUT = Outcome(
    kind=OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer in 12,000 ms")
)


def acked(order_id: OrderId) -> Outcome:
    return Outcome(kind=OutcomeKind.ACK, broker_order_id=broker_id(order_id), status="PreSubmitted")


def named(order_id: OrderId) -> AnswerRow:
    return replace(unnamed(order_id), coid=coid(order_id), parent_id=None)


def refused(text: str) -> Outcome:
    reason = Reason(code=group.MEMBER_REFUSED, message=text)
    return Outcome(kind=OutcomeKind.REFUSED, reason=reason)


def told(outcome: Outcome, legs: int = 3, kind: GroupKind = GroupKind.BRACKET) -> list[Outcome]:
    _, *followers = approve(LEGS[:legs], kind)
    found = outcomes(outcome, coid(ENTRY), followers)
    assert [order_id for order_id, _ in found] == [one.order_id for one in followers]
    return [one for _, one in found]


def exits() -> list[OrderView]:
    company = Company().submit()
    return [company.views[PROFIT], company.views[STOP]]


# --- the answer ------------------------------------------------------------------------------


def test_rows_with_our_ids_are_those_of_these_orders_in_whatever_order_they_come() -> None:
    answer = acknowledged(named(STOP), named(PROFIT))

    assert told(answer, kind=GroupKind.OCA) == [acked(PROFIT), acked(STOP)]


def test_two_exits_that_the_answer_does_not_name_are_not_told_by_their_place() -> None:
    assert told(acknowledged(unnamed(PROFIT), unnamed(STOP))) == [UNSEEN, UNSEEN]


def test_the_one_row_that_is_left_is_the_one_order_that_is_left() -> None:
    assert told(acknowledged(unnamed(PROFIT)), legs=2) == [acked(PROFIT)]
    assert told(acknowledged(FAILED), legs=2) == [refused("no such stop price")]
    assert told(acknowledged(named(PROFIT), FAILED), kind=GroupKind.OCA) == [
        acked(PROFIT),
        refused("no such stop price"),
    ]


def test_when_as_many_failed_as_there_are_all_of_them_failed() -> None:
    assert told(acknowledged(FAILED, FAILED)) == [refused("no such stop price")] * 2


def test_one_failed_row_of_two_says_of_nobody_who_it_is() -> None:
    assert told(acknowledged(FAILED, unnamed(STOP))) == [UNSEEN, UNSEEN]


def test_an_answer_of_one_row_says_nothing_of_the_others() -> None:
    answer = replace(acknowledged(), rows=())

    assert told(answer) == [UNSEEN, UNSEEN]


def test_a_doubtful_answer_is_doubtful_for_all_whom_it_does_not_name() -> None:
    unclear = replace(TIMEOUT, rows=(named(STOP), unnamed(PROFIT)))

    assert told(unclear, kind=GroupKind.OCA) == [TIMEOUT, acked(STOP)]
    assert told(TIMEOUT) == [TIMEOUT, TIMEOUT]


def test_a_failed_row_without_words_has_a_reason_all_the_same() -> None:
    (outcome,) = told(acknowledged(replace(FAILED, text=None)), legs=2)

    assert outcome.reason is not None
    assert "gave no reason" in outcome.reason.message


# --- the rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("order_id", [PROFIT, STOP])
def test_an_exit_is_told_by_its_entry_and_by_what_it_is(order_id: OrderId) -> None:
    row = exit_row(order_id)

    assert exit_of(row, exits(), ENTRY_ID) == order_id
    assert exit_of(replace(row, parent_id=None), exits(), ENTRY_ID) == order_id
    assert exit_of(replace(row, oca_group=None), exits(), ENTRY_ID) == order_id


def test_a_row_that_tells_little_is_an_exit_if_it_can_be_no_other() -> None:
    row = OrderRow(
        account=LEGS[0].account,
        broker_order_id=broker_id(STOP),
        parent_id=ENTRY_ID,
        order_type="STP",
    )

    assert exit_of(row, exits(), ENTRY_ID) == STOP
    assert exit_of(replace(row, order_type=None), exits(), ENTRY_ID) is None
    assert exit_of(replace(row, order_type=None), exits()[1:], ENTRY_ID) == STOP


@pytest.mark.parametrize(
    "row",
    [
        replace(exit_row(PROFIT), parent_id=None, oca_group=None),
        replace(exit_row(PROFIT), parent_id=None, oca_group="oco-17"),
        replace(exit_row(PROFIT), parent_id=BrokerOrderId("77")),
        replace(exit_row(PROFIT), account=AccountId("DU7654321")),
        replace(exit_row(PROFIT), conid=ConId(8314)),
        replace(exit_row(PROFIT), side=Side.BUY),
        replace(exit_row(PROFIT), order_type="TRAIL"),
        replace(exit_row(PROFIT), limit_price=Decimal("110.5")),
        replace(exit_row(STOP), stop_price=Decimal(89)),
    ],
)
def test_what_is_of_another_entry_or_is_another_order_is_none_of_ours(row: OrderRow) -> None:
    assert exit_of(row, exits(), ENTRY_ID) is None


def test_an_exit_that_is_known_already_is_no_candidate() -> None:
    profit, stop = exits()
    seen = replace(profit, broker_order_id=broker_id(PROFIT))

    assert exit_of(exit_row(PROFIT), [seen, stop], ENTRY_ID) is None
    assert exit_of(replace(exit_row(STOP), order_type=None), [seen, stop], ENTRY_ID) is None


def test_the_broker_may_show_less_of_an_exit_than_all_of_it() -> None:
    row = replace(exit_row(PROFIT), total_quantity=Decimal(4))

    assert exit_of(row, exits(), ENTRY_ID) == PROFIT


def test_exits_that_are_the_same_may_change_places() -> None:
    profit, _ = exits()
    twin = replace(profit, order_id=STOP)

    assert exit_of(exit_row(PROFIT), [profit, twin], ENTRY_ID) == PROFIT


def test_the_quantity_tells_exits_apart_that_are_the_same_but_for_it() -> None:
    profit, _ = exits()
    half = replace(profit, order_id=STOP, quantity=Decimal(5))

    row = replace(exit_row(PROFIT), total_quantity=Decimal(5))

    assert exit_of(row, [profit, half], ENTRY_ID) == STOP


def test_the_price_of_a_trailing_exit_follows_the_market() -> None:
    profit, stop = exits()
    trail = replace(
        stop,
        type=OrderType.TRAIL,
        trailing_type=TrailingType.AMOUNT,
        trailing_amount=Decimal(1),
    )
    row = replace(exit_row(STOP), order_type="TRAIL", stop_price=Decimal("95.5"))

    assert exit_of(row, [profit, trail], ENTRY_ID) == STOP


def test_without_the_entrys_id_a_row_must_tell_all_that_the_exit_is() -> None:
    row = exit_row(PROFIT)

    assert exit_of(row, exits(), None) == PROFIT
    assert exit_of(replace(row, total_quantity=None), exits(), None) is None
    assert exit_of(replace(row, parent_id=None, oca_group=None), exits(), None) is None


def test_a_row_under_the_entrys_id_may_be_one_of_an_exit() -> None:
    entry = Company().submit().views[ENTRY]
    own = entry_row()
    linked = replace(own, broker_order_id=broker_id(STOP), parent_id=ENTRY_ID)
    other_side = replace(own, side=Side.SELL)

    assert [group.is_of_exit(row, entry) for row in (own, linked, other_side)] == [
        False,
        True,
        True,
    ]
    alone = replace(entry, group=None)
    assert not group.is_of_exit(linked, alone)


# --- what is missing -------------------------------------------------------------------------

S = OrderState


def lost(
    *states: OrderState, patient: bool = False, needed: int = 10, more: tuple[OrderView, ...] = ()
) -> tuple[OrderId, ...]:
    found = [replace(view, state=state) for view, state in zip(exits(), states, strict=True)]
    return missing((*found, *more), needed=Decimal(needed), patient=patient)


def test_an_exit_that_the_broker_holds_or_that_somebody_took_back_is_not_missing() -> None:
    for state in (S.ACCEPTED, S.WORKING, S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED):
        assert lost(state, state, patient=True) == ()


def test_an_exit_that_came_to_nothing_is_missing_at_once() -> None:
    for state in (S.REJECTED, S.EXPIRED, S.NOT_PLACED, S.PARKED):
        assert lost(S.ACCEPTED, state) == (STOP,)


def test_an_exit_that_is_sought_is_missing_once_the_list_was_read_often_enough() -> None:
    assert lost(S.SUBMITTING, S.IN_DOUBT) == ()
    assert lost(S.SUBMITTING, S.IN_DOUBT, patient=True) == (PROFIT, STOP)


def test_an_exit_is_not_missing_while_as_much_is_in_its_place() -> None:
    profit, stop = exits()

    def made(number: int, state: OrderState, filled: int = 0) -> OrderView:
        key = group.replacement_key(stop.client_order_id, number)
        return replace(
            profit,
            client_order_id=key,
            group=None,
            state=state,
            quantity=Decimal(10),
            filled_quantity=Decimal(filled),
        )

    assert lost(S.ACCEPTED, S.REJECTED, more=(made(1, S.WORKING),)) == ()
    assert lost(S.ACCEPTED, S.REJECTED, more=(made(1, S.WORKING),), needed=11) == (STOP,)
    assert lost(S.ACCEPTED, S.REJECTED, more=(made(1, S.DENIED),)) == (STOP,)
    denied_then_taken = (made(1, S.DENIED), made(2, S.ACCEPTED))
    assert lost(S.ACCEPTED, S.REJECTED, more=denied_then_taken) == ()
    for unseen in (S.SUBMITTING, S.IN_DOUBT, S.PARKED):  # It may live; it protects nobody yet.
        assert lost(S.ACCEPTED, S.REJECTED, more=(made(1, unseen),)) == (STOP,)
    assert lost(S.ACCEPTED, S.REJECTED, more=(made(1, S.REJECTED, 4),), needed=4) == ()
