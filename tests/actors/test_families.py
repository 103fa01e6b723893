"""Which exit of which entry a row is."""

from dataclasses import replace
from decimal import Decimal

from engine.actors.families import SWEEP_NS, Families
from engine.domain.history import REST_NS
from engine.domain.values import (
    BrokerOrderId,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderRow,
    OrderState,
    OrderType,
    Side,
)
from engine.domain.views import OrderView
from tests.actors.house import ACCOUNT, BROKER_ID, CONID, coid, row
from tests.domain.risk.samples import view

ENTRY_ID = BrokerOrderId("77")


class Home:
    """Entries with one exit each, by number."""

    def __init__(self) -> None:
        self.views: dict[OrderId, OrderView] = {}
        self.families = Families(self.views.get)

    def add(
        self,
        number: int,
        entry_id: BrokerOrderId | None,
        *,
        price: int = 110,
        state: OrderState = OrderState.SUBMITTING,
        at_ns: int = 0,
    ) -> None:
        entry, exit_ = OrderId(f"1-{number}"), OrderId(f"1-{number}x")
        leads = GroupPlace(kind=GroupKind.BRACKET, leader=entry, index=0, size=2)
        self.views[entry] = replace(
            view(1, seq=1),
            order_id=entry,
            account=ACCOUNT,
            conid=CONID,
            side=Side.BUY,
            state=state,
            broker_order_id=entry_id,
            updated_at_ns=at_ns,
            group=leads,
        )
        self.views[exit_] = replace(
            self.views[entry],
            order_id=exit_,
            side=Side.SELL,
            type=OrderType.LMT,
            quantity=Decimal(10),
            limit_price=Decimal(price),
            broker_order_id=None,
            group=replace(leads, index=1),
        )
        for one in (self.views[entry], self.views[exit_]):
            self.families.take(one)


def child(price: int = 110, **more: object) -> OrderRow:
    shown = replace(
        row(),
        conid=CONID,
        side=Side.SELL,
        total_quantity=Decimal(10),
        order_type="LMT",
        limit_price=Decimal(price),
        parent_id=ENTRY_ID,
    )
    return replace(shown, **more)  # type: ignore[arg-type] # the fields of OrderRow


def test_a_row_that_names_an_entry_of_ours_is_its_exit() -> None:
    home = Home()
    home.add(1, ENTRY_ID)
    home.add(2, BrokerOrderId("88"))

    assert home.families.exit_of(child(), OrderId("1-1")) == "1-1x"
    assert home.families.exit_of(child(120), OrderId("1-1")) is None


def test_while_no_entry_has_its_id_a_row_has_to_fit_one_only() -> None:
    home = Home()
    home.add(1, None)
    home.add(2, None, price=120)

    assert home.families.exit_of(child(120), None) == "1-2x"
    assert home.families.exit_of(child(limit_price=None), None) is None


def test_a_row_that_fits_two_entries_is_nobodys() -> None:
    home = Home()
    home.add(1, None)
    home.add(2, None)

    assert home.families.exit_of(child(), None) is None


def test_an_entry_that_surely_never_was_has_no_exits_to_be_found() -> None:
    home = Home()
    home.add(1, None, state=OrderState.EXPIRED)

    assert home.families.exit_of(child(), None) is None
    assert not home.families.has_nameless(ACCOUNT)


def test_a_row_with_the_reference_of_its_entry_is_one_of_an_exit() -> None:
    home = Home()
    home.add(1, ENTRY_ID)

    assert home.families.is_of_exit(child(coid=coid(1)), OrderId("1-1"))
    assert not home.families.is_of_exit(row(coid=coid(1), broker_id=ENTRY_ID), OrderId("1-1"))
    assert not home.families.is_of_exit(row(broker_id=BROKER_ID), OrderId("9-9"))


def test_only_an_order_with_exits_is_an_entry() -> None:
    home = Home()
    home.add(1, ENTRY_ID)

    assert home.families.is_entry(OrderId("1-1"))
    assert not home.families.is_entry(OrderId("1-1x"))


OLD_ID, NEW_ID = BrokerOrderId("78"), BrokerOrderId("902")


def at_work(home: Home, number: int = 1, name: BrokerOrderId = OLD_ID) -> None:
    exit_ = OrderId(f"1-{number}x")
    home.views[exit_] = replace(home.views[exit_], state=OrderState.ACCEPTED, broker_order_id=name)


def test_an_exit_that_a_list_lacks_may_be_in_it_under_another_number() -> None:
    home = Home()
    home.add(1, ENTRY_ID)
    at_work(home)
    renumbered = child(broker_order_id=NEW_ID, parent_id=BrokerOrderId("901"))

    assert home.families.has_working_exits(ACCOUNT)
    for entry in (OrderId("1-1"), None):
        assert home.families.renumbered(renumbered, entry, {NEW_ID}) == "1-1x"
        assert home.families.renumbered(renumbered, entry, {NEW_ID, OLD_ID}) is None
        assert home.families.renumbered(child(120), entry, {NEW_ID}) is None
    alone = replace(renumbered, parent_id=None)
    assert home.families.renumbered(alone, None, {NEW_ID}) is None


def test_an_exit_that_has_ended_or_that_may_be_another_was_not_renumbered() -> None:
    home = Home()
    home.add(1, ENTRY_ID)
    home.add(2, BrokerOrderId("88"))
    before = home.families.renumbered(child(), None, {NEW_ID})
    at_work(home)
    at_work(home, 2, BrokerOrderId("89"))

    assert before is None
    assert home.families.renumbered(child(), None, {NEW_ID}) is None
    assert home.families.renumbered(child(), OrderId("1-2"), {NEW_ID}) == "1-2x"


def test_families_that_ended_a_day_ago_are_forgotten_and_no_others() -> None:
    home = Home()
    entry_of = {number: OrderId(f"1-{number}") for number in range(1, 5)}
    home.add(1, None, state=OrderState.FILLED)
    home.add(2, None, state=OrderState.FILLED)
    exit_2 = OrderId("1-2x")
    home.views[exit_2] = replace(home.views[exit_2], state=OrderState.WORKING)
    home.add(3, None, state=OrderState.CANCELLED, at_ns=2)

    home.add(4, None, at_ns=REST_NS + 1)

    known = [number for number, entry in entry_of.items() if home.families.is_entry(entry)]
    assert known == [2, 3, 4], "1 ended, an exit of 2 works, 3 ended less than a day ago"
    assert home.families.has_working_exits(ACCOUNT)


def test_looking_for_ended_families_takes_its_time() -> None:
    home = Home()
    home.add(1, None, state=OrderState.FILLED)
    home.add(2, None, at_ns=REST_NS)
    still = home.families.is_entry(OrderId("1-1"))

    home.add(3, None, at_ns=REST_NS + SWEEP_NS - 1)
    soon = home.families.is_entry(OrderId("1-1"))
    home.add(4, None, at_ns=REST_NS + SWEEP_NS)

    assert (still, soon, home.families.is_entry(OrderId("1-1"))) == (True, True, False)
