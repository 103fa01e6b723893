from dataclasses import replace
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AccountReconciled,
    ChangeAnswer,
    FundsRead,
    HaltScope,
    ProfitSeen,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    RequestVerdict,
    ResumeScope,
)
from engine.domain.risk.exposure import Doubt, Exposure
from engine.domain.values import (
    Funds,
    OrderId,
    ProfitAndLoss,
    Reconciliation,
    Scope,
    ScopeKind,
    Terms,
    TradingState,
)
from tests.actors.house import ACCOUNT, TICKET, House, coid, ready_house
from tests.domain.risk.samples import CONID, INSTRUMENT, execution, position, told
from tests.fakes import quiet, run, skip

MINE = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)
LABEL = metrics.account_label(ACCOUNT)


def request(house: House, *, quantity: int = 10) -> RequestOrder:
    return RequestOrder(
        ticket=replace(TICKET, quantity=Decimal(quantity)),
        order_id=OrderId("1-1"),
        coid=coid(1),
        request_sha256="f" * 64,
        instrument=INSTRUMENT,
        quote=house.quote(),
        now_ns=house.clock.monotonic_ns(),
    )


def test_a_request_is_answered_at_once_and_the_order_is_started() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True

        answer = await house.board.risks[ACCOUNT].ask(request(house))

        assert answer == RequestAnswer(verdict=RequestVerdict.APPROVED, order_id=OrderId("1-1"))
        assert house.board.order_ref(OrderId("1-1")) is not None
        assert house.journal.of_orders == []

    run(scene())


def test_how_much_of_each_limit_is_in_use_is_shown() -> None:
    async def scene() -> None:
        house = await ready_house()

        await house.board.risks[ACCOUNT].ask(request(house))
        await quiet()

        used = metrics.RISK_UTILISATION.labels(LABEL, "R08")._value.get()
        assert used == pytest.approx(0.01), "10 of 1,000 units"

    run(scene())


def test_a_refusal_is_counted_and_logged_with_its_reason() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.RISK_DENIALS.labels(LABEL, "R08")
        before = counter._value.get()

        with capture_logs() as logs:
            answer = await house.board.risks[ACCOUNT].ask(request(house, quantity=1_001))

        assert answer.verdict is RequestVerdict.DENIED
        assert counter._value.get() == before + 1
        (line,) = [line for line in logs if line["event"] == "order_denied"]
        assert (line["account"], line["check"], line["code"]) == (
            ACCOUNT,
            "R08",
            "QTY_EXCEEDS_MAX",
        )
        assert "1001 units" in line["why"]

    run(scene())


def test_the_trading_state_is_shown_as_a_number() -> None:
    async def scene() -> None:
        house = await ready_house()
        gauge = metrics.RISK_STATE.labels(LABEL)
        risk = house.board.risks[ACCOUNT]
        halt = HaltScope(scope=MINE, level=TradingState.CANCEL_ONLY, reason="drill", by="ops")

        await risk.ask(halt)
        halted = gauge._value.get()
        await risk.ask(ResumeScope(scope=MINE, reason="over", by="ops"))

        assert (halted, gauge._value.get()) == (2, 0)

    run(scene())


def test_an_accounts_money_is_shown_where_it_is_known() -> None:
    async def scene() -> None:
        house = await ready_house()
        risk = house.board.risks[ACCOUNT]
        now_ns = house.clock.monotonic_ns()
        funds = Funds(
            account=ACCOUNT,
            currency="USD",
            net_liquidation=Decimal("1000.50"),
            available_funds=None,
            excess_liquidity=None,
        )
        result = ProfitAndLoss(
            account=ACCOUNT, daily=Decimal("-12.5"), unrealized=None, net_liquidation=None
        )

        await risk.ask(FundsRead(funds=funds, now_ns=now_ns))
        await risk.ask(ProfitSeen(result=result, now_ns=now_ns))

        assert metrics.NET_LIQUIDATION.labels(LABEL)._value.get() == 1000.5
        assert metrics.DAILY_PNL.labels(LABEL)._value.get() == -12.5

    run(scene())


def test_what_risk_did_not_expect_is_reported() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.ANOMALIES.labels("risk", "position_differs")
        before = counter._value.get()
        house.line.session.positions = (position(7),)

        await skip(31)  # Until the holdings are read again, and nobody saw those 7 traded.

        assert counter._value.get() == before + 1

    run(scene())


