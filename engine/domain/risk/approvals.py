"""Who may send what: requests and changes are checked and reserved in one step.

Rule 1: two requests in a row can never both pass on the same room, and a key that was used
before never makes a second order.

Rule 2: the orders of a group pass together or not at all. They are denied together, too,
so that each can be seen.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from typing import Final, TypeAlias

from engine.domain.messages import (
    ChangeAnswer,
    DenyOrder,
    ReportAnomaly,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    RequestVerdict,
    SessionChanged,
)
from engine.domain.risk.effects import ObserveChecks, RiskEffect, StartDenied, StartOrder
from engine.domain.risk.exposure import ZERO, Exposure, Reservation
from engine.domain.risk.figures import age_ms
from engine.domain.risk.inputs import Former, Inputs, with_terms
from engine.domain.risk.limits import EXACT
from engine.domain.risk.pricing import Missing
from engine.domain.risk.requests import check_change, check_request
from engine.domain.risk.reservations import Reservations
from engine.domain.risk.restrictions import Restrictions
from engine.domain.risk.verdict import Code
from engine.domain.values import (
    LIVE,
    ApprovedChange,
    ApprovedTicket,
    ClientOrderId,
    Coid,
    ConId,
    OrderId,
    Quote,
    Reason,
    Terms,
    Ticket,
)
from engine.domain.views import OrderView

CHANGE_LOST_NS: Final = 60_000_000_000
"""A change that the order's news has not shown after so long never reached the order."""

Effects: TypeAlias = tuple[RiskEffect, ...]


