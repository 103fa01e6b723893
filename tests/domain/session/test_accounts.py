"""What is read of accounts goes to their risk."""

from dataclasses import replace
from decimal import Decimal

from engine.domain.messages import (
    AccountsRead,
    DeliverToRisk,
    LedgerRead,
    PositionsRead,
    ProfitRead,
    ProfitSeen,
    SessionCall,
    SessionMessage,
    StreamLost,
    StreamReady,
    TimerFired,
)
from engine.domain.session import Effect
from engine.domain.values import AccountId, CashBalance, ProfitAndLoss
from tests.domain.session.told import ACCOUNT, FUNDS, POSITIONS, SETTINGS, WARM_UP, Told, calls

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

    effects: tuple[Effect, ...] = ()
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


def test_answers_in_another_order_than_their_requests_do_not_end_the_reads() -> None:
    other = AccountId("DU7654321")
    told = Told(replace(SETTINGS, accounts=(ACCOUNT, other)))
    both = AccountsRead(accounts=(ACCOUNT, other), paper=True)
    # The first read of positions hangs while the stream is lost and comes back.
    told.tell(*WARM_UP[:2], both, *WARM_UP[3:9])
    told.tell(StreamLost(reason="cut"), StreamReady())

    told.tell(POSITIONS)
    late = PositionsRead(account=other, positions=(), started_ns=1, ended_ns=2)
    effects = told.tell(late)

    assert calls(effects) == [SessionCall.POSITIONS], "the reads go on"
