"""A venue that stops and goes on."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.sim.orders import OrderStatus
from engine.sim.state import StateError, StateFile, kept, read, restore
from engine.sim.venue import Venue
from tests.sim.test_floor import bracket
from tests.sim.test_venue import AAPL, ACCOUNT, limit, run, ticket, venue

FAR = "1.00"


def gone_on(of: Venue, now_ms: int, **changes: Any) -> Venue:
    """The venue after its process was started again, through JSON as in the file."""
    values = json.loads(json.dumps(kept(of, now_ms)))
    restarted = venue(**changes)
    restore(restarted, read(values))
    return restarted


def busy_venue() -> Venue:
    """A filled order, a resting one, and one on its way."""
    busy = venue()
    busy.accept(ticket(coid="c-1"), 0)
    busy.accept(limit(FAR, coid="c-2", tif="GTC"), 0)
    busy.record(account=ACCOUNT, body={"price": Decimal("1.1")}, coid="c-1", now_ms=0)
    run(busy, 100)
    busy.accept(ticket(quantity=Decimal(4), coid="c-3"), 100)
    busy.advance(105)
    return busy


def test_orders_executions_and_accounts_are_the_same_afterwards() -> None:
    before = busy_venue()

    after = gone_on(before, 105)

    assert after.orders == before.orders
    assert after.executions == before.executions
    assert after.accounts == before.accounts
    assert after.commissions_known == before.commissions_known
    assert [row.coid for row in after.submissions] == ["c-1"]


def test_what_was_on_its_way_goes_on_and_nothing_happens_twice() -> None:
    before = busy_venue()
    filled_before = [row.execution_id for row in before.executions]

    after = gone_on(before, 105)
    run(after, 400, from_ms=106)

    [on_its_way] = after.orders_with_coid("c-3")
    assert on_its_way.status is OrderStatus.FILLED
    assert [row.execution_id for row in after.executions][: len(filled_before)] == filled_before
    assert len({row.execution_id for row in after.executions}) == len(after.executions)
    assert after.accounts[ACCOUNT].positions[AAPL].quantity == 14


def test_a_resting_order_can_be_cancelled_afterwards() -> None:
    after = gone_on(busy_venue(), 105)
    [resting] = after.orders_with_coid("c-2")

    refusal = after.cancel(resting.order_id, 106)
    run(after, 300, from_ms=106)

    assert refusal is None
    assert resting.status is OrderStatus.CANCELLED


def test_a_client_order_id_stays_registered_and_new_ids_follow_the_old_ones() -> None:
    before = busy_venue()

    after = gone_on(before, 105)
    again = after.refusal(ticket(coid="c-2"), 200)
    order = after.accept(ticket(coid="c-4"), 200)

    assert again is not None
    assert "Local order ID=c-2 is already registered" in again.text
    assert order.order_id == max(before.orders) + 1


def test_prices_go_on_from_where_they_were() -> None:
    before = venue()
    before.market.trade_at(AAPL, Decimal("300.00"), 5)

    after = gone_on(before, 5)

    assert after.market.quote(AAPL) == before.market.quote(AAPL)


def test_accounts_that_the_login_has_not_are_refused() -> None:
    with pytest.raises(StateError, match="accounts DU2, which this login has not"):
        gone_on(busy_venue(), 105, accounts=(ACCOUNT,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"next_order_id": "7"}, "state.next_order_id is '7', needed is int"),
        ({"orders": [{}]}, r"state.orders\[0\] lacks or should not have: "),
        ({"due": [["fill", 1]]}, r"state.due\[0\] has 2 values, needed are 3"),
        ({"due": [["jump", 1, 2]]}, r"state.due\[0\]\[0\] is 'jump', which is no Step"),
        ({"more": 1}, "state lacks or should not have: more"),
    ],
)
def test_a_state_that_is_none_is_refused_by_the_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StateError, match=message):
        read(kept(venue(), 0) | change)


def test_a_file_is_empty_before_it_is_there_and_the_same_after_it_was_saved(
    tmp_path: Path,
) -> None:
    file = StateFile(tmp_path / "folder" / "venue.json")

    before = file.load()
    file.save({"simuser": {"at_ms": 1}})

    assert before == {}
    assert file.load() == {"simuser": {"at_ms": 1}}
    assert [row.name for row in file.path.parent.iterdir()] == ["venue.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("{}", "is no state of format 1 of a simulated venue"),
        ('{"format":2,"sessions":{}}', "is no state of format 1"),
        ("[1]", "is no state of format 1"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "venue.json"
    path.write_text(text)

    with pytest.raises(StateError, match=message) as caught:
        StateFile(path).load()

    assert str(path) in str(caught.value)


def test_a_bracket_and_an_unanswered_cancel_go_on() -> None:
    before = venue()
    entry, profit, stop = bracket(before, tif="GTC")
    run(before, 100)
    before.unanswered.add(entry.order_id)
    before.cancel(entry.order_id, 100)
    run(before, 300, from_ms=100)

    after = gone_on(before, 300)
    answered = after.answer_cancels(301)

    assert answered == (entry.order_id,)
    assert [row.order_id for row in after.exits_of(entry.order_id)] == [
        profit.order_id,
        stop.order_id,
    ]
    assert {row.status for row in after.orders.values()} == {OrderStatus.CANCELLED}


def test_a_file_of_an_older_version_lacks_what_came_later() -> None:
    values = json.loads(json.dumps(kept(busy_venue(), 105)))
    del values["unanswered"]
    for row in values["orders"]:
        del row["parent_id"], row["oca_group"], row["ticket"]["algo"]
    for row in values["submissions"]:
        del row["coids"]

    state = read(values)

    assert state == read(kept(busy_venue(), 105))
