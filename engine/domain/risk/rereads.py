"""When an account's positions are read again because some of them are in doubt.

Rule: doubt lasts seconds. The session reads every account now and then; an account whose
fills may be counted twice, or not at all, asks to be read as soon as that settles them.
"""

from typing import Final, TypeAlias

from engine.domain.messages import ReadAccount, StartTimer
from engine.domain.risk.holdings import Holdings
from engine.domain.risk.moves import SETTLE_NS, SKEW_NS
from engine.domain.values import AccountId

AFTER_FILL_MS: Final = SETTLE_NS // 1_000_000 + 100
"""So long after the last fill that is in doubt, a read surely has all of them."""

AFTER_READ_MS: Final = (SETTLE_NS + SKEW_NS) // 1_000_000
"""A read that left doubt is followed so late: who never stops trading is no burden."""

Effects: TypeAlias = tuple[StartTimer | ReadAccount, ...]


class Rereads:
    """The timer `positions` of one account."""

    def __init__(self, account: AccountId, holdings: Holdings) -> None:
        self._account = account
        self._holdings = holdings
        self._doubtful = 0
        self._waiting = False

    def after_fill(self) -> Effects:
        """Wait until the fill has settled, if it is in doubt."""
        before, self._doubtful = self._doubtful, self._holdings.doubtful
        return self._wait(AFTER_FILL_MS) if self._doubtful > before else ()

    def after_read(self) -> Effects:
        """Wait for another read, unless all is settled or the wait is on."""
        self._doubtful = self._holdings.doubtful
        return self._wait(AFTER_READ_MS) if self._doubtful and not self._waiting else ()

    def after_wait(self) -> Effects:
        """Ask for the read, unless another one settled everything."""
        self._waiting = False
        return (ReadAccount(account=self._account),) if self._holdings.doubtful else ()

    def _wait(self, delay_ms: int) -> Effects:
        self._waiting = True
        return (StartTimer(name="positions", delay_ms=delay_ms),)
