"""Whole orders that nobody is sure of, through the real actors: proof, word, doubles, others."""

from dataclasses import replace
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AdoptOrder,
    CancelAtBroker,
    CancelOrder,
    DeliverNews,
    ExternalOrderSeen,
    IncarnationSeen,
    LearnAlias,
    OrderAnswered,
    OrderParked,
    OrderProvenAbsent,
    OrderRowSeen,
    ResolveOrder,
    Step,
    TimerFired,
)
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Coid,
    Confidence,
    Evidence,
    ExternalPolicy,
    OrderPolicy,
    OrderRow,
    OrderState,
    Pending,
    Reason,
    Resolution,
    Side,
    SightingPolicy,
    Source,
)
from engine.domain.views import OrderView
from tests.actors.house import (
    ACCOUNT,
    ACK,
    BROKER_ID,
    CONID,
    MAIN,
    TIMEOUT,
    House,
    coid,
    fill,
    ready_house,
    row,
)
from tests.fakes import quiet, run

SECOND = BrokerOrderId("7")
PROOF = Evidence(
    elapsed_ms=65_000, healthy_ms=64_000, horizon_ms=60_000, list_reads=3, trade_reads=2
)
NO_PROOF = Reason(code="NO_PROOF", message="a person must look")
OTHERS = replace(
    row(coid=Coid("by hand"), broker_id=SECOND, filled=0),
    conid=CONID,
    side=Side.BUY,
    total_quantity=Decimal(7),
    order_type="LMT",
    limit_price=Decimal(100),
)


def whole(**more: object) -> OrderRow:
    shown = replace(
        row(coid=coid(1), filled=0), conid=CONID, side=Side.BUY, total_quantity=Decimal(10)
    )
    return replace(shown, **more)  # type: ignore[arg-type] # the fields of OrderRow


async def tell(house: House, view: OrderView, *messages: object) -> OrderView:
    """Tell an order, and return it as it is then."""
    for message in messages:
        house.board.tell_order(view.order_id, message)
    await quiet()
    return house.bridge.order(view.order_id)


async def deliver(house: House, *rows: OrderRow, read: int = 0) -> None:
    source = Source.POLL if read else Source.STREAM
    house.board.deliver(MAIN, DeliverNews(rows=rows, source=source, read=read))
    await quiet()


async def doubtful_house(policy: OrderPolicy | None = None) -> tuple[House, OrderView]:
    house = await ready_house()
    if policy is not None:
        house.board.policy_of = lambda _account: policy
    return house, await house.work(outcome=TIMEOUT)


def test_an_order_in_doubt_shows_how_far_the_search_for_it_is() -> None:
    async def scene() -> None:
        house, view = await doubtful_house()
        before = len(written(house))

        so_far = house.bridge.order(view.order_id).evidence
        parked = OrderParked(order_id=view.order_id, reason=NO_PROOF, evidence=PROOF)
        given_up = await tell(house, view, parked)

        assert view.state is OrderState.IN_DOUBT
        assert so_far is not None
        assert (so_far.list_reads, so_far.trade_reads) == (0, 0)
        assert so_far.missing[:2] == (
            "0 of 3 reads of the order list count",
            "0 of 2 reads of the trades count",
        )
        assert (given_up.state, given_up.evidence) == (OrderState.PARKED, PROOF)
        assert written(house)[before:] == [OrderParked], "the search so far is no record"

    run(scene())


def absent(view: OrderView) -> OrderProvenAbsent:
    return OrderProvenAbsent(order_id=view.order_id, evidence=PROOF)


def reserved(house: House) -> tuple[Decimal, Decimal | None]:
    exposure = house.supervisor.risks[ACCOUNT].risk.exposure(CONID)
    return exposure.working_buy, exposure.position


def written(house: House) -> list[type]:
    return house.journal.written


def cancels(house: House) -> list[BrokerOrderId]:
    calls = house.line.orders.calls
    return [call.broker_order_id for call in calls if isinstance(call, CancelAtBroker)]


