"""Whether the broker and this engine agree on what an account holds.

Rule 1: an account is compared once all that explains its holdings was read in a login;
until it was, its orders are refused. While the session lives, every answer is compared.

Rule 2: one answer proves nothing: the broker serves positions from caches. A difference is
a break once a second answer shows it, with no execution to explain it: `SETTLE_NS` later at
a login, where nothing is sent meanwhile, and `CONFIRM_NS` later afterwards. Until then the
position counts as being anywhere between the two.

Rule 3: what an open order may have filled is no break before `LATE_NS`: the broker tells
executions late now and then. It holds up no login either, because that order counts as if
it could still fill.

Rule 4: pairs of currencies are not compared. Trading one changes cash in two of them; the
broker lists it as a position only for those accounts where it keeps such a virtual one.

Rule 5: a break never becomes a fill or an order. It stops what would increase a position,
in this one account, and is told to people with both figures. It goes on counting at its
worse end until an execution explains it, or a person who resumes the account takes the
broker's word for it.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from engine.domain.messages import (
    AccountReconciled,
    PositionsRead,
    ReadAccount,
    ReconcileAccount,
    ReportAnomaly,
    StartTimer,
    WriteReconciled,
)
from engine.domain.risk.effects import HaltAccount, LastReconciled
from engine.domain.risk.exposure import ZERO, Doubt
from engine.domain.risk.holdings import quantities_of, span_of
from engine.domain.risk.ledgers import Ledgers
from engine.domain.risk.limits import format_number
from engine.domain.risk.moves import SETTLE_NS, Move, Span
from engine.domain.values import (
    AccountId,
    ConId,
    PositionBreak,
    Reconciliation,
    SessionName,
    Side,
)

CONFIRM_NS: Final = 60_000_000_000
"""So long must a difference stand before it is a break, once an account trades."""

LATE_NS: Final = 300_000_000_000
"""So late may the executions of an open order be told."""

TIMER: Final = "reconcile"
_AGAIN: Final = "positions differ and are read again"
_RECORD_NS: Final = 15_000_000_000
"""The holdings of a record were read at most so long before it was written."""

_SHOWN_MAX: Final = 5
_NS_PER_MS: Final = 1_000_000

Effect: TypeAlias = WriteReconciled | HaltAccount | StartTimer | ReadAccount | ReportAnomaly


class Reconciler:
    """Compares the holdings of one account with what they should be.

    `may_fill` gives what the account's open orders may buy and sell of a contract, and
    `is_currency` tells a pair of currencies.
    """

    def __init__(
        self,
        account: AccountId,
        session: SessionName,
        may_fill: Callable[[ConId], Mapping[Side, Decimal]],
        is_currency: Callable[[ConId], bool],
    ) -> None:
        self._account: Final = account
        self._session: Final = session
        self._may_fill = may_fill
        self._is_currency = is_currency
        self._ledgers = Ledgers()
        self._login = ReconcileAccount(account=account, epoch=0, step="", done=False)
        self._status = Reconciliation.PENDING
        self._read: PositionsRead | None = None
        self._fresh = False
        self._agreed_ns: int | None = None
        self._suspects: dict[ConId, int] = {}
        self._breaks: tuple[PositionBreak, ...] = ()
        self._written: tuple[int, Reconciliation, frozenset[ConId]] | None = None

    @property
    def status(self) -> Reconciliation:
        """How the account stands; PENDING until it was compared in this login."""
        return self._status

    @property
    def step(self) -> str:
        """What is waited for while the comparison is pending; empty afterwards."""
        if self._status is not Reconciliation.PENDING:
            return ""
        if not self._login.done:
            return self._login.step or "a login"
        return _AGAIN if self._fresh else "positions"

    @property
    def shown(self) -> Reconciliation:
        """How the account stands, for people: EXPLAINING while something differs unproven."""
        explaining = self._status is Reconciliation.CLEAN and self._suspects
        return Reconciliation.EXPLAINING if explaining else self._status

    @property
    def shown_step(self) -> str:
        """What is waited for, for people; empty when nothing is."""
        count = len(self._suspects.keys() - self._broken)
        if self._status is Reconciliation.PENDING or not count:
            return self.step
        differing = "1 position differs" if count == 1 else f"{count} positions differ"
        return f"{differing}, executions may still explain it"

    @property
    def epoch(self) -> int:
        """The login that is, or was, compared."""
        return self._login.epoch

    @property
    def breaks(self) -> tuple[PositionBreak, ...]:
        """The differences that nothing explains and nobody has accepted."""
        return self._breaks

    @property
    def agreed_ns(self) -> int | None:
        """When the last answer that agreed in everything was complete; None before it."""
        return self._agreed_ns

    def restore(self, last: LastReconciled) -> None:
        """Count from what was agreed before the restart; what is known better stays."""
        if not self._ledgers.based:
            span = Span(started_ns=last.at_ns - _RECORD_NS, ended_ns=last.at_ns)
            self._ledgers.begin(dict(last.reconciled.positions), span)

    def move(self, moves: tuple[Move, ...]) -> None:
        """Count what an execution did, whoever's it was."""
        self._ledgers.move(moves)

    def begin(self, epoch: int) -> None:
        """There is a new login: what was compared before says nothing of it."""
        if epoch > self._login.epoch:
            step = ReconcileAccount(account=self._account, epoch=epoch, step="", done=False)
            self._restart(step)

    def follow(self, message: ReconcileAccount) -> Iterator[Effect]:
        """Take how far the reads of the login are; compare when all are done."""
        if message.epoch < self._login.epoch:
            return
        again = self._login.done and not message.done
        if message.epoch > self._login.epoch or again:
            self._restart(message)
        done_before, self._login = self._login.done, message
        if message.done and not done_before:
            yield from self._judge()

    def compare(self, message: PositionsRead) -> Iterator[Effect]:
        """Take an answer of the broker; one that is no newer than another is none."""
        if self._read is not None and message.started_ns <= self._read.started_ns:
            return
        self._read, self._fresh = message, True
        if self._login.done:
            yield from self._judge()

    def after_wait(self) -> Iterator[Effect]:
        """Ask for the answer that shows whether a difference stands."""
        if self._suspects.keys() - self._broken:
            yield ReadAccount(account=self._account)

    def accept(self) -> Iterator[Effect]:
        """A person takes the broker's word for all breaks."""
        if self._read is None or not self._breaks:
            return
        quantities, span = quantities_of(self._read), span_of(self._read)
        for found in self._breaks:
            self._ledgers.accept(found.conid, quantities.get(found.conid, ZERO), span)
            self._suspects.pop(found.conid, None)
        self._breaks = ()
        if self._status is not Reconciliation.PENDING:
            differing = self._ledgers.differences(quantities, span)
            yield from self._conclude(self._read, differing, frozenset())

    def doubt(self, conid: ConId, counted: Decimal, doubt: Doubt) -> Doubt:
        """Widen what is in doubt until it has what the account should hold, too.

        An answer may be an old one; so where it lacks what an execution did, whenever that
        is told, both may be true.
        """
        if not self._ledgers.based:
            return doubt
        should = self._ledgers.expected(conid)
        return Doubt(
            below=max(doubt.below, counted - should.lowest),
            above=max(doubt.above, should.highest - counted),
        )

    @property
    def conids(self) -> tuple[ConId, ...]:
        """The contracts that the account should hold, whatever the broker says."""
        return self._ledgers.conids

    @property
    def _broken(self) -> frozenset[ConId]:
        """The contracts whose break was proven in this login."""
        if self._status is Reconciliation.PENDING:
            return frozenset()
        return frozenset(found.conid for found in self._breaks)

    def _restart(self, message: ReconcileAccount) -> None:
        self._login = message
        self._status = Reconciliation.PENDING
        self._fresh = False
        self._suspects.clear()

    def _judge(self) -> Iterator[Effect]:
        """Compare the newest answer, now that it may be."""
        read = self._read
        if read is None or not self._fresh:
            return
        quantities, span = quantities_of(read), span_of(read)
        if not self._ledgers.based:
            self._ledgers.begin(quantities, span)
        differing = self._ledgers.differences(quantities, span)
        for conid in tuple(filter(self._is_currency, differing)):
            self._ledgers.accept(conid, differing.pop(conid)[1], span)
        is_new = bool(differing.keys() - self._suspects.keys())
        yield from self._suspect(differing, read)
        due_ns = {conid: self._due_ns(conid, *differing[conid]) for conid in self._suspects}
        broken = {
            conid for conid in due_ns if conid in self._broken or read.started_ns >= due_ns[conid]
        }
        if not differing:
            self._agreed_ns = read.ended_ns
        waiting = {conid: due_ns[conid] for conid in due_ns if conid not in broken}
        if waiting:
            # Soon for a first time: what the broker served was perhaps a little old.
            wait_ns = SETTLE_NS if is_new else min(waiting.values()) - read.ended_ns
            yield StartTimer(name=TIMER, delay_ms=max(wait_ns // _NS_PER_MS, 0) + 100)
        if self._status is Reconciliation.PENDING and not all(
            self._is_explicable(*differing[conid], conid) for conid in waiting
        ):
            return
        symbols = {position.conid: position.symbol for position in read.positions}
        symbols |= {found.conid: found.symbol for found in self._breaks if found.symbol}
        self._breaks = tuple(
            PositionBreak(
                conid=conid,
                symbol=symbols.get(conid, ""),
                expected=differing[conid][0],
                found=differing[conid][1],
            )
            for conid in sorted(broken)
        )
        yield from self._conclude(read, differing, frozenset(broken))

    def _due_ns(self, conid: ConId, should: Decimal, found: Decimal) -> int:
        """Return when a difference is a break if it still stands."""
        if self._is_explicable(should, found, conid):
            patience_ns = LATE_NS
        elif self._status is Reconciliation.PENDING:
            patience_ns = SETTLE_NS
        else:
            patience_ns = CONFIRM_NS
        return self._suspects[conid] + patience_ns

    def _is_explicable(self, should: Decimal, found: Decimal, conid: ConId) -> bool:
        """Tell whether open orders may have filled as much as it differs by."""
        side = Side.BUY if found > should else Side.SELL
        return abs(found - should) <= self._may_fill(conid)[side]

    def _suspect(
        self, differing: dict[ConId, tuple[Decimal, Decimal]], read: PositionsRead
    ) -> Iterator[Effect]:
        """Note since when each contract differs; one that agrees again is free of it."""
        for conid in self._suspects.keys() - differing.keys():
            del self._suspects[conid]
        for conid, (should, found) in differing.items():
            if conid in self._suspects:
                continue
            self._suspects[conid] = read.ended_ns
            detail = (
                f"account={self._account} conid={conid} expected={format_number(should)}"
                f" broker={format_number(found)}"
            )
            yield ReportAnomaly(machine="risk", kind="position_differs", detail=detail)

    def _conclude(
        self,
        read: PositionsRead,
        differing: Mapping[ConId, tuple[Decimal, Decimal]],
        broken: frozenset[ConId],
    ) -> Iterator[Effect]:
        self._status = Reconciliation.BREAKS if broken else Reconciliation.CLEAN
        told = (self._login.epoch, self._status, broken)
        if told == self._written:
            return
        self._written = told
        held = quantities_of(read)
        # Of what differs the figure that was agreed on is kept: so it does after a restart.
        held |= {conid: should for conid, (should, _) in differing.items()}
        positions = tuple((conid, held[conid]) for conid in sorted(held) if held[conid])
        yield WriteReconciled(
            reconciled=AccountReconciled(
                account=self._account,
                session=self._session,
                epoch=self._login.epoch,
                result=self._status,
                orders=self._login.orders,
                executions=self._login.executions,
                positions=positions,
                breaks=self._breaks,
            )
        )
        if broken:
            yield HaltAccount(account=self._account, reason=self._report())

    def _report(self) -> str:
        shown = [
            f"{found.symbol or 'contract'} ({found.conid}) should be"
            f" {format_number(found.expected)} and is {format_number(found.found)}"
            for found in self._breaks[:_SHOWN_MAX]
        ]
        more = len(self._breaks) - len(shown)
        if more:
            shown.append(f"{more} more")
        return (
            f"the broker's holdings differ from what orders and trades explain: "
            f"{', '.join(shown)}; check, then resume the account to accept the broker's figures"
        )
