"""How orders are found, awake and at rest."""

import pytest

from engine.actors.addresses import Addresses
from engine.actors.mailbox import Dispatcher, LoopActor, LoopRef
from engine.domain.history import RestingOrder
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ClientOrderId,
    Coid,
    OrderId,
    OrderState,
)
from tests.fakes import run

ACCOUNT, OTHER = AccountId("DU1234567"), AccountId("DU7654321")
ORDER, COID = OrderId("1-1"), Coid("EX0001-1-1-AB")
FIRST, SECOND = BrokerOrderId("1"), BrokerOrderId("2")
RESTING = RestingOrder(
    order_id=ORDER,
    account=ACCOUNT,
    client_order_id=ClientOrderId("mine-1"),
    coid=COID,
    broker_order_ids=(FIRST, SECOND),
    state=OrderState.FILLED,
    updated_at_ns=1,
    seq=1,
    leader=None,
    unsettled=False,
    packed=b"",
)


class Deaf(LoopActor):
    def on_receive(self, message: object) -> None:
        raise AssertionError(message)


def ref() -> LoopRef:
    return Deaf(dispatcher=Dispatcher(), name="1-1").ref


def test_an_order_is_found_by_every_name_that_it_has() -> None:
    async def scene() -> None:
        addresses, here = Addresses(), ref()

        addresses.connect(ORDER, COID, here)
        addresses.learn(ACCOUNT, FIRST, ORDER)

        assert addresses.ref(ORDER) is addresses.reach(ORDER) is here
        assert list(addresses.refs()) == [here]
        assert addresses.of_coid(COID) == addresses.of_broker_id(ACCOUNT, FIRST) == ORDER
        assert addresses.of_broker_id(OTHER, FIRST) is None, "the broker's ids are an account's"
        assert addresses.of_coid(None) is addresses.of_broker_id(ACCOUNT, None) is None

    run(scene())


def test_an_order_at_rest_is_woken_when_it_is_wanted_and_only_then() -> None:
    async def scene() -> None:
        addresses, here, woken = Addresses(), ref(), list[OrderId]()

        def wake(order_id: OrderId) -> LoopRef:
            woken.append(order_id)
            addresses.connect(order_id, COID, here)
            return here

        addresses.wake = wake
        addresses.rest(RESTING)
        asleep = (addresses.ref(ORDER), list(addresses.refs()), list(woken))

        reached = (addresses.reach(ORDER), addresses.reach(ORDER))

        assert asleep == (None, [], [])
        assert addresses.of_broker_id(ACCOUNT, SECOND) == addresses.of_coid(COID) == ORDER
        assert (reached, woken) == ((here, here), [ORDER])

    run(scene())


def test_an_order_that_goes_to_rest_has_no_actor_any_more() -> None:
    async def scene() -> None:
        addresses = Addresses()
        addresses.connect(ORDER, COID, ref())

        addresses.rest(RESTING)

        assert addresses.ref(ORDER) is None
        with pytest.raises(LookupError, match="1-1 rests"):
            addresses.reach(ORDER)

    run(scene())


def test_an_order_that_never_was_is_meant_by_nothing_of_the_brokers() -> None:
    addresses = Addresses()
    addresses.learn(ACCOUNT, FIRST, ORDER)
    addresses.learn(ACCOUNT, SECOND, OrderId("1-2"))

    addresses.forget(ORDER)

    assert addresses.of_broker_id(ACCOUNT, FIRST) is None
    assert addresses.of_broker_id(ACCOUNT, SECOND) == "1-2"
    assert addresses.reach(OrderId("9-9")) is None
