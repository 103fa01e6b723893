"""Limits and halts of all that an account is part of; more is in test_account.py."""

from engine.domain.risk.restrictions import Restrictions
from engine.domain.values import TradingState
from tests.domain.risk.samples import BUY, FIRM, MINE, halt, limits


def test_the_strictest_is_named_with_who_or_what_says_so() -> None:
    restrictions = Restrictions(limits(), None)
    found = [restrictions.strictest(BUY)]

    for scope, level in ((FIRM, TradingState.REDUCE_ONLY), (MINE, TradingState.HALT)):
        restrictions.halt(halt(scope, level))
        found.append(restrictions.strictest(BUY))

    assert found == [
        (TradingState.NORMAL, "trading_state, built-in"),
        (TradingState.REDUCE_ONLY, "firm halted by ops: drill"),
        (TradingState.HALT, "account:DU1234567 halted by ops: drill"),
    ]


def test_a_milder_halt_never_replaces_a_stricter_one() -> None:
    restrictions = Restrictions(limits(), None)

    restrictions.halt(halt(restrictions.mine, TradingState.HALT))
    restrictions.halt(halt(restrictions.mine, TradingState.REDUCE_ONLY))

    assert restrictions.strictest(None)[0] is TradingState.HALT


def test_a_resume_lifts_all_of_its_scope_and_nothing_else() -> None:
    restrictions = Restrictions(limits(), None)
    restrictions.halt(halt(FIRM))
    restrictions.halt(halt(MINE))

    restrictions.resume(MINE)

    assert restrictions.is_halted(FIRM)
    assert not restrictions.is_halted(MINE)
