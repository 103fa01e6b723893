"""What is read of accounts goes to their risk."""

from decimal import Decimal

from engine.domain.messages import (
    DeliverToRisk,
    LedgerRead,
    ProfitRead,
    ProfitSeen,
    SessionCall,
    SessionEffect,
    SessionMessage,
    TimerFired,
)
from engine.domain.values import CashBalance, ProfitAndLoss
from tests.domain.session.told import ACCOUNT, FUNDS, POSITIONS, Told, calls

LEDGER = LedgerRead(
    account=ACCOUNT,
    balances=(
        CashBalance(
            currency="USD",
            cash=Decimal(5),
            settled_cash=None,
            net_liquidation=None,
            exchange_rate=None,
        ),
    ),
    now_ns=3,
)
RESULT = ProfitAndLoss(
    account=ACCOUNT, daily=Decimal("-12.5"), unrealized=None, net_liquidation=None
)


def test_a_round_tells_risk_all_there_is() -> None:
    told = Told().ready()
    told.wait(5_000)
    answers: tuple[SessionMessage, ...] = (
        ProfitRead(results=(RESULT,)),
        POSITIONS,
        FUNDS,
        LEDGER,
    )

    effects: tuple[SessionEffect, ...] = ()
    for answer in answers:
        effects = (*effects, *told.tell(TimerFired(name="accounts"), answer))

    assert calls(effects) == [
        SessionCall.PROFIT,
        SessionCall.POSITIONS,
        SessionCall.FUNDS,
        SessionCall.LEDGER,
    ]
    assert [effect for effect in effects if isinstance(effect, DeliverToRisk)] == [
        DeliverToRisk(account=ACCOUNT, message=ProfitSeen(result=RESULT, now_ns=told.now_ns)),
        DeliverToRisk(account=ACCOUNT, message=POSITIONS),
        DeliverToRisk(account=ACCOUNT, message=FUNDS),
        DeliverToRisk(account=ACCOUNT, message=LEDGER),
    ]


def test_an_answer_that_nobody_waits_for_is_news_and_starts_nothing() -> None:
    told = Told().ready()

    effects = told.tell(LEDGER)

    assert effects == (DeliverToRisk(account=ACCOUNT, message=LEDGER),)
