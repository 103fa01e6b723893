"""The search for doubtful orders: every read is held against what else is known.

Here come together what the lists show, what the stream and the answers told, which login
it is, and what the accounts hold. What it amounts to is decided in `absence`.

A login is the one of an order's attempt when this process sent the order in it. After a
restart nobody can say so; then a list is taken for one that goes back far enough when it
still shows an order of ours as ended that had ended before the attempt: a new brokerage
session begins without those. Whether it was this process is not told by the wall's clock
alone, which may have been put back: what is looked for before the first login is older.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from engine.domain.messages import (
    OrderChanged,
    OrdersRead,
    ParkOrder,
    PositionsRead,
    ProveAbsent,
    RequestLookup,
    RowsStreamed,
    StartSession,
    TradesRead,
)
from engine.domain.session.absence import Circumstances, ListRead, Read, is_whole
from engine.domain.session.effects import ObserveVisibility
from engine.domain.session.lookups import LOOKUP_HEALTHY_MS_MAX, Lookup, Lookups
from engine.domain.session.positions import PositionReads
from engine.domain.session.standing import Standing
from engine.domain.session.visibility import ENDED, OrderKey, Visibility
from engine.domain.values import TERMINAL, Coid, Evidence, OrderId, OrderRow
from engine.domain.views import OrderView

WINDOW_MARGIN_MS: Final = 600_000
"""So near to a reset or a maintenance no read proves anything."""

CANARY_AFTER_MS: Final = 10_000
"""A list is dated by what changed so long after the order was sent.

