"""Many actors fail, at any time, by a seed: what must hold holds all the same."""

import asyncio
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors.feed import FeedActor
from engine.actors.order import OrderActor
from engine.actors.restarts import Restart
from engine.actors.risk import RiskActor
from engine.actors.session import SessionActor
from engine.domain.messages import (
    NewsStreamed,
    OrderExpired,
)
from engine.domain.values import (
    TERMINAL,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    Confidence,
    OrderId,
    OrderState,
    Outcome,
    OutcomeKind,
)
from tests.actors.failures import (
    POISON,
    fill_in_parts,
    killing,
    working_buy,
)
from tests.actors.house import (
    ACCOUNT,
    ACK,
    ASKED,
    BROKER_ID,
    CONID,
    MAIN,
    OTHER,
    POLICY,
    REFUSED,
    TICKET,
    TIMEOUT,
    House,
    keyed,
    ready_house,
    row,
    submit_request,
)
from tests.domain.risk.samples import settings
from tests.fakes import run, skip

pytestmark = pytest.mark.usefixtures("quiet_logs")


@pytest.mark.parametrize("seed", range(40))
def test_an_order_is_filled_truly_though_actors_of_all_kinds_die_at_random(seed: int) -> None:
    async def scene() -> None:
        # Half of the seeds draw the turns as well.
        house = House(chance=random.Random(seed) if seed % 2 else None)
        house.add()
        await house.start()
        view = await house.submit()
        chance = random.Random(seed)
        kinds = (OrderActor, RiskActor, SessionActor, FeedActor)
        deaths: list[object] = []

        def when(_number: int, message: object) -> bool:
            dies = chance.random() < 0.15 and len(deaths) < 4
            if dies:
                deaths.append(message)
            return dies

        with killing(kinds, when):
            after = await fill_in_parts(house, view)

        assert deaths
        assert (after.state, after.filled_quantity, after.confidence) == (
            OrderState.FILLED, Decimal(10), Confidence.CONFIRMED
        ), deaths  # fmt: skip
        assert working_buy(house) == Decimal(0)
        assert len(house.line.orders.placed) == 1
        assert house.bridge.health().ready
        assert (await house.work(keyed("mine-2"))).state is OrderState.ACCEPTED

    run(scene())


ROOM_FOR_MANY = replace(
    POLICY,
    defaults={**POLICY.defaults, **settings({"working.max_per_conid_side": 100})},
)
ANSWERS = (ACK, ACK, ACK, TIMEOUT, ASKED, REFUSED)


class Storm:
    """A day on which everything goes wrong by a seed: orders, answers, news, and deaths."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self.house = house
        self.chance = chance
        self.submits: list[asyncio.Task[object]] = []

    async def blow(self, steps: int) -> None:
        for _ in range(steps):
            getattr(self, self.chance.choice(("submit", "answer", "answer", "poison", "news")))()
            await skip(self.chance.choice((0.0, 0.001, 0.05, 0.3, 12)))
            talking = {call.order_id for call, _, _ in self.house.line.orders._open}
            assert len(talking) <= 1, "one conversation at a time"

    def submit(self) -> None:
        self.house.line.feed.quotes[CONID] = self.house.quote()
        account = self.chance.choice((ACCOUNT, OTHER))
        ticket = keyed(f"mine-{len(self.submits)}", replace(TICKET, account=account))
        work = self.house.bridge.submit(submit_request(ticket))
        self.submits.append(asyncio.create_task(work))

    def answer(self) -> None:
        orders = self.house.line.orders
        if orders._open:
            call = orders._open[0][0]
            outcome = self.chance.choice(ANSWERS)
            if outcome is ACK:
                outcome = replace(ACK, broker_order_id=broker_id(call.order_id))
            orders.answer(outcome)

    def poison(self) -> None:
        supervisor = self.house.supervisor
        actors = (*supervisor.risks.values(), *supervisor.sessions.values())
        refs = [*self.house.board.order_refs(), *(one.ref for one in actors)]
        refs.extend(one.ref for one in supervisor.feeds.values())
        ref = self.chance.choice(refs)
        if ref.is_alive():
            ref.tell(POISON)

    def news(self) -> None:
        placed = self.house.line.orders.placed
        if placed:
            call = self.chance.choice(placed)
            one = row(
                BrokerStatus.SUBMITTED,
                coid=Coid(call.body.decode().split()[0]),
                broker_id=broker_id(call.order_id),
                account=call.account,
            )
            self.house.line.feed.bring(NewsStreamed(rows=(one,)))

    async def calm(self) -> None:
        """Answer what is open, and give everybody the time to come back."""
        for _ in range(40):
            self.answer()
            await skip(2)
        await asyncio.gather(*self.submits, return_exceptions=True)
        await skip(60)


def broker_id(order_id: OrderId) -> BrokerOrderId:
    return BrokerOrderId(order_id.replace("-", "00"))


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_sent_twice_and_no_lane_is_stuck_in_any_storm(seed: int) -> None:
    async def scene() -> None:
        chance = random.Random(seed)
        house = House(
            policy=ROOM_FOR_MANY,
            chance=random.Random(seed) if seed % 2 else None,
            restart=Restart(tries=100),
        )
        house.add(accounts=(ACCOUNT, OTHER))
        await house.start()
        storm = Storm(house, chance)

        await storm.blow(60)
        await storm.calm()

        sent = [call.order_id for call in house.line.orders.placed]
        assert len(sent) == len(set(sent))
        assert house.bridge.health().ready
        for account, actor in house.supervisor.risks.items():
            open_ = [
                view.remaining_quantity
                for view in house.board.views
                if view.account == account and view.state not in TERMINAL
            ]
            assert actor.risk.exposure(CONID).working_buy == sum(open_)
        assert not [view for view in house.board.views if view.state is OrderState.SUBMITTING]
        last = await house.submit(keyed("last"))
        assert house.line.orders.placed[-1].order_id == last.order_id, last.reason

    run(scene())


# --- all of them -----------------------------------------------------------------------------


def test_everybody_failing_at_once_comes_back() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        working = await house.work()
        talking = await house.submit(keyed("mine-2"))

        for ref in (
            *house.board.order_refs(),
            *house.board.risks.values(),
            house.supervisor.feeds[MAIN].ref,
            house.supervisor.sessions[MAIN].ref,
        ):
            ref.tell(POISON)
        await skip(1)
        refused = Outcome(kind=OutcomeKind.REFUSED, reason=None)
        house.line.orders.answer(refused)
        house.line.session.rows = (row(BrokerStatus.SUBMITTED, broker_id=BROKER_ID),)
        await skip(31)
        third = await house.submit(keyed("mine-3"))

        assert house.bridge.health().ready
        assert house.bridge.order(working.order_id).state is OrderState.WORKING
        assert house.bridge.order(working.order_id).confidence is Confidence.CONFIRMED
        assert house.bridge.order(talking.order_id).state is OrderState.REJECTED
        assert working_buy(house) == Decimal(20)
        assert [call.order_id for call in house.line.orders.placed] == [
            working.order_id,
            talking.order_id,
            third.order_id,
        ]
        assert OrderExpired not in house.journal.written

    run(scene())
