"""What a session reads of its accounts for their risk, and what becomes of the answers."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias, assert_never

from engine.domain.messages import (
    CallFailed,
    DeliverToRisk,
    FailureKind,
    FundsRead,
    LedgerRead,
    PositionsRead,
    ProfitRead,
    ProfitSeen,
    ReportAnomaly,
    SessionCall,
    SessionEffect,
    StartTimer,
)
from engine.domain.session.login import Login
from engine.domain.session.orders import SessionOrders
from engine.domain.session.plan import Plan
from engine.domain.session.recovery import Recovery
from engine.domain.session.rounds import AccountRounds
from engine.domain.session.settings import STEP_RETRY_MS
from engine.domain.values import AccountId

AccountAnswer: TypeAlias = PositionsRead | FundsRead | LedgerRead | ProfitRead
_Effects: TypeAlias = Iterator[SessionEffect]


class AccountReads:
    """Goes through the accounts; the timer `accounts` is for the next read."""

    def __init__(self, plan: Plan, login: Login, orders: SessionOrders) -> None:
        self.recovery = Recovery(orders.live)
        self._plan = plan
        self._login = login
        self._search = orders.search
        self._rounds = AccountRounds()

    def begin(self, accounts: Iterable[AccountId]) -> _Effects:
        """Read all that risk needs, as fast as the answers come."""
        self._rounds.begin(accounts)
        yield from self.go_on()

    def stop(self) -> None:
        """Read nothing any more."""
        self._rounds.stop()

    def put_back(self) -> None:
        """The read in hand was refused for its pace; it comes first when time is up."""
        self._rounds.put_back()

    @property
    def positions_tried(self) -> bool:
        """True once the positions of all accounts were read, or could not be."""
        return self._rounds.tried_all

    def read_soon(self, account: AccountId) -> _Effects:
        """Read this account before all others."""
        self._rounds.read_soon(account)
        yield from self.read_next()

    def read_next(self) -> _Effects:
        """Make the read that is due, unless one is on its way."""
        read = self._rounds.take()
        if read is not None:
            yield read

    def go_on(self) -> _Effects:
        """Make the next read, now or in a while."""
        if self._rounds.gap_ms:
            yield StartTimer(name="accounts", delay_ms=self._rounds.gap_ms)
        else:
            yield from self.read_next()

    def answered(self, message: AccountAnswer, now_ns: int) -> _Effects:
        """Tell risk, and go on."""
        account: AccountId | None = None
        match message:
            case PositionsRead(account=account):
                call = SessionCall.POSITIONS
                self._search.read_positions(message)
                yield DeliverToRisk(account=account, message=message)
            case FundsRead():
                call, account = SessionCall.FUNDS, message.funds.account
                yield DeliverToRisk(account=account, message=message)
            case LedgerRead(account=account):
                call = SessionCall.LEDGER
                yield DeliverToRisk(account=account, message=message)
            case ProfitRead(results=results):
                call = SessionCall.PROFIT
                for one in results:
                    seen = ProfitSeen(result=one, now_ns=now_ns)
                    yield DeliverToRisk(account=one.account, message=seen)
            case _:
                assert_never(message)
        if self._plan.note_answer(call) and self._rounds.finish(call, account):
            yield from self._recover(message, now_ns)
            yield from self.go_on()
        elif self._rounds.is_in_hand(call) and not self._plan.is_out(call):
            # The one in hand came before an older one, and was taken for that: read it again.
            self._rounds.put_back()
            yield from self.go_on()

    def _recover(self, message: AccountAnswer, now_ns: int) -> _Effects:
        """See how far the account is with that."""
        match message:
            case PositionsRead(account=account):
                yield from self.recovery.read_positions(account, now_ns)
            case FundsRead(funds=funds):
                yield from self.recovery.read_funds(funds.account)
            case _:
                return

    def failed(self, message: CallFailed) -> _Effects:
        """Try another account first; one that cannot be read holds up no other."""
        if not self._rounds.is_in_hand(message.call):
            return
        if message.failure.kind is FailureKind.UNAUTHORIZED:
            # A lost login is answered like an unknown account: ask at once which it is.
            yield from self._login.ask()
        given_up = self._rounds.fail()
        if given_up is not None:
            detail = f"{message.call} of {given_up.account}: {message.failure.message}"
            yield ReportAnomaly(machine="session", kind="account_unread", detail=detail)
            if given_up.call is SessionCall.FUNDS and given_up.account is not None:
                yield from self.recovery.read_funds(given_up.account)
        delay_ms = max(self._rounds.gap_ms, STEP_RETRY_MS)
        yield StartTimer(name="accounts", delay_ms=delay_ms)