def ended(how: str) -> float:
    return float(metrics.DOUBTS_ENDED.labels(how)._value.get())


def seconds(how: str) -> float:
    return float(metrics.IN_DOUBT_SECONDS.labels(how)._sum.get())


# --- proof and late sightings ------------------------------------------------------------------


def test_a_proof_of_absence_frees_what_was_reserved_and_sends_nothing_again() -> None:
    async def scene() -> None:
        house, view = await doubtful_house()
        before, held = (ended("absent"), seconds("absent")), reserved(house)

        gone = await tell(house, view, absent(view))

        assert (gone.state, gone.evidence) == (OrderState.NOT_PLACED, PROOF)
        assert held == (Decimal(10), Decimal(0))
        assert reserved(house) == (Decimal(0), Decimal(0))
        assert len(house.line.orders.placed) == 1
        assert ended("absent") == before[0] + 1
        assert seconds("absent") >= before[1]

    run(scene())


def test_a_late_sighting_pages_reserves_again_and_cancels_the_rest() -> None:
    async def scene() -> None:
        house, view = await doubtful_house()
        counter = metrics.LATE_SIGHTINGS.labels(metrics.account_label(ACCOUNT))
        before = counter._value.get()
        await tell(house, view, absent(view))

        with capture_logs() as logs:
            await deliver(house, whole(), read=1)

        back = house.bridge.order(view.order_id)
        assert (back.state, back.pending) == (OrderState.WORKING, Pending.CANCEL)
        assert reserved(house)[0] == Decimal(10)
        assert cancels(house) == [BROKER_ID]
        assert counter._value.get() == before + 1
        assert [one["kind"] for one in logs if one["log_level"] == "error"] == ["late_sighting"]

    run(scene())


def test_a_late_sighting_is_kept_where_the_policy_says_so() -> None:
    async def scene() -> None:
        house, view = await doubtful_house(OrderPolicy(late_sighting=SightingPolicy.KEEP))
        await tell(house, view, absent(view))

        await deliver(house, whole(), read=1)

        assert house.bridge.order(view.order_id).state is OrderState.WORKING
        assert cancels(house) == []

    run(scene())


def test_an_absent_order_is_still_watched_after_a_restart() -> None:
    async def scene() -> None:
        first, view = await doubtful_house()
        await tell(first, view, absent(view))
        house = await ready_house(first.journal.durable, epoch=2)

        await deliver(house, whole(), read=1)

        assert house.bridge.order(view.order_id).state is OrderState.WORKING
        assert cancels(house) == [BROKER_ID]

    run(scene())


@pytest.mark.parametrize("how", ["found", "parked"])
def test_how_a_doubt_ended_is_counted(how: str) -> None:
    async def scene() -> None:
        house, view = await doubtful_house()
        before = ended(how)
        reason = Reason(code="NO_PROOF", message="nothing was found")

        if how == "found":
            await deliver(house, whole(), read=1)
        else:
            await tell(house, view, OrderParked(order_id=view.order_id, reason=reason))

        assert ended(how) == before + 1

    run(scene())


def test_a_late_acknowledgement_finds_the_order() -> None:
    async def scene() -> None:
        house, view = await doubtful_house()

        late = replace(_answered(view), late=True)
        found = await tell(house, view, late)

        assert (found.state, found.broker_order_id) == (OrderState.ACCEPTED, BROKER_ID)

    run(scene())


def _answered(view: OrderView) -> OrderAnswered:
    return OrderAnswered(order_id=view.order_id, step=Step.PLACE, outcome=ACK)


# --- a person's word ---------------------------------------------------------------------------


