"""Orders at the broker that no order here is known by: others' orders, or ours too early.

Rule 1: they are seen and told, and what of them may still fill is told to risk. Nothing
here touches them; whether somebody does, the account's policy says.

Rule 2: our own order is a stranger for as long as its first rows have overtaken the answer
that names it. So nothing is called external before it had time to be claimed; a row with
somebody else's order reference is, at once.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engine import metrics
from engine.actors.shell import Clock
from engine.domain.messages import ExternalWorking
from engine.domain.order import group
from engine.domain.order.incarnations import merged
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Execution,
    ExecutionId,
    OrderRow,
    SessionName,
    Source,
)
from engine.domain.views import ExternalOrderView

STRANGERS_MAX: Final = 10_000
"""Orders of others that are remembered a session; its oldest are forgotten first."""

CLAIM_NS: Final = 2_000_000_000
"""So long a streamed row may wait for the answer that says whose it is."""

SEND_NS: Final = 15_000_000_000
"""So long while an order of ours is being sent: its answer may take 12 s."""

UNSEEN_NS_MAX: Final = 24 * 3_600 * 1_000_000_000
"""An order that was at work and is not shown for so long is taken for ended: lists are daily."""

SWEEP_NS: Final = 60_000_000_000
"""How often somebody looks for those."""

_OVER: Final = frozenset({BrokerStatus.FILLED, BrokerStatus.CANCELLED, BrokerStatus.INACTIVE})

_Key: TypeAlias = tuple[AccountId, BrokerOrderId]


@dataclass(slots=True, kw_only=True)
class Stranger:
    """What was told of an order before anybody knew it."""

    session: SessionName
    met_ns: int
    seen_at_ns: int
    row: OrderRow | None = None
    executions: dict[ExecutionId, Execution] = field(default_factory=dict)
    told: tuple[BrokerStatus | None, str | None] | None = None
    counted: ExternalWorking | None = None

    @property
    def status(self) -> tuple[BrokerStatus | None, str | None]:
        """The status, known or not by name; both None as long as no row told one."""
        return (None, None) if self.row is None else (self.row.status, self.row.unknown_status)

    @property
    def over(self) -> bool:
        """True once it has ended, as far as anybody told."""
        return self.row is not None and self.row.status in _OVER


class Strangers:
    """Remembers strangers until they are claimed, and tells of those that are not ours.

    `on_external` is called with a row when such an order is new to the journal, or its status
    is. `on_working` hears whatever changes what of it may still fill. `is_sending` says
    whether an order of ours in that account waits for its name.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_external: Callable[[SessionName, OrderRow], None],
        on_working: Callable[[ExternalWorking], None],
        is_sending: Callable[[AccountId], bool],
    ) -> None:
        self._clock = clock
        self._on_external = on_external
        self._on_working = on_working
        self._is_sending = is_sending
        self._known: OrderedDict[_Key, Stranger] = OrderedDict()
        self._of_session: dict[SessionName, OrderedDict[_Key, None]] = {}
        self._untold: dict[_Key, None] = {}
        self._working: dict[SessionName, set[_Key]] = {}
        self._written: dict[_Key, tuple[BrokerStatus | None, str | None]] = {}
        self._exits: dict[_Key, set[_Key]] = {}
        self._swept_ns = clock.monotonic_ns()

    def remember(self, rows: Iterable[OrderRow]) -> None:
        """Take what the journal says of strangers; that much is no news."""
        for row in rows:
            key = (row.account, row.broker_order_id)
            self._written[key] = (row.status, row.unknown_status)

    def meet(self, session: SessionName, row: OrderRow, source: Source) -> bool:
        """Take a row; True when it is the first one that names its order reference."""
        key = (row.account, row.broker_order_id)
        stranger = self._stranger(session, key)
        known = stranger.row
        # Rows are parts; keep what an older part said and this one does not.
        stranger.row = merged(known, row)
        self._note_entry(key, known, stranger.row)
        stranger.seen_at_ns = self._clock.wall_ns()
        not_ours = stranger.told is not None or stranger.row.coid is not None
        if not_ours or (source is not Source.STREAM and not self._is_sending(row.account)):
            self._tell(key, stranger)
        else:
            self._untold[key] = None
        if stranger.told is not None:
            self._tell_working(key, stranger)
        return row.coid is not None and (known is None or known.coid is None)

    def _note_entry(self, key: _Key, before: OrderRow | None, now: OrderRow) -> None:
        """Let an order be found by the entry that it names; renumbered, that is another one."""
        if before is not None and group.entry_named_by(before) != group.entry_named_by(now):
            self._leave_entry(key, before)
        entry = group.entry_named_by(now)
        if entry is not None:
            self._exits.setdefault((key[0], entry), set()).add(key)

    def _leave_entry(self, key: _Key, row: OrderRow) -> None:
        entry = group.entry_named_by(row)
        if entry is None:
            return
        named = self._exits.get((key[0], entry), set())
        named.discard(key)
        if not named:
            self._exits.pop((key[0], entry), None)

    def meet_fill(self, session: SessionName, execution: Execution) -> None:
        """Take an execution, to hand it over to whoever claims its order."""
        if execution.broker_order_id is not None:
            stranger = self._stranger(session, (execution.account, execution.broker_order_id))
            # Every read of the trades tells them again; one that knows its commission stays.
            known = stranger.executions.get(execution.execution_id)
            if known is None or known.commission is None:
                stranger.executions[execution.execution_id] = execution

    def settle(self) -> None:
        """Tell of those that had their time to be claimed."""
        now_ns = self._clock.monotonic_ns()
        for key in tuple(self._untold):
            stranger = self._known[key]
            patience_ns = SEND_NS if self._is_sending(key[0]) else CLAIM_NS
            if now_ns - stranger.met_ns >= patience_ns:
                self._tell(key, stranger)
                if stranger.told is not None and key in self._known:
                    self._tell_working(key, stranger)
        self._drop_unseen()

    def _drop_unseen(self) -> None:
        """Let what no list shows any more count no more."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._swept_ns < SWEEP_NS:
            return
        self._swept_ns = now_ns
        oldest_ns = self._clock.wall_ns() - UNSEEN_NS_MAX
        for keys in self._working.values():
            for key in [key for key in keys if self._known[key].seen_at_ns < oldest_ns]:
                self._forget(key, self._known.pop(key))

    def claim(
        self, account: AccountId, broker_order_id: BrokerOrderId, *, durable: bool = True
    ) -> Stranger | None:
        """Forget a stranger that is none; return what was told of it, None without anything.

        While it is not `durable` whose it is, risk goes on counting it as somebody's.
        """
        key = (account, broker_order_id)
        stranger = self._known.pop(key, None)
        if stranger is not None:
            self._forget(key, stranger, told=not durable)
        return stranger

    def put_back(self, account: AccountId, broker_order_id: BrokerOrderId, one: Stranger) -> None:
        """Know a stranger again as it was: nobody's it is, after all."""
        key = (account, broker_order_id)
        if key in self._known:
            return  # It was met anew meanwhile.
        self._known[key] = one
        self._of_session.setdefault(one.session, OrderedDict())[key] = None
        if one.row is not None:
            self._note_entry(key, None, one.row)
        if one.told is not None and not one.over:
            self._working.setdefault(one.session, set()).add(key)
            self._count(one.session)

    def find(
        self, account: AccountId, broker_order_id: BrokerOrderId
    ) -> tuple[SessionName, OrderRow, bool] | None:
        """Return a stranger's session, what is known of it, and whether it is over."""
        stranger = self._known.get((account, broker_order_id))
        if stranger is None or stranger.row is None:
            return None
        return stranger.session, stranger.row, stranger.over

    def rows_naming(self, account: AccountId, entry: BrokerOrderId) -> tuple[OrderRow, ...]:
        """Return the rows of strangers that say that they are exits of this entry."""
        keys = sorted(self._exits.get((account, entry), ()))
        rows = (self._known[key].row for key in keys if key != (account, entry))
        return tuple(row for row in rows if row is not None)

    def working(self, account: AccountId) -> tuple[ExternalWorking, ...]:
        """Return what was told last of those of the account that may still fill."""
        return tuple(
            stranger.counted
            for keys in self._working.values()
            for key in sorted(keys)
            if key[0] == account and (stranger := self._known[key]).counted is not None
        )

    def external(self, account: AccountId) -> tuple[ExternalOrderView, ...]:
        """Return the account's orders that are not ours, the newest first."""
        return tuple(
            ExternalOrderView(
                session=stranger.session, row=stranger.row, seen_at_ns=stranger.seen_at_ns
            )
            for (owner, _), stranger in reversed(self._known.items())
            if owner == account and stranger.told is not None and stranger.row is not None
        )

    def executions(self, account: AccountId) -> Iterable[Execution]:
        """Return the account's executions of orders that nobody claimed."""
        for (owner, _), stranger in self._known.items():
            if owner == account:
                yield from stranger.executions.values()

    def _stranger(self, session: SessionName, key: _Key) -> Stranger:
        stranger = self._known.get(key)
        if stranger is None:
            met_ns, seen_at_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
            stranger = Stranger(session=session, met_ns=met_ns, seen_at_ns=seen_at_ns)
            self._known[key] = stranger
            mine = self._of_session.setdefault(session, OrderedDict())
            mine[key] = None
            if len(mine) > STRANGERS_MAX:
                oldest = next(iter(mine))
                self._forget(oldest, self._known.pop(oldest))
        return stranger

    def _tell(self, key: _Key, stranger: Stranger) -> None:
        if stranger.row is None or stranger.status in {(None, None), stranger.told}:
            return
        stranger.told = stranger.status
        self._untold.pop(key, None)
        working = self._working.setdefault(stranger.session, set())
        if stranger.over:
            working.discard(key)
        else:
            working.add(key)
        self._count(stranger.session)
        if self._written.pop(key, None) != stranger.status:
            self._on_external(stranger.session, stranger.row)

    def _tell_working(self, key: _Key, stranger: Stranger) -> None:
        """Tell what of it may still fill, if that is not what was told last."""
        row = stranger.row
        assert row is not None
        news = ExternalWorking(row=row, over=stranger.over)
        if key not in self._known or (stranger.counted is None and news.over):
            return
        if stranger.counted is None or _matter(stranger.counted) != _matter(news):
            stranger.counted = news
            self._on_working(news)

    def _forget(self, key: _Key, stranger: Stranger, *, told: bool = False) -> None:
        self._of_session[stranger.session].pop(key, None)
        self._untold.pop(key, None)
        if stranger.row is not None:
            self._leave_entry(key, stranger.row)
        self._working.setdefault(stranger.session, set()).discard(key)
        self._count(stranger.session)
        if stranger.counted is not None and not stranger.counted.over and not told:
            self._on_working(ExternalWorking(row=stranger.counted.row, over=True))

    def _count(self, session: SessionName) -> None:
        metrics.EXTERNAL_ORDERS.labels(session).set(len(self._working[session]))


def _matter(working: ExternalWorking) -> tuple[object, ...]:
    """Return what of a row changes what may still fill."""
    row = working.row
    return (
        working.over,
        row.status,
        row.unknown_status,
        row.conid,
        row.side,
        row.total_quantity,
        row.filled_quantity,
        row.limit_price,
        row.stop_price,
        row.order_type,
    )