def test_positions_in_doubt_are_read_again_once_their_fills_have_settled() -> None:
    async def scene() -> None:
        house = await ready_house()
        risk = house.supervisor.risks[ACCOUNT].risk
        read_ns, now_ns = house.clock.monotonic_ns(), house.clock.monotonic_ns()
        house.line.session.positions = (position(10),)
        bought = told(execution("a.01", 10), second=0)

        await house.board.risks[ACCOUNT].ask(replace(bought, now_ns=now_ns, seen_ns=now_ns))
        await skip(5)
        early = risk.exposure(CONID)
        await skip(0.2)

        assert early.doubt == Doubt(below=Decimal(10))
        assert risk.exposure(CONID) == Exposure(position=Decimal(10))
        (shown,) = risk.position_views(read_ns)
        assert (shown.lowest, shown.highest) == (Decimal(10), Decimal(10))

    run(scene())


def test_the_first_comparison_of_a_login_is_in_the_journal_and_in_the_metrics() -> None:
    async def scene() -> None:
        house = await ready_house()
        now_s = house.clock.wall_ns() / 1e9

        (entry,) = (one.entry for one in house.journal.durable)

        assert (entry.account, entry.order_id, entry.session) == (ACCOUNT, None, "main")
        assert isinstance(entry.message, AccountReconciled)
        assert entry.message.result is Reconciliation.CLEAN
        assert metrics.ACCOUNT_RECONCILED.labels(LABEL)._value.get() == 1
        assert metrics.RECONCILE_BREAKS.labels(LABEL)._value.get() == 0
        agreed_s = metrics.RECONCILED_TIMESTAMP.labels(LABEL)._value.get()
        assert agreed_s == pytest.approx(now_s, abs=10)

    run(scene())


def test_a_break_halts_its_account_durably_and_pages() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.session.positions = (position(7),)

        with capture_logs() as logs:
            await skip(125)

        reports = [line for line in logs if line["event"] == "account_breaks_found"]
        assert [(line["log_level"], line["account"]) for line in reports] == [("error", ACCOUNT)]
        assert "AAPL (265598) should be 0 and is 7" in reports[0]["why"]
        (halt,) = house.supervisor.halts.values()
        assert (halt.scope, halt.level, halt.by) == (MINE, TradingState.REDUCE_ONLY, "engine")
        assert halt.reason == reports[0]["why"]
        messages = [one.entry.message for one in house.journal.durable]
        written = [one.result for one in messages if isinstance(one, AccountReconciled)]
        assert written == [Reconciliation.CLEAN, Reconciliation.BREAKS]
        assert halt in messages
        assert metrics.RECONCILE_BREAKS.labels(LABEL)._value.get() == 1
        assert house.bridge.account(ACCOUNT).reconciliation is Reconciliation.BREAKS

    run(scene())


def test_a_person_who_resumes_the_account_accepts_its_breaks() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.session.positions = (position(7),)
        await skip(125)

        await house.bridge.resume(ResumeScope(scope=MINE, reason="transferred in", by="ops"))
        await skip(1)

        shown = house.bridge.account(ACCOUNT)
        assert (shown.reconciliation, shown.breaks) == (Reconciliation.CLEAN, ())
        assert shown.trading_state is TradingState.NORMAL
        assert metrics.RECONCILE_BREAKS.labels(LABEL)._value.get() == 0
        record = house.journal.durable[-1].entry.message
        assert isinstance(record, AccountReconciled)
        assert record.positions == ((CONID, Decimal(7)),)

    run(scene())


def test_a_comparison_that_cannot_be_written_is_logged_and_stops_nothing() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.fail()
        house.line.session.positions = (position(7),)

        with capture_logs() as logs:
            await skip(125)

        events = [line["event"] for line in logs if line["log_level"] in {"error", "critical"}]
        assert "reconciliation_not_written" in events
        assert house.bridge.account(ACCOUNT).trading_state is TradingState.REDUCE_ONLY

    run(scene())


def test_a_change_is_answered_at_once_and_a_refusal_denies_no_order() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        terms = Terms(quantity=Decimal(1_001), limit_price=Decimal(100), stop_price=None)
        asked = RequestChange(
            view=view,
            ticket=TICKET,
            terms=terms,
            by="ops",
            instrument=INSTRUMENT,
            quote=house.quote(),
            now_ns=house.clock.monotonic_ns(),
        )

        with capture_logs() as logs:
            refused = await house.board.risks[ACCOUNT].ask(asked)
        approved = await house.board.risks[ACCOUNT].ask(
            replace(asked, terms=replace(terms, quantity=Decimal(11)))
        )

        assert isinstance(refused, ChangeAnswer)
        assert refused.change is None
        assert [entry["event"] for entry in logs] == ["change_refused"]
        assert isinstance(approved, ChangeAnswer)
        assert approved.refused is None
        assert house.supervisor.risks[ACCOUNT].risk.exposure(INSTRUMENT.conid).working_buy == 11

    run(scene())
