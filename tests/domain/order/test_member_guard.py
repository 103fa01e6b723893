"""An entry that has filled looks after what closes it for as long as that may come to nothing."""

from dataclasses import replace

from engine.domain.history import is_unsettled
from engine.domain.order.group import replacement_key
from engine.domain.order.image import image_of, order_of
from engine.domain.order.member import EXITS_MS, GUARD_MS
from engine.domain.values import BrokerStatus, OrderId, OrderState, UnprotectedPolicy
from tests.domain.order.company import ENTRY, FAILED, PROFIT, STOP, acknowledged, exit_row
from tests.domain.order.test_member import bracket, fill, working

S = OrderState


def test_an_order_in_place_of_an_exit_protects_only_while_it_comes_to_something() -> None:
    company = bracket(policy=UnprotectedPolicy.REPLACE_EXIT).answer(acknowledged(FAILED, FAILED))
    fill(company, ENTRY, 10)
    company.pass_time(EXITS_MS)
    made = replace(
        company.views[STOP],
        order_id=OrderId("1-4"),
        client_order_id=replacement_key(company.views[STOP].client_order_id, 1),
        group=None,
    )

    unprotected = []
    for state in (S.IN_DOUBT, S.WORKING, S.NOT_PLACED):
        company.replacements = (replace(made, state=state),)
        company.pass_time(GUARD_MS)
        unprotected.append(company.views[ENTRY].unprotected)

    assert [STOP in lost for lost in unprotected] == [True, False, True]
    entry = company.orders[ENTRY]
    assert entry.state is S.FILLED
    assert is_unsettled(entry)  # It must not rest: somebody has to look.
    assert is_unsettled(order_of(image_of(entry)))


def test_nobody_looks_any_more_once_the_exits_have_closed_the_position() -> None:
    company = working()
    fill(company, ENTRY, 10)
    fill(company, PROFIT, 10)
    company.show(exit_row(STOP, BrokerStatus.CANCELLED))

    company.pass_time(2 * GUARD_MS)

    assert "exits" not in company.timers(ENTRY)