So long the gateway waits for the broker, and what the stream tells may be of a little before.
"""

POSITIONS_AFTER_MS: Final = 30_000
"""Positions are compared once they were read so long after the order was sent."""

ENDED_MAX: Final = 5_000
"""So many ended orders are remembered, the oldest are forgotten first."""

_MS: Final = 1_000_000
_Judgement: TypeAlias = Iterator[ParkOrder | ProveAbsent]


class Search:
    """What a session knows that helps to find its orders, or to prove them absent."""

    def __init__(self, standing: Standing) -> None:
        self.lookups = Lookups()
        self._standing = standing
        self._visibility = Visibility()
        self._positions = PositionReads()
        self._ended: dict[OrderKey, tuple[int, Coid | None]] = {}
        self._began_wall_ns: int | None = None
        self._epoch = 0
        self.now_ns = 0
        self._wall_ns = 0

    def pass_time(self, now_ns: int, wall_ns: int) -> None:
        """Take the time of the message that is handled now."""
        self.now_ns, self._wall_ns = now_ns, wall_ns
        if self._began_wall_ns is None:
            self._began_wall_ns = wall_ns

    def adopt(self, started: StartSession) -> None:
        """Go on from what the session of before knew, and from what the journal says."""
        for view in started.known:
            self._follow_end(view)
        for request in started.looking:
            self.look(request)

    def begin_login(self, epoch: int) -> None:
        """A brokerage login begins; what was read in the one before proves nothing in it."""
        self._epoch = epoch
        self._visibility.begin_login()
        for one in self.lookups:
            one.absence.begin_login()

    def look(self, request: RequestLookup) -> None:
        """Look for an order."""
        before = None
        if request.account is not None:
            before = self._positions.before(request.account, request.sent_at_ns)
        lookup = Lookup(
            request=request,
            since_ns=self.now_ns,
            lead_ms=max((self._wall_ns - request.sent_at_ns) // _MS, 0),
            before=before,
            earlier=request.session_epoch > self._epoch,
        )
        self.lookups.add(lookup)

    # --- what is told ------------------------------------------------------------------

    def tell(self, message: RowsStreamed) -> None:
        """The stream brought news."""
        self.lookups.see(row.coid for row in message.rows)
        self._visibility.tell(message, self.now_ns, self._wall_ns)

    def follow(self, message: OrderChanged) -> None:
        """An order of ours has changed."""
        self._visibility.answer(message.view, self.now_ns, self._wall_ns)
        self._follow_end(message.view)

    def _follow_end(self, view: OrderView) -> None:
        if view.broker_order_id is None:
            return
        key = (view.account, view.broker_order_id)
        if view.state not in TERMINAL:
            self._ended.pop(key, None)
            return
        self._ended[key] = (view.updated_at_ns, view.coid)
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    # --- what is read ------------------------------------------------------------------

    def read_orders(
        self, message: OrdersRead, asked_ns: int, *, streaming: bool
    ) -> Iterator[ObserveVisibility]:
        """Take a warm list of orders; or one that cleared the cache, which proves nothing."""
        self.lookups.see(row.coid for row in message.rows)
        if message.forced:
            self.lookups.clear_cache()
            return
        yield from self._visibility.read_orders(message, asked_ns, self.now_ns, self._wall_ns)
        if message.account is not None:
            return  # Made for an account that is being read anew, and besides the search.
        refreshed = self.lookups.take_refreshed()
        self.lookups.count_read(self.now_ns, healthy=self._standing.ready and message.complete)
        for one in self.lookups:
            request = one.request
            if request.account is None:
                continue
            read = ListRead(
                asked_ns=asked_ns,
                ended_ns=self.now_ns,
                complete=is_whole(message),
                ready=self._standing.ready,
                streaming=streaming,
                calm=self._is_calm(),
                same_login=self._is_login_of(one) or self._goes_back(message, request),
                behind=self._visibility.is_list_behind(request.account),
                refreshed=refreshed,
                nameless=any(self._may_be(row, request) for row in message.rows),
                canaries=self._visibility.canaries(
                    request.account, request.sent_at_ns + CANARY_AFTER_MS * _MS
                ),
            )
            one.absence.add(read)

    def read_trades(
        self, message: TradesRead, asked_ns: int, *, streaming: bool
    ) -> Iterator[ObserveVisibility]:
        """Take a list of executions."""
        self.lookups.see(one.coid for one in message.executions)
        self._positions.trade(message.executions, self._wall_ns)
        yield from self._visibility.read_trades(message, asked_ns, self.now_ns)
        for one in self.lookups:
            if one.request.account is None:
                continue
            read = Read(
                asked_ns=asked_ns,
                ended_ns=self.now_ns,
                complete=message.complete,
                ready=self._standing.ready,
                streaming=streaming,
                calm=self._is_calm(),
                # The trades of a day outlive the brokerage session.
                same_login=True,
                behind=self._visibility.are_trades_behind,
            )
            one.absence.add(read)

    def read_positions(self, message: PositionsRead) -> None:
        """Take a read of an account's positions."""
        self._positions.read(message, self.now_ns, self._wall_ns)

    def confirm(self, asked_ns: int) -> None:
        """A keep-alive that was sent then has found the login open."""
        for one in self.lookups:
            one.absence.confirm(asked_ns)

    def doubt(self) -> None:
        """The session is not ready, or its gateway may be silent."""
        for one in self.lookups:
            one.absence.doubt()

    @property
    def waits_for_keep_alive(self) -> bool:
        """True when reads would count for a proof once a keep-alive is answered."""
        return any(
            one.request.provable and one.absence.waits_for_keep_alive for one in self.lookups
        )

    # --- what it amounts to ------------------------------------------------------------

    def evidence(self, order_id: OrderId, now_ns: int) -> Evidence | None:
        """Return what was looked at so far for an order; None when it is not looked for."""
        one = self.lookups.find(order_id)
        return None if one is None else one.absence.weigh(replace(self._known(one), now_ns=now_ns))

    def judge(self) -> _Judgement:
        """Say which orders are proven absent, and which need a person by now."""
        for one in self.lookups:
            order_id = one.request.order_id
            evidence = one.absence.weigh(self._known(one))
            if not evidence.missing:
                self.lookups.remove(order_id)
                yield ProveAbsent(order_id=order_id, evidence=evidence)
            elif one.healthy_ms >= LOOKUP_HEALTHY_MS_MAX and not one.parked:
                one.parked = True
                yield ParkOrder(order_id=order_id, healthy_ms=one.healthy_ms, evidence=evidence)

    def _known(self, one: Lookup) -> Circumstances:
        request = one.request
        agree, due = self._compare_positions(one)
        return Circumstances(
            # As far as the search goes by the clock that nobody sets.
            sent_ns=one.since_ns - one.lead_ms * _MS,
            sought_ns=one.since_ns,
            now_ns=self.now_ns,
            healthy_ms=one.healthy_ms,
            lag_ms_max=self._visibility.lag_ms_max,
            provable=request.provable and request.account is not None and bool(request.coid),
            positions_agree=agree,
            positions_due=due,
        )

    def _compare_positions(self, one: Lookup) -> tuple[bool | None, bool]:
        """Return whether positions agree, None if nobody can tell, and whether they are due."""
        request = one.request
        if one.before is None or request.account is None or request.conid is None:
            return None, False
        since_ns = request.sent_at_ns + POSITIONS_AFTER_MS * _MS
        after = self._positions.after(request.account, since_ns)
        if after is None:
            return None, True
        return (
            self._positions.explain(request.account, request.conid, one.before, after),
            False,
        )

    def _is_calm(self) -> bool:
        calendar = self._standing.calendar
        return calendar is None or not calendar.is_near_window(self._wall_ns, WINDOW_MARGIN_MS)

    def _is_login_of(self, lookup: Lookup) -> bool:
        assert self._began_wall_ns is not None
        request = lookup.request
        here = request.sent_at_ns >= self._began_wall_ns and not lookup.earlier
        return here and request.session_epoch == self._epoch

    def _goes_back(self, message: OrdersRead, request: RequestLookup) -> bool:
        """Say whether the list shows an order of ours that had ended before the attempt.

        The broker gives its numbers again, so it has to be that order, and to be over.
        """
        for row in message.rows:
            ended = self._ended.get((row.account, row.broker_order_id))
            if ended is None or row.status not in ENDED:
                continue
            ended_ns, coid = ended
            if ended_ns < request.sent_at_ns and row.coid == coid:
                return True
        return False

    def _may_be(self, row: OrderRow, request: RequestLookup) -> bool:
        """Say whether a row without an order reference may be the order's."""
        if row.coid is not None or row.account != request.account:
            return False
        if row.conid not in (None, request.conid) or row.side not in (None, request.side):
            return False
        since_ns = self._visibility.known_since(row.account, row.broker_order_id)
        return since_ns is None or since_ns >= request.sent_at_ns
