"""Orders at the broker that no order here is known by: others' orders, or ours too early.

Rule 1: they are seen and told, never touched.

Rule 2: our own order is a stranger for as long as its first rows have overtaken the answer
that names it. So nothing is called external before it had time to be claimed; a row with
somebody else's order reference is, at once.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from engine import metrics
from engine.actors.shell import Clock
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

    @property
    def status(self) -> tuple[BrokerStatus | None, str | None]:
        """The status, known or not by name; both None as long as no row told one."""
        return (None, None) if self.row is None else (self.row.status, self.row.unknown_status)


class Strangers:
    """Remembers strangers until they are claimed, and tells of those that are not ours.

    `on_external` is called with a row when such an order is new, or its status is.
    `is_sending` says whether an order of ours in that account waits for its name.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_external: Callable[[SessionName, OrderRow], None],
        is_sending: Callable[[AccountId], bool],
    ) -> None:
        self._clock = clock
        self._on_external = on_external
        self._is_sending = is_sending
        self._known: OrderedDict[_Key, Stranger] = OrderedDict()
        self._of_session: dict[SessionName, OrderedDict[_Key, None]] = {}
        self._untold: dict[_Key, None] = {}
        self._working: dict[SessionName, set[_Key]] = {}

    def meet(self, session: SessionName, row: OrderRow, source: Source) -> bool:
        """Take a row; True when it is the first one that names its order reference."""
        key = (row.account, row.broker_order_id)
        stranger = self._stranger(session, key)
        known = stranger.row
        # Rows are parts; keep what an older part said and this one does not.
        stranger.row = row if known is None else _merged(known, row)
        stranger.seen_at_ns = self._clock.wall_ns()
        not_ours = stranger.told is not None or stranger.row.coid is not None
        if not_ours or (source is not Source.STREAM and not self._is_sending(row.account)):
            self._tell(key, stranger)
        else:
            self._untold[key] = None
        return row.coid is not None and (known is None or known.coid is None)

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

    def claim(self, account: AccountId, broker_order_id: BrokerOrderId) -> Stranger | None:
        """Forget a stranger that is none; return what was told of it, None without anything."""
        key = (account, broker_order_id)
        stranger = self._known.pop(key, None)
        if stranger is not None:
            self._forget(key, stranger)
        return stranger

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
        if stranger.row.status in _OVER:
            working.discard(key)
        else:
            working.add(key)
        self._count(stranger.session)
        self._on_external(stranger.session, stranger.row)

    def _forget(self, key: _Key, stranger: Stranger) -> None:
        self._of_session[stranger.session].pop(key, None)
        self._untold.pop(key, None)
        self._working.setdefault(stranger.session, set()).discard(key)
        self._count(stranger.session)

    def _count(self, session: SessionName) -> None:
        metrics.EXTERNAL_ORDERS.labels(session).set(len(self._working[session]))


def _merged(known: OrderRow, news: OrderRow) -> OrderRow:
    told = {
        name: value for name in OrderRow.__slots__ if (value := getattr(news, name)) is not None
    }
    return replace(known, **told)
