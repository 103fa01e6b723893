"""The way from an open brokerage session to READY, and back when it is lost.

Priming, question suppression and subscriptions die with a brokerage session, so each new
one walks all of it: accounts, portfolio accounts, suppression, the cold reads, the stream.
Then what the broker has is read: the positions of the accounts, for as long as the pace of
the lists makes one wait anyway, then the lists; then the session is ready. Its accounts are
so one by one, see `recovery`.
"""

from collections.abc import Iterator
from typing import TypeAlias

from engine.domain.messages import (
    AccountsRead,
    CallGateway,
    CloseStream,
    OpenStream,
    SessionCall,
    StartTimer,
    StopTimer,
)
from engine.domain.session.accounts import AccountReads
from engine.domain.session.effects import Effect
from engine.domain.session.login import Login
from engine.domain.session.orders import SessionOrders
from engine.domain.session.plan import Plan
from engine.domain.session.polls import Polls
from engine.domain.session.settings import (
    POSITIONS_MS_MAX,
    STEP_RETRY_MS,
    STREAM_MS_MAX,
    TICKLE_MS,
    SessionSettings,
    login_problem,
)
from engine.domain.session.standing import Standing
from engine.domain.values import AccountId, SessionState

_Effects: TypeAlias = Iterator[Effect]


class WarmUp:
    """Takes the steps. The timer `step` is for the one in hand, `lists` for the lists."""

    def __init__(
        self,
        settings: SessionSettings,
        standing: Standing,
        plan: Plan,
        login: Login,
        orders: SessionOrders,
    ) -> None:
        self.accounts: tuple[AccountId, ...] = settings.accounts or ()
        self.epoch = 0
        self.reads = AccountReads(plan, login, orders)
        self.polls = Polls(standing, plan, orders, self.reads.recovery)
        self._settings = settings
        self._standing = standing
        self._plan = plan
        self._login = login
        self._orders = orders
        self._lists_due = False
        self._lists_read = False

    def begin(self) -> _Effects:
        """The brokerage session is open: prime it."""
        self.epoch += 1
        self._orders.search.begin_login(self.epoch)
        self._login.deadline.begin_login()
        self.polls.stop()
        self.reads.recovery.stop()
        self._standing.enter(
            SessionState.WARMING, "WARMING", "the brokerage session is being primed"
        )
        for name in ("auth", "step"):
            yield StopTimer(name=name)
        yield StartTimer(name="tickle", delay_ms=TICKLE_MS)
        yield self._plan.begin(
            CallGateway(call=SessionCall.ACCOUNTS),
            CallGateway(call=SessionCall.PORTFOLIO_ACCOUNTS),
            CallGateway(call=SessionCall.SUPPRESS, message_ids=self._settings.suppress),
            # The first reads of a brokerage session are cold: they only subscribe.
            CallGateway(call=SessionCall.ORDERS, force=True),
            CallGateway(call=SessionCall.TRADES, force=True),
            OpenStream(),
        )

    def lose(self) -> _Effects:
        """Forget all that dies with the brokerage session."""
        self._plan.clear()
        self.reads.stop()
        self.reads.recovery.stop()
        self.polls.stop()
        for name in ("tickle", "poll", "accounts", "step", "lists"):
            yield StopTimer(name=name)
        yield CloseStream()

    def reconcile(self, *, anew: bool = False) -> _Effects:
        """Read what the broker has: all of it in a new login, or `anew`; else the lists."""
        self._standing.enter(
            SessionState.RECONCILING, "RECONCILING", "orders, trades and positions are being read"
        )
        self.polls.begin()
        self.reads.stop()
        for name in ("poll", "accounts", "step"):
            yield StopTimer(name=name)
        self._plan.renew()
        self._lists_due, self._lists_read = True, False
        if anew or self.reads.recovery.epoch != self.epoch:
            yield from self.reads.recovery.begin(self.accounts, self.epoch)
            yield StartTimer(name="lists", delay_ms=POSITIONS_MS_MAX)
            yield from self.reads.begin(self.accounts)
        else:
            yield from self._read_lists()
            yield from self.reads.begin(self.accounts)

    def read_lists(self, *, late: bool = False) -> _Effects:
        """Read the lists once the positions were; or because it gets `late`."""
        reconciling = self._standing.tier is SessionState.RECONCILING
        if self._lists_due and reconciling and (late or self.reads.positions_tried):
            yield StopTimer(name="lists")
            yield from self._read_lists()

    def _read_lists(self) -> _Effects:
        self._lists_due = False
        trades = self.polls.read_trades(self._orders.search.now_ns)
        yield self._plan.go(CallGateway(call=SessionCall.ORDERS), trades)

    @property
    def done(self) -> bool:
        """True once the lists were read since the session began to reconcile."""
        return self._standing.tier is SessionState.RECONCILING and self._lists_read

    def finish(self, call: SessionCall) -> _Effects:
        """An answer is in: go on, if it is of this plan and to the step in hand."""
        if self._plan.note_answer(call) and self._plan.call is call:
            yield from self.advance()

    def advance(self) -> _Effects:
        """The step in hand is done; go to the next."""
        step = self._plan.finish()
        if isinstance(step, OpenStream):
            yield StartTimer(name="step", delay_ms=STREAM_MS_MAX)
        if step is not None:
            yield step
        else:
            self._lists_read = True  # Only the reads of the lists are last.

    def read_accounts(self, message: AccountsRead) -> _Effects:
        """The login has told its accounts."""
        if not self._plan.note_answer(SessionCall.ACCOUNTS):
            return
        if not message.accounts:
            # A session that is just opening answers with empty lists, without an error.
            yield StartTimer(name="step", delay_ms=STEP_RETRY_MS)
            return
        problem = login_problem(self._settings, message)
        if problem is not None:
            yield from self.lose()
            yield from self._login.lock_out(problem)
            return
        if self._settings.accounts is None:
            self.accounts = tuple(name for name in message.accounts if name != "All")
        if self._plan.call is SessionCall.ACCOUNTS:
            yield from self.advance()
