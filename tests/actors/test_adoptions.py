"""What becomes of orders of others: observed, adopted, cancelled, and never one of ours."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors.addresses import Addresses
from engine.actors.adoptions import EXTERNAL_OVER, EXTERNAL_UNKNOWN, Adoptions
from engine.actors.families import Families
from engine.actors.strangers import Strangers
from engine.domain.messages import AdoptOrder
from engine.domain.order.adoption import UNADOPTABLE
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Coid,
    ConId,
    ExternalPolicy,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderRow,
    OrderState,
    Reason,
    Side,
    Source,
)
from engine.domain.views import OrderView
from tests.actors.house import ACCOUNT, BROKER_ID, CONID, MAIN, SHARD, coid, row
from tests.domain.risk.samples import view
from tests.fakes import HandClock

ENTRY, EXIT = OrderId("1-1"), OrderId("1-2")
WHOLE = replace(
    row(coid=Coid("by hand")),
    conid=CONID,
    side=Side.BUY,
    total_quantity=Decimal(10),
    order_type="LMT",
    limit_price=Decimal(100),
)


class Office:
    """Adoptions, and what is known of strangers and of our own orders."""

    def __init__(self) -> None:
        self.views: dict[OrderId, OrderView] = {}
        self.begun: list[AdoptOrder] = []
        self.doubtful: list[OrderView] = []
        self.addresses = Addresses()
        self.families = Families(self.views.get)
        self.strangers = Strangers(
            clock=HandClock().clock,
            on_external=lambda _session, _row: None,
            on_working=lambda _working: None,
            is_sending=lambda _account: False,
        )
        self.adoptions = Adoptions(
            addresses=self.addresses,
            families=self.families,
            strangers=self.strangers,
            shard=SHARD,
            new_id=lambda: OrderId(f"1-{len(self.begun) + 7}"),
            start=self.begun.append,
            doubtful=lambda _account: self.doubtful,
        )

    def see(self, one: OrderRow = WHOLE) -> None:
        self.strangers.meet(MAIN, one, Source.POLL)

    def adopt(self, *, cancel: bool = False) -> OrderId | Reason:
        return self.adoptions.adopt(ACCOUNT, BROKER_ID, cancel=cancel, by="ops")

    def own_bracket(self, entry_id: BrokerOrderId | None) -> None:
        """Let an entry of ours have an exit."""
        place = GroupPlace(kind=GroupKind.BRACKET, leader=ENTRY, index=1, size=2)
        entry = replace(
            view(1, seq=1),
            order_id=ENTRY,
            account=ACCOUNT,
            broker_order_id=entry_id,
            state=OrderState.SUBMITTING if entry_id is None else OrderState.WORKING,
        )
        self.views[ENTRY] = entry
        exit_ = replace(entry, order_id=EXIT, group=place, broker_order_id=None)
        self.views[EXIT] = exit_
        self.families.take(exit_)
        if entry_id is not None:
            self.addresses.learn(ACCOUNT, entry_id, ENTRY)


@pytest.mark.parametrize("cancel", [False, True])
def test_an_order_of_which_enough_is_known_is_adopted(*, cancel: bool) -> None:
    office = Office()
    office.see()

    adopted = office.adopt(cancel=cancel)

    assert adopted == "1-7"
    assert office.begun == [
        AdoptOrder(order_id=OrderId("1-7"), session=MAIN, row=WHOLE, by="ops", cancel=cancel)
    ]
    assert office.addresses.of_broker_id(ACCOUNT, BROKER_ID) == "1-7"


def test_an_order_is_adopted_once() -> None:
    office = Office()
    office.see()
    office.adopt()

    again = office.adopt()

    assert isinstance(again, Reason)
    assert (again.code, "1-7" in again.message) == (EXTERNAL_UNKNOWN, True)
    assert len(office.begun) == 1


@pytest.mark.parametrize(
    ("shows", "code"),
    [
        (None, EXTERNAL_UNKNOWN),
        (replace(WHOLE, status=BrokerStatus.FILLED), EXTERNAL_OVER),
        (replace(WHOLE, conid=None), UNADOPTABLE),
        (replace(WHOLE, order_type="Box Top"), UNADOPTABLE),
        (replace(WHOLE, coid=coid(3)), UNADOPTABLE),
    ],
    ids=["nobody saw it", "it is over", "no contract", "no such type", "our own reference"],
)
def test_what_cannot_be_adopted_is_left_alone_with_a_reason(
    shows: OrderRow | None, code: str
) -> None:
    office = Office()
    if shows is not None:
        office.see(shows)

    refused = office.adopt()

    assert isinstance(refused, Reason)
    assert refused.code == code
    assert office.begun == []


@pytest.mark.parametrize("entry_id", [None, BrokerOrderId("77")], ids=["no id yet", "known"])
def test_what_may_be_an_exit_of_ours_is_not_adopted(entry_id: BrokerOrderId | None) -> None:
    office = Office()
    office.own_bracket(entry_id)
    office.see(replace(WHOLE, parent_id=BrokerOrderId("77")))

    refused = office.adopt()

    assert isinstance(refused, Reason)
    assert refused.code == UNADOPTABLE
    assert office.begun == []


def test_an_exit_of_somebody_elses_entry_is_adopted_like_its_entry() -> None:
    office = Office()
    office.own_bracket(BrokerOrderId("77"))
    office.addresses.learn(ACCOUNT, BrokerOrderId("55"), OrderId("1-6"))
    office.see(replace(WHOLE, parent_id=BrokerOrderId("55")))

    assert office.adopt() == "1-7"


@pytest.mark.parametrize(
    ("policy", "cancels"),
    [
        (ExternalPolicy.OBSERVE, []),
        (ExternalPolicy.ADOPT, [False]),
        (ExternalPolicy.CANCEL, [True]),
    ],
)
def test_the_accounts_policy_says_what_becomes_of_it(
    policy: ExternalPolicy, cancels: list[bool]
) -> None:
    office = Office()
    office.see()

    office.adoptions.follow(policy, WHOLE)

    assert [one.cancel for one in office.begun] == cancels
    assert {one.by for one in office.begun} <= {"policy"}


NAMELESS = replace(WHOLE, coid=None)
DOUBTFUL = replace(
    view(1, seq=1),
    account=ACCOUNT,
    conid=CONID,
    side=Side.BUY,
    state=OrderState.IN_DOUBT,
    broker_order_id=None,
)


@pytest.mark.parametrize(
    ("sought", "shows", "adopted"),
    [
        (DOUBTFUL, NAMELESS, False),
        (DOUBTFUL, WHOLE, True),
        (replace(DOUBTFUL, side=Side.SELL), NAMELESS, True),
        (replace(DOUBTFUL, conid=ConId(8314)), NAMELESS, True),
    ],
    ids=["alike", "with a reference", "other side", "other contract"],
)
def test_what_may_be_an_order_that_is_looked_for_is_not_adopted(
    sought: OrderView, shows: OrderRow, *, adopted: bool
) -> None:
    office = Office()
    office.doubtful.append(sought)
    office.see(shows)

    office.adoptions.follow(ExternalPolicy.CANCEL, shows)

    assert bool(office.begun) is adopted
    assert isinstance(office.adopt(), Reason)


def test_what_the_policy_wants_is_done_once_it_is_clear_whose_an_order_is() -> None:
    office = Office()
    office.doubtful.append(DOUBTFUL)
    office.see(NAMELESS)
    office.adoptions.follow(ExternalPolicy.CANCEL, NAMELESS)
    office.adoptions.go_on()
    before = list(office.begun)

    office.doubtful.clear()
    office.adoptions.go_on()
    office.adoptions.go_on()

    assert before == []
    assert [one.cancel for one in office.begun] == [True]


def test_what_was_put_off_and_is_over_is_left_alone() -> None:
    office = Office()
    office.doubtful.append(DOUBTFUL)
    office.see(NAMELESS)
    office.adoptions.follow(ExternalPolicy.CANCEL, NAMELESS)
    office.see(replace(NAMELESS, status=BrokerStatus.CANCELLED))

    office.doubtful.clear()
    office.adoptions.go_on()

    assert office.begun == []


@pytest.mark.parametrize("entry_is_theirs", [False, True])
def test_a_child_of_an_unknown_entry_is_not_adopted_while_exits_of_ours_work(
    *, entry_is_theirs: bool
) -> None:
    office = Office()
    office.own_bracket(BrokerOrderId("77"))
    office.views[EXIT] = replace(
        office.views[EXIT], state=OrderState.ACCEPTED, broker_order_id=BrokerOrderId("78")
    )
    entry = BrokerOrderId("901")
    if entry_is_theirs:
        office.see(replace(WHOLE, broker_order_id=entry))
    office.see(replace(NAMELESS, parent_id=entry))

    assert isinstance(office.adopt(), Reason) is not entry_is_theirs
