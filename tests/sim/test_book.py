"""What the venue keeps and refuses."""

from decimal import Decimal

from engine.sim.tickets import Batch
from tests.sim.test_floor import bracket, exits, ticket
from tests.sim.test_venue import ACCOUNT, venue


def test_a_post_of_several_orders_is_found_by_each_of_their_ids() -> None:
    place = venue()
    place.record(account=ACCOUNT, body={}, coid="o-1", now_ms=5, coids=("o-1", "o-2"))

    found = [place.submissions_with_coid(coid) for coid in ("o-1", "o-2", "o-3")]

    assert [len(rows) for rows in found] == [1, 1, 0]


def test_exits_need_no_margin_and_their_entry_does() -> None:
    place = venue()
    large = Decimal(1_000_000)
    entry, profit = ticket(quantity=large, limit_price=Decimal(200)), exits("b")[0]

    refused = place.refusal(entry, 0)

    assert refused is not None
    assert "INITIAL MARGIN" in refused.text
    assert place.refusal(profit, 0) is None


def test_the_exits_of_an_entry_are_found() -> None:
    place = venue()

    entry, profit, stop = bracket(place)

    assert place.exits_of(entry.order_id) == (profit, stop)
    assert place.exits_of(profit.order_id) == ()


def test_an_order_in_a_group_has_a_client_order_id_of_its_own() -> None:
    place = venue()
    members = tuple(ticket(coid=coid, single_group=True) for coid in ("o-1", "o-2"))
    place.accept_all(Batch(tickets=members), 0)

    refused = place.refusal(ticket(coid="o-2"), 1)

    assert refused is not None
    assert "already registered" in refused.text
