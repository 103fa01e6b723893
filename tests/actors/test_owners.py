"""Whose row and whose execution it is."""

from dataclasses import replace

import pytest

from engine.actors.addresses import Addresses
from engine.actors.owners import Owners
from engine.actors.strangers import Strangers
from engine.domain.values import BrokerOrderId, Coid, OrderId, OrderState, Source
from tests.actors.house import ACCOUNT, BROKER_ID, MAIN, coid, fill, row
from tests.actors.test_families import ENTRY_ID, NEW_ID, Home, at_work, child
from tests.fakes import HandClock

ENTRY, EXIT = OrderId("1-1"), OrderId("1-1x")
NEW_ENTRY_ID = BrokerOrderId("901")


class Registry(Home):
    """A bracket of ours, whose entry is known by both ids."""

    def __init__(self) -> None:
        super().__init__()
        self.add(1, ENTRY_ID, state=OrderState.ACCEPTED)
        self.addresses = Addresses()
        self.addresses.learn(ACCOUNT, ENTRY_ID, ENTRY)
        self.addresses._by_coid[coid(1)] = ENTRY
        self.strangers = Strangers(
            clock=HandClock().clock,
            on_external=lambda _session, _row: None,
            on_working=lambda _working: None,
            is_sending=lambda _account: False,
        )
        self.owners = Owners(
            addresses=self.addresses,
            families=self.families,
            strangers=self.strangers,
            view_of=self.views.get,
        )


@pytest.mark.parametrize(
    ("shown", "owner"),
    [
        (row(coid=coid(1)), ENTRY),
        (row(broker_id=ENTRY_ID), ENTRY),
        (child(), EXIT),
        (child(coid=coid(1)), EXIT),
        (row(coid=Coid("by hand")), None),
        (replace(child(), parent_id=BrokerOrderId("5")), None),
    ],
    ids=[
        "our id",
        "the broker's",
        "an exit",
        "under its entry's id",
        "theirs",
        "a child of theirs",
    ],
)
def test_a_row_is_of_whom_its_ids_or_its_entry_name(shown: object, owner: OrderId | None) -> None:
    assert Registry().owners.of_row(shown, None) == owner  # type: ignore[arg-type] # an OrderRow


def test_an_exit_is_told_under_another_number_by_whole_lists_only() -> None:
    registry = Registry()
    at_work(registry)
    renumbered = child(broker_order_id=NEW_ID, parent_id=NEW_ENTRY_ID)
    of_row = registry.owners.of_row

    assert of_row(renumbered, {NEW_ID, NEW_ENTRY_ID}) == EXIT
    assert of_row(renumbered, None) is None


def test_the_exit_of_somebody_elses_entry_is_theirs_whatever_it_looks_like() -> None:
    registry = Registry()
    at_work(registry)
    registry.strangers.meet(MAIN, row(broker_id=NEW_ENTRY_ID), Source.POLL)

    renumbered = child(broker_order_id=NEW_ID, parent_id=NEW_ENTRY_ID)

    assert registry.owners.of_row(renumbered, {NEW_ID, NEW_ENTRY_ID}) is None


def test_an_execution_is_of_whom_its_ids_name_an_exits_own_before_its_entrys() -> None:
    registry = Registry()
    registry.addresses.learn(ACCOUNT, NEW_ID, EXIT)
    of_fill = registry.owners.of_fill

    assert of_fill(fill("1", 1, coid=coid(1), broker_id=NEW_ID)) == EXIT
    assert of_fill(fill("1", 1, coid=coid(1), broker_id=BROKER_ID)) == ENTRY
    assert of_fill(fill("1", 1, broker_id=ENTRY_ID)) == ENTRY
    assert of_fill(fill("1", 1, broker_id=BROKER_ID)) is None