def test_a_declared_fill_moves_the_position_until_the_broker_shows_what_filled() -> None:
    async def scene() -> None:
        house, view = await doubtful_house()
        before = ended("resolved")
        said = ResolveOrder(
            order_id=view.order_id,
            resolution=Resolution.FILLED,
            reason="the desk confirmed it",
            by="ops",
            broker_order_id=BROKER_ID,
        )

        done = await tell(house, view, said)
        declared = reserved(house)
        house.board.deliver(
            MAIN, DeliverNews(executions=(fill("1", 4, coid=coid(1)),), source=Source.POLL)
        )
        await quiet()

        assert (done.state, done.filled_quantity) == (OrderState.FILLED, Decimal(10))
        assert declared == (Decimal(0), Decimal(10))
        assert reserved(house) == (Decimal(6), Decimal(4))
        assert house.bridge.order(view.order_id).state is OrderState.PARTIALLY_FILLED
        assert ended("resolved") == before + 1

    run(scene())


# --- second orders -----------------------------------------------------------------------------


def test_a_duplicate_is_reserved_paged_and_cancelled_once_a_list_proved_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        counter = metrics.DUPLICATES.labels(metrics.account_label(ACCOUNT))
        before = counter._value.get()

        await deliver(house, whole(broker_order_id=SECOND))
        suspected = (reserved(house)[0], cancels(house))
        with capture_logs() as logs:
            await deliver(house, whole(), whole(broker_order_id=SECOND), read=1)

        now = house.bridge.order(view.order_id)
        assert suspected == (Decimal(20), [])
        assert cancels(house) == [SECOND]
        assert (now.pending, now.quantity_extra) == (Pending.NONE, Decimal(10))
        assert counter._value.get() == before + 1
        assert [one["kind"] for one in logs if one["log_level"] == "error"] == ["duplicate"]
        await deliver(house, whole(broker_order_id=SECOND, status=BrokerStatus.CANCELLED))
        assert reserved(house)[0] == Decimal(10)

    run(scene())


def test_fills_of_a_duplicate_without_our_reference_find_the_order() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        await deliver(house, whole(broker_order_id=SECOND))

        execution = fill("1", 4, broker_id=SECOND)
        house.board.deliver(MAIN, DeliverNews(executions=(execution,), source=Source.POLL))
        await quiet()

        assert house.bridge.order(view.order_id).filled_quantity == Decimal(4)
        assert reserved(house) == (Decimal(16), Decimal(4))

    run(scene())


def test_a_restart_goes_on_with_a_duplicate() -> None:
    async def scene() -> None:
        first = await ready_house()
        view = await first.work()
        await deliver(first, whole(), whole(broker_order_id=SECOND), read=1)

        house = await ready_house(first.journal.durable, epoch=2)

        assert IncarnationSeen in written(first)
        assert cancels(house) == [SECOND]
        assert house.bridge.order(view.order_id).other_broker_order_ids == (SECOND,)

    run(scene())


def test_an_order_that_lists_lack_is_shown_unconfirmed_until_one_shows_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        silent = await tell(house, view, TimerFired(name="unseen"))
        await deliver(house, whole(), read=1)

        assert silent.confidence is Confidence.UNCONFIRMED
        assert house.bridge.order(view.order_id).confidence is Confidence.CONFIRMED

    run(scene())


# --- orders of others --------------------------------------------------------------------------


async def house_with_policy(external: ExternalPolicy) -> House:
    house = await ready_house()
    house.board.policy_of = lambda _account: OrderPolicy(external=external)
    return house


def test_an_order_of_others_is_observed_and_counts() -> None:
    async def scene() -> None:
        house = await house_with_policy(ExternalPolicy.OBSERVE)

        await deliver(house, OTHERS, read=1)

        assert written(house) == [ExternalOrderSeen]
        assert reserved(house)[0] == Decimal(7)
        assert house.bridge.account(ACCOUNT).external_orders == 1
        assert cancels(house) == []

    run(scene())