class Approvals:
    """Answers the requests of one account, and knows the keys of its orders.

    `exposure` gives the account's standing in a contract but for one order. `standing` is
    the session, and what the account waits for until it is compared with the broker.
    `ended_key` finds the order of a key that is over for so long that it sleeps.
    """

    def __init__(
        self,
        restrictions: Restrictions,
        reservations: Reservations,
        *,
        exposure: Callable[[ConId, OrderId | None], Exposure],
        standing: Callable[[], tuple[SessionChanged, str]],
        ended_key: Callable[[ClientOrderId], tuple[OrderId, str] | None],
    ) -> None:
        self._restrictions = restrictions
        self._reservations = reservations
        self._exposure = exposure
        self._standing = standing
        self._ended_key = ended_key
        self._keys: dict[ClientOrderId, tuple[OrderId, str]] = {}
        self._key_of: dict[OrderId, ClientOrderId] = {}
        self._unwritten: set[OrderId] = set()

    def knows(self, key: ClientOrderId) -> bool:
        """True when this key's order is durable; then a request makes nothing new."""
        known = self._order_of(key)
        return known is not None and known[0] not in self._unwritten

    def request(self, message: RequestOrder) -> tuple[RequestAnswer, Effects]:
        """Approve and reserve, or deny; of a group all or none."""
        if known := self._order_of(message.ticket.client_order_id):
            order_id, request_sha256 = known
            same = request_sha256 == message.request_sha256
            verdict = RequestVerdict.REPEATED if same else RequestVerdict.CONFLICT
            return RequestAnswer(verdict=verdict, order_id=order_id), ()
        for follower in message.followers:
            if known := self._order_of(follower.ticket.client_order_id):
                return RequestAnswer(verdict=RequestVerdict.CONFLICT, order_id=known[0]), ()
        with localcontext(EXACT):
            verdicts = check_request(message, lambda ticket: self._inputs(message, ticket))
        observe = ObserveChecks(account=message.ticket.account, verdicts=verdicts)
        for ticket, order_id, _ in _members(message):
            if self._take_key(ticket.client_order_id, order_id, message.request_sha256):
                self._unwritten.add(order_id)
        if reason := verdicts[-1].reason:
            answer = RequestAnswer(verdict=RequestVerdict.DENIED, order_id=message.order_id)
            return answer, (observe, *self._deny(message, reason))
        answer = RequestAnswer(verdict=RequestVerdict.APPROVED, order_id=message.order_id)
        approved, *followers = self._approve(message)
        return answer, (observe, StartOrder(approved=approved, followers=tuple(followers)))

    def change(self, message: RequestChange) -> tuple[ChangeAnswer, Effects]:
        """Approve new terms and reserve the larger, or say why not. It denies no order."""
        view = message.view
        reservation = self._reservations.get(view.order_id)
        refused = self._unchangeable(message, reservation)
        if refused is not None or reservation is None:
            return ChangeAnswer(refused=refused, change=None), ()
        members: tuple[Reservation, ...] = ()
        if reservation.group is not None:
            members = self._reservations.members(reservation.group.leader)
        with localcontext(EXACT):
            inputs = self._inputs_of_change(message, reservation)
            verdicts = check_change(inputs, reservation, members)
        observe = ObserveChecks(account=view.account, verdicts=verdicts, change=True)
        if reason := verdicts[-1].reason:
            return ChangeAnswer(refused=reason, change=None), (observe,)
        self._reservations.change(view.order_id, message.terms, message.now_ns)
        change = ApprovedChange(
            order_id=view.order_id,
            terms=message.terms,
            policy_hash=self._restrictions.limits.policy_hash,
            by=message.by,
        )
        return ChangeAnswer(refused=None, change=change), (observe,)

    def note_written(self, order_id: OrderId) -> None:
        """An order's first record is durable: its key is taken for good."""
        self._unwritten.discard(order_id)

    def note_key(self, view: OrderView) -> Iterator[ReportAnomaly]:
        """Take the key of an order that the journal knows."""
        if not self._take_key(view.client_order_id, view.order_id, view.request_sha256):
            detail = f"order {view.order_id} has the key {view.client_order_id!r} of another order"
            yield ReportAnomaly(machine="risk", kind="key_used_twice", detail=detail)

    def forget(self, order_id: OrderId) -> Iterator[ReportAnomaly]:
        """Free all of an order that never was, or that is over and sleeps from now on."""
        found = self._evidence_of(order_id)
        if found is not None:
            detail = f"order {order_id} was to be forgotten, but the account has its {found}"
            yield ReportAnomaly(machine="risk", kind="forgotten_too_late", detail=detail)
            return
        self._unwritten.discard(order_id)
        self._reservations.forget(order_id)
        key = self._key_of.pop(order_id, None)
        if key is not None:
            del self._keys[key]

    def _evidence_of(self, order_id: OrderId) -> str | None:
        """Say what there is of an order that should never have been, or sleep."""
        reservation = self._reservations.get(order_id)
        if reservation is None:
            return None
        if order_id in self._unwritten:
            told = reservation.told_quantity
            return f"filled {told}" if told else None
        key = self._key_of.get(order_id)
        asleep = None if key is None else self._ended_key(key)
        sleeps = asleep is not None and asleep[0] == order_id and reservation.can_sleep
        return None if sleeps else f"record {reservation.seq}"

    def _order_of(self, key: ClientOrderId) -> tuple[OrderId, str] | None:
        """Return the order that has a key, and the digest of its request."""
        return self._keys.get(key) or self._ended_key(key)

    def _take_key(self, key: ClientOrderId, order_id: OrderId, request_sha256: str) -> bool:
        """Give a key to an order, unless another one has it."""
        known = (order_id, request_sha256)
        if self._keys.setdefault(key, known) != known:
            return False
        self._key_of[order_id] = key
        return True

    def _inputs(self, message: RequestOrder, ticket: Ticket) -> Inputs:
        session, step = self._standing()
        state, source = self._restrictions.strictest(ticket)
        return Inputs(
            ticket=ticket,
            instrument=message.instrument,
            quote=message.quote,
            quote_age_ms=_quote_age_ms(message.quote, message.now_ns),
            limits=self._restrictions.limits,
            exposure=self._exposure(ticket.conid, None),
            session_ready=session.ready,
            session_reason=session.reason,
            unreconciled=step,
            trading_state=state,
            trading_source=source,
            obstacle=message.obstacle,
        )

    def _inputs_of_change(self, message: RequestChange, reservation: Reservation) -> Inputs:
        """Return the order with its new terms, as if it were new and the old one gone."""
        view = message.view
        session, step = self._standing()
        state, source = self._restrictions.strictest(message.ticket)
        return Inputs(
            ticket=with_terms(message.ticket, message.terms),
            instrument=message.instrument,
            quote=message.quote,
            quote_age_ms=_quote_age_ms(message.quote, message.now_ns),
            limits=self._restrictions.limits,
            exposure=self._exposure(view.conid, view.order_id),
            session_ready=session.ready,
            session_reason=session.reason,
            unreconciled=step,
            trading_state=state,
            trading_source=source,
            former=Former(
                terms=Terms(
                    quantity=view.quantity,
                    limit_price=view.limit_price,
                    stop_price=view.stop_price,
                ),
                filled_quantity=max(reservation.filled_quantity, reservation.told_quantity),
                held_quantity=reservation.held_quantity,
                units_max=view.quantity_max,
            ),
        )

    def _unchangeable(
        self, message: RequestChange, reservation: Reservation | None
    ) -> Reason | None:
        """Say why the order takes no change now, whatever its terms."""
        view = message.view
        if reservation is None or reservation.terminal or view.state not in LIVE:
            text = f"order {view.order_id} is {view.state}, only a live order can be modified"
            return Reason(code=Code.NOT_MODIFIABLE, message=text)
        since_ns = self._reservations.changing_since_ns(view.order_id)
        if since_ns is None and view.wanted is None:
            return None
        lost = since_ns is not None and message.now_ns - since_ns >= CHANGE_LOST_NS
        if lost and view.wanted is None and not self._reservations.is_change_seen(view.order_id):
            return None  # What it reserved stays reserved; see `Reservations`.
        text = f"order {view.order_id} has a modify that is not settled yet"
        return Reason(code=Code.REPLACE_PENDING, message=text)

    def _approve(self, message: RequestOrder) -> Iterator[ApprovedTicket]:
        """Reserve and approve all orders of a request that passed."""
        session, _ = self._standing()
        for ticket, order_id, coid in _members(message):
            units: Decimal | Missing = ticket.quantity
            if ticket.cash_quantity is not None:
                units = self._inputs(message, ticket).units
            assert not isinstance(units, Missing), "an order without a quantity passed its checks"
            self._reservations.reserve(ticket, order_id, coid, units=units, now_ns=message.now_ns)
            yield ApprovedTicket(
                ticket=ticket,
                order_id=order_id,
                coid=coid,
                session=session.session,
                questions=self._restrictions.limits.questions,
                policy_hash=self._restrictions.limits.policy_hash,
                request_sha256=message.request_sha256,
                quantity_max=ZERO if ticket.cash_quantity is None else units,
            )

    def _deny(self, message: RequestOrder, reason: Reason) -> Iterator[StartDenied]:
        """Deny all orders of a request, so that each can be seen."""
        for ticket, order_id, _ in _members(message):
            if order_id in self._unwritten:
                denied = DenyOrder(
                    order_id=order_id,
                    ticket=ticket,
                    reason=reason,
                    request_sha256=message.request_sha256,
                )
                yield StartDenied(denied=denied)


def _members(message: RequestOrder) -> Iterator[tuple[Ticket, OrderId, Coid]]:
    """Yield the orders of a request, the one that leads first."""
    yield message.ticket, message.order_id, message.coid
    for follower in message.followers:
        yield follower.ticket, follower.order_id, follower.coid


def _quote_age_ms(quote: Quote | None, now_ns: int) -> int | None:
    return None if quote is None else age_ms(quote.received_ns, now_ns)
