"""The reads of a session's accounts: one at a time, round after round.

Rule 1: one read is on its way at a time, so that a login with fifty accounts leaves the
pace of its gateway to orders and keep-alives.

Rule 2: the first pass goes as fast as the answers come and reads what an account needs
before it may trade: the positions of all accounts, as the lists that follow are for all of
them, and then their funds. Later rounds are spread: each account is read every 30 s, and with
many accounts as often as four reads a second allow.

Rule 3: an account that cannot be read holds up no other: it comes again at the end.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from engine.domain.messages import CallGateway, SessionCall
from engine.domain.values import AccountId

ROUND_MS: Final = 30_000
GAP_MS_MIN: Final = 250
TRIES_MAX: Final = 3
"""So often a read is tried before it is left for the next round."""

ACCOUNT_CALLS: Final = frozenset(
    {SessionCall.POSITIONS, SessionCall.FUNDS, SessionCall.LEDGER, SessionCall.PROFIT}
)


class AccountRounds:
    """What is to be read next, and which answer belongs to it."""

    def __init__(self) -> None:
        self.is_first_pass = False
        self.in_hand: CallGateway | None = None
        self._begun = False
        self._accounts: tuple[AccountId, ...] = ()
        self._left: deque[CallGateway] = deque()
        self._tries: Counter[CallGateway] = Counter()
        self._untried: set[AccountId] = set()

    @property
    def tried_all(self) -> bool:
        """True once the positions of every account were read, or could not be."""
        return self._begun and not self._untried

    def begin(self, accounts: Iterable[AccountId]) -> None:
        """Start over with the first pass."""
        self.stop()
        self._accounts = tuple(accounts)
        self._tries.clear()
        self._begun = True
        self.is_first_pass = bool(self._accounts)
        self._untried = set(self._accounts)
        for call in (SessionCall.POSITIONS, SessionCall.FUNDS):
            for account in self._accounts:
                self._left.append(CallGateway(call=call, account=account))

    def stop(self) -> None:
        """Read nothing any more; what is on its way is nobody's."""
        self._begun = False
        self._accounts = ()
        self.in_hand = None
        self._left.clear()
        self._untried.clear()
        self.is_first_pass = False

    def read_soon(self, account: AccountId) -> None:
        """Read this account before all others."""
        self._left.appendleft(CallGateway(call=SessionCall.FUNDS, account=account))
        self._left.appendleft(CallGateway(call=SessionCall.POSITIONS, account=account))

    def take(self) -> CallGateway | None:
        """Return the read that is due now; None while one is on its way, or without any."""
        if self.in_hand is not None or not self._accounts:
            return None
        if not self._left:
            self._refill()
        self.in_hand = self._left.popleft()
        return self.in_hand

    def _refill(self) -> None:
        self._tries.clear()
        self._left.append(CallGateway(call=SessionCall.PROFIT))
        for account in self._accounts:
            for call in (SessionCall.POSITIONS, SessionCall.FUNDS, SessionCall.LEDGER):
                self._left.append(CallGateway(call=call, account=account))

    def is_in_hand(self, call: SessionCall) -> bool:
        """True when the read in hand is such a call."""
        return self.in_hand is not None and self.in_hand.call is call

    def finish(self, call: SessionCall, account: AccountId | None) -> bool:
        """Take an answer; False when it is not to the read in hand."""
        read = self.in_hand
        if read is None or (read.call, read.account) != (call, account):
            return False
        self._end()
        return True

    def put_back(self) -> None:
        """The read in hand was not made; it comes first again."""
        if self.in_hand is not None:
            self._left.appendleft(self.in_hand)
            self.in_hand = None

    def fail(self) -> CallGateway | None:
        """Take the failure of the read in hand; return it once it is given up for now."""
        read = self.in_hand
        assert read is not None
        self._tries[read] += 1
        again = self._tries[read] < TRIES_MAX
        if again:
            self._left.append(read)
        self._end()
        return None if again else read

    def _end(self) -> None:
        read, self.in_hand = self.in_hand, None
        if read is not None and read.call is SessionCall.POSITIONS and read.account is not None:
            self._untried.discard(read.account)
        if not self._left:
            self.is_first_pass = False

    @property
    def gap_ms(self) -> int:
        """How long to wait before the next read."""
        if self.is_first_pass:
            return 0
        reads = 3 * len(self._accounts) + 1
        return max(ROUND_MS // reads, GAP_MS_MIN)