@pytest.mark.parametrize("policy", [ExternalPolicy.ADOPT, ExternalPolicy.CANCEL])
def test_an_order_of_others_becomes_ours_where_the_policy_says_so(
    policy: ExternalPolicy,
) -> None:
    async def scene() -> None:
        house = await house_with_policy(policy)

        await deliver(house, OTHERS, read=1)
        house.board.deliver(
            MAIN,
            DeliverNews(executions=(fill("1", 4, broker_id=SECOND),), source=Source.POLL),
        )
        await quiet()

        (view,) = [one for one in house.board.views if one.adopted]
        assert (view.state, view.filled_quantity, view.broker_order_id) == (
            OrderState.PARTIALLY_FILLED,
            Decimal(4),
            SECOND,
        )
        assert written(house)[:2] == [ExternalOrderSeen, AdoptOrder]
        assert reserved(house) == (Decimal(3), Decimal(4))
        assert house.bridge.account(ACCOUNT).external_orders == 0
        assert cancels(house) == ([SECOND] if policy is ExternalPolicy.CANCEL else [])

    run(scene())


def test_an_order_of_which_too_little_is_known_is_adopted_once_more_is() -> None:
    async def scene() -> None:
        house = await house_with_policy(ExternalPolicy.ADOPT)
        counter = metrics.ANOMALIES.labels("switchboard", "unadoptable")
        before = counter._value.get()

        await deliver(house, replace(OTHERS, conid=None))
        early = [one for one in house.board.views if one.adopted]
        await deliver(house, OTHERS, read=1)

        assert early == []
        assert counter._value.get() == before + 1
        assert len([one for one in house.board.views if one.adopted]) == 1

    run(scene())


def test_an_adopted_order_is_found_after_a_restart_and_can_be_cancelled() -> None:
    async def scene() -> None:
        first = await house_with_policy(ExternalPolicy.ADOPT)
        await deliver(first, OTHERS, read=1)
        house = await ready_house(first.journal.durable, epoch=2)
        (view,) = [one for one in house.board.views if one.adopted]

        await deliver(house, replace(OTHERS, filled_quantity=None), read=1)
        await tell(house, view, CancelOrder(order_id=view.order_id, cause="me"))

        assert cancels(house) == [SECOND]
        assert ExternalOrderSeen not in written(house)

    run(scene())


def test_an_adoption_that_the_journal_refuses_leaves_a_stranger() -> None:
    async def scene() -> None:
        house = await house_with_policy(ExternalPolicy.ADOPT)
        house.journal.fail()

        await deliver(house, OTHERS, read=1)

        assert [one for one in house.board.views if one.adopted] == []
        assert house.board.order_of(ACCOUNT, SECOND) is None

    run(scene())


def test_nothing_is_written_again_of_others_after_a_restart() -> None:
    async def scene() -> None:
        first = await house_with_policy(ExternalPolicy.OBSERVE)
        await deliver(first, OTHERS, read=1)
        house = await ready_house(first.journal.durable, epoch=2)

        await deliver(house, OTHERS, read=1)
        again = written(house)
        await deliver(house, replace(OTHERS, status=BrokerStatus.CANCELLED), read=2)

        assert again == []
        assert written(house) == [ExternalOrderSeen]
        assert house.bridge.account(ACCOUNT).external_orders == 0

    run(scene())


# --- the lines -----------------------------------------------------------------------------------


def test_records_of_an_order_name_its_session() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        of_order = [one.entry for one in house.journal.durable if one.entry.order_id is not None]

        assert {entry.session for entry in of_order} == {MAIN}
        assert {entry.order_id for entry in of_order} == {view.order_id}

    run(scene())


def test_the_read_that_showed_a_row_is_told_with_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.board.learn_alias(
            LearnAlias(order_id=view.order_id, account=ACCOUNT, broker_order_id=SECOND)
        )

        await deliver(house, whole(), whole(broker_order_id=SECOND), read=4)

        assert OrderRowSeen in written(house)
        assert house.bridge.order(view.order_id).other_broker_order_ids == (SECOND,)

    run(scene())
