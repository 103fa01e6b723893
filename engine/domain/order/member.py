"""An order's life in a group, and its time: what it tells the others, and what it hears.

A group goes out in one request, which is the leader's. The leader's intent carries all of
it; the followers write intents of their own before the leader asks for its turn.

Rule 1: a follower does nothing about its own submit. It has no turn and sends nothing; that
an attempt was made, and what came of it, it hears from its leader. So it never ends unsent
by itself: a cancel of it, before the group was sent, is a cancel of the group.

Rule 2: what the leader's answer does not say of a follower, the broker's rows say. Until one
does, the follower may be at the broker; soon it is looked for like any order in doubt.

Rule 3: after a restart the leader tells its followers again what it knows. A follower that
is still without word from it, or that heard it before, loses nothing by it.

Rule 4: an entry whose exit is missing is unprotected. That is written down and reported, and
the account's policy says what is done.

Rule 5: an order that is good till a time is cancelled by us when that time has passed, also
when it passed while nobody was here. The broker's tickets have no field for it.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    ExecutionSeen,
    ForgetOrder,
    GroupSent,
    OrderAnswered,
    OrderDoubted,
    OrderEffect,
    OrderExpired,
    OrderProvenAbsent,
    OrderRecord,
    OrderRowSeen,
    OrderUnprotected,
    ReplaceExit,
    StartFollowers,
    StartTimer,
    Step,
    StopTimer,
    TellFollower,
)
from engine.domain.order import group
from engine.domain.order.recorder import OrderRecorder
from engine.domain.values import (
    TERMINAL,
    OrderId,
    OrderState,
    Outcome,
    OutcomeKind,
    Reason,
    Source,
    UnprotectedPolicy,
)
from engine.domain.views import OrderView

MEMBER_MS: Final = 5_000
"""A follower that the answer did not name and no row showed is in doubt after so long."""

LEADER_MS: Final = 30_000
"""A follower that was rebuilt waits so long for its leader's word, if an attempt was made."""

LEADER_MS_MAX: Final = 180_000
"""As long if none was made: longer than its leader may wait for a turn and its answers."""

EXITS_MS: Final = 10_000
"""So often an entry looks whether its exits are there, until they are."""

GUARD_MS: Final = 30_000
"""So often it looks whether they still are, while what it opened hangs on them."""

MISSING_NS: Final = 60_000_000_000
READS_MIN: Final = 3
"""An exit is missing when the entry was shown by so many reads, over so long, and it was not."""

OVERDUE_MS: Final = 60_000
"""So often an order whose time has passed is cancelled again, where a cancel was refused."""

_MS_NS: Final = 1_000_000

_UNHEARD: Final = frozenset({OrderState.SUBMITTING, OrderState.IN_DOUBT, OrderState.PARKED})
"""States in which the leader's word is news to a follower."""

Effects = tuple[OrderEffect, ...]


class OrderMember(OrderRecorder):
    """An order that may belong to a group, and may be good till a time."""

    __slots__ = ("_known_since_ns", "_last_read", "_looks_in_ms", "_reads", "_refusals", "exits")

    def __init__(self) -> None:
        super().__init__()
        self._known_since_ns = 0
        self._reads = 0
        self._last_read = 0
        self._looks_in_ms: int | None = None
        self._refusals: tuple[Outcome, ...] = ()
        self.exits: tuple[OrderView, ...] = ()
        """Set by the shell before the timer `exits`: this entry's exits, and what replaced them."""

    @property
    def follows(self) -> bool:
        """True when another order talks to the broker for this one."""
        return group.is_follower(self.ticket)

    def _record(
        self, record: OrderRecord, at_ns: int, *, confirm: bool = False
    ) -> tuple[OrderEffect, ...]:
        """Apply and write the record, and tell the others of the group what it means to them."""
        before = self._state
        was_known = self.broker_order_id is not None
        was_beside = self._open_prompt is not None or self.change is not None
        effects = super()._record(record, at_ns, confirm=confirm)
        ticket = self.ticket
        if ticket.group is None and ticket.good_till_ms is None:
            return effects
        more = self._follow_time(before, at_ns)
        if self.followers:
            told = () if was_beside else self._lead(record)
            watched = self._watch_exits(record, before, at_ns, was_known=was_known)
            more = (*more, *told, *watched)
        elif self.follows and isinstance(record, CancelOrder) and self.attempts == 0:
            cause = f"order {self.order_id} of its group was cancelled before the group was sent"
            more = (*more, self._tell(CancelOrder(order_id=self._leader, cause=cause)))
        return (*effects, *more)

    @property
    def _leader(self) -> OrderId:
        place = self.ticket.group
        assert place is not None, "an order of no group has no leader"
        return place.leader

    def _tell(
        self, message: GroupSent | OrderAnswered | CancelOrder | OrderProvenAbsent
    ) -> TellFollower:
        return TellFollower(message=message)

    # --- the leader ----------------------------------------------------------------------

    def _start_followers(self) -> Effects:
        if not self.followers:
            return ()
        start = StartFollowers(leader=self.order_id, followers=self.followers)
        # One that ended while its intent was being written had nobody to tell it then.
        return (start, *self._pass_on_end())

    def _announce_attempt(self) -> Effects:
        """Tell the followers that the request that carries them may leave from now on."""
        return tuple(
            self._tell(GroupSent(order_id=one.order_id, session_epoch=self.sent_epoch))
            for one in self.followers
        )

    def _lead(self, record: OrderRecord) -> Effects:
        """Tell the followers what a record of their leader means to them."""
        match record:
            case OrderAnswered(step=Step.PLACE | Step.REPLY, outcome=outcome):
                return self._pass_on(outcome)
            case OrderExpired() | CancelOrder() if self.attempts == 0:
                return self._pass_on_end()
            case OrderDoubted(reason=reason):
                return self._doubt_followers(reason)
            case OrderProvenAbsent() if self.state is OrderState.NOT_PLACED:
                return self._pass_on_absence()
            case _:
                return ()

    def _pass_on(self, outcome: Outcome) -> Effects:
        if outcome.kind is OutcomeKind.QUESTION:
            return ()  # The group waits for its answer as one.
        ended = self.state in TERMINAL and self.broker_order_id is None
        if ended and outcome.kind in {OutcomeKind.REFUSED, OutcomeKind.NOT_SENT}:
            return self._pass_on_end()
        if outcome.kind is OutcomeKind.REFUSED:
            outcome = group.UNSEEN  # The leader was seen, so the group was taken somehow.
        elif outcome.kind is OutcomeKind.NOT_SENT:
            outcome = _doubt(outcome.reason)  # A reply that was not sent leaves a question behind.
        assert self.coid is not None, "a leader was approved"
        self._refusals = group.unnamed_refusals(outcome)
        return tuple(
            self._tell(OrderAnswered(order_id=order_id, step=Step.PLACE, outcome=one))
            for order_id, one in group.outcomes(outcome, self.coid, self.followers)
        )

    def _pass_on_end(self) -> Effects:
        """Tell the followers that nothing of the group is at the broker, and why."""
        if self.state not in TERMINAL:
            return ()
        reason = self.reason
        kind = OutcomeKind.NOT_SENT
        if self.state is OrderState.REJECTED:
            kind = OutcomeKind.REFUSED
        elif self.state is OrderState.CANCELLED and self.attempts > 0 and not self._was_unsent:
            # A question about the group was open, and was declined.
            kind = OutcomeKind.REFUSED
            text = "cancelled" if reason is None else reason.message
            reason = Reason(code="NOT_CONFIRMED", message=text)
        told = self._tell_all(Outcome(kind=kind, reason=reason))
        if self.state is not OrderState.CANCELLED:
            return told
        return (*self._cancel_all(f"order {self.order_id}, which leads its group, was"), *told)

    @property
    def _was_unsent(self) -> bool:
        return self.reason is not None and self.reason.code == "CANCELLED_BEFORE_SENT"

    def _pass_on_absence(self) -> Effects:
        """Tell the exits that their entry is proven absent: without it there are none."""
        if not group.is_bracket_entry(self.ticket) or self.evidence is None:
            return ()
        return tuple(
            self._tell(OrderProvenAbsent(order_id=one.order_id, evidence=self.evidence))
            for one in self.followers
        )

    def _doubt_followers(self, reason: Reason | None) -> Effects:
        return (*self._announce_attempt(), *self._tell_all(_doubt(reason)))

    def _tell_all(self, outcome: Outcome) -> Effects:
        return tuple(
            self._tell(OrderAnswered(order_id=one.order_id, step=Step.PLACE, outcome=outcome))
            for one in self.followers
        )

    def _cancel_all(self, what: str) -> Effects:
        return tuple(
            self._tell(CancelOrder(order_id=one.order_id, cause=f"{what} cancelled"))
            for one in self.followers
        )

    # --- the follower --------------------------------------------------------------------

    def _group_sent(self, message: GroupSent, at_ns: int) -> Effects:
        if not self.follows or self.state is not OrderState.SUBMITTING or self.attempts > 0:
            return ()
        return self._attempted(message.session_epoch, at_ns)

    def _attempted(self, session_epoch: int, at_ns: int) -> Effects:
        attempt = AttemptStarted(order_id=self.order_id, number=1, session_epoch=session_epoch)
        return self._record(attempt, at_ns)

    def _told(self, message: OrderAnswered, at_ns: int) -> Effects:
        """Take what the leader says became of the request that carried this order."""
        outcome = message.outcome
        submitting = self.state is OrderState.SUBMITTING
        ends = outcome.kind in {OutcomeKind.NOT_SENT, OutcomeKind.REFUSED}
        if self.state not in _UNHEARD:
            return ()  # The broker's own word was faster.
        if ends and self.broker_order_id is not None:
            text = "its group is said to have come to nothing, and the broker has shown it"
            return self._doubt_member(at_ns, Reason(code="MEMBER_SHOWN", message=text))
        if outcome.kind is OutcomeKind.NOT_SENT:
            return self._record(message, at_ns) if submitting else ()
        sent = () if self.attempts or not submitting else self._attempted(0, at_ns)
        if outcome.kind is OutcomeKind.ACK and outcome.broker_order_id is None:
            if not submitting:
                return sent
            return (*sent, StartTimer(name="member", delay_ms=MEMBER_MS))
        if outcome.kind is OutcomeKind.IN_DOUBT and not submitting:
            return sent
        return (*sent, *self._record(message, at_ns))

    def _doubt_member(self, at_ns: int, reason: Reason) -> Effects:
        """Look for a follower of which neither the answer nor a row has told yet."""
        if not self.follows or self.state is not OrderState.SUBMITTING:
            return ()
        sent = () if self.attempts else self._attempted(0, at_ns)
        doubted = OrderDoubted(order_id=self.order_id, reason=reason)
        return (*sent, *self._record(doubted, at_ns))

    def _intent_failed(self) -> Effects:
        """Let nothing come of a group when an intent of it could not be written."""
        if not self.follows:
            # They were not begun; but risk holds their exposure and their keys.
            account = self.ticket.account
            return tuple(
                ForgetOrder(order_id=one.order_id, account=account) for one in self.followers
            )
        cause = f"the intent of order {self.order_id} of its group could not be written"
        return (self._tell(CancelOrder(order_id=self._leader, cause=cause)),)

    # --- after a restart -----------------------------------------------------------------

    def _remind(self, at_ns: int, why: str) -> Effects:
        """Tell the followers again what is known, and wait again for what is to come."""
        time = self._start_good_till(at_ns)
        if self.ticket.group is None:
            return time
        if self.follows:
            if self.state is not OrderState.SUBMITTING:
                return time
            delay_ms = LEADER_MS if self.attempts else LEADER_MS_MAX
            return (*time, StartTimer(name="leader", delay_ms=delay_ms))
        return (*time, *self._tell_again(why), *self._look_again(at_ns))

    def _tell_again(self, why: str) -> Effects:
        if not self.followers:
            return ()
        if self.attempts == 0:
            return self._start_followers()
        sent = self._announce_attempt()
        unseen = self.broker_order_id is None
        if self.state is OrderState.EXPIRED or (
            unseen and self.state in {OrderState.CANCELLED, OrderState.REJECTED}
        ):
            return (*sent, *self._pass_on_end())
        text = f"{why} before the outcome of its group was known"
        doubt = self._tell_all(_doubt(Reason(code="RESTARTED", message=text)))
        absent = self._pass_on_absence() if self.state is OrderState.NOT_PLACED else ()
        return (*sent, *doubt, *absent)

    def _look_again(self, at_ns: int) -> Effects:
        if not group.is_bracket_entry(self.ticket) or not self.followers:
            return ()
        self._known_since_ns = at_ns
        return self._watch()

    # --- exits ---------------------------------------------------------------------------

    @property
    def _ended_unfilled(self) -> bool:
        return self.state in TERMINAL and self.fills.quantity == 0

    def _watch_exits(
        self, record: OrderRecord, before: OrderState | None, at_ns: int, *, was_known: bool
    ) -> Effects:
        """Look soon whether the exits are there, when something says that they should be."""
        if not group.is_bracket_entry(self.ticket):
            return ()
        found = self.broker_order_id is not None and not was_known
        ended = self.state in TERMINAL and before not in TERMINAL and before is not None
        if found:
            self._known_since_ns, self._reads = at_ns, 0
        if not found and not ended and not isinstance(record, ExecutionSeen):
            return ()
        return self._watch()

    def _watch(self, delay_ms: int = EXITS_MS) -> Effects:
        if self._looks_in_ms is not None and self._looks_in_ms <= delay_ms:
            return ()
        self._looks_in_ms = delay_ms
        return (StartTimer(name="exits", delay_ms=delay_ms),)

    def _note_read(self, message: OrderRowSeen) -> None:
        """Count the reads of the list that showed this entry, each once."""
        if message.read and message.source is not Source.STREAM:
            self._reads += message.read != self._last_read
            self._last_read = message.read

    def _look_after_exits(self, at_ns: int) -> Effects:
        """Write down which exits are missing, and do what the account's policy says."""
        self._looks_in_ms = None
        if not group.is_bracket_entry(self.ticket):
            return ()
        if self._ended_unfilled:
            cause = f"its entry {self.order_id} ended as {self.state} without a fill"
            return tuple(
                self._tell(CancelOrder(order_id=view.order_id, cause=cause))
                for view in group.own_exits(self.exits)
                if view.state not in TERMINAL
            )
        if self.broker_order_id is None:
            return ()  # It is looked for itself; once it is found, this begins anew.
        waited_ns = at_ns - self._known_since_ns
        patient = self._reads >= READS_MIN and waited_ns >= MISSING_NS
        lost = () if self._is_closed else self._lost(patient=patient)
        effects = (*self._refuse_rest(), *self._note_missing(lost, at_ns))
        if lost and self.policy.unprotected is UnprotectedPolicy.REPLACE_EXIT:
            effects = (*effects, *self._replace_exits(lost))
        if lost or group.sought(self.exits):
            return (*effects, *self._watch())
        if self._is_guarded:
            return (*effects, *self._watch(GUARD_MS))
        return effects

    def _refuse_rest(self) -> Effects:
        """Tell the exits that are left that they were refused, when as many were as are left."""
        rest = group.sought(self.exits)
        if len(rest) != len(self._refusals):
            return ()
        pairs = zip(rest, self._refusals, strict=True)
        return tuple(
            self._tell(OrderAnswered(order_id=order_id, step=Step.PLACE, outcome=outcome))
            for order_id, outcome in pairs
        )

    def _lost(self, *, patient: bool) -> tuple[OrderId, ...]:
        return group.missing(
            self.exits, needed=self._unclosed, patient=patient, known=self.unprotected
        )

    @property
    def _is_closed(self) -> bool:
        """True when the exits, or what replaced them, have closed all that will ever open."""
        closed = sum((view.filled_quantity for view in self.exits), Decimal(0))
        return self.state in TERMINAL and closed >= self.fills.quantity

    @property
    def _is_guarded(self) -> bool:
        """True while what the entry opened hangs on orders that may yet come to nothing."""
        waits = any(view.state not in TERMINAL for view in self.exits)
        return waits and self.fills.quantity > 0 and not self._is_closed

    @property
    def _unclosed(self) -> Decimal:
        """What of the entry has filled, and none of its own exits has closed."""
        own = group.own_exits(self.exits)
        return self.fills.quantity - sum((view.filled_quantity for view in own), Decimal(0))

    def _note_missing(self, lost: tuple[OrderId, ...], at_ns: int) -> Effects:
        if lost == self.unprotected:
            return ()
        policy = self.policy.unprotected
        record = OrderUnprotected(order_id=self.order_id, missing=lost, policy=policy)
        effects = self._record(record, at_ns)
        if not lost:
            return effects
        named = " and ".join(lost)
        text = f"the broker does not show its exit {named}; the policy is {policy}"
        return (*effects, self._anomaly("unprotected", text))

    def _replace_exits(self, lost: tuple[OrderId, ...]) -> Effects:
        """Take back what is left of the exits; once it is gone, have new ones submitted.

        The new ones are a group of their own. Beside them, an exit that the broker does hold
        would close the position a second time.
        """
        if self._unclosed <= 0:
            return ()
        cause = f"the exits of {self.order_id} are replaced, because one of them is missing"
        own = group.own_exits(self.exits)
        left = tuple(view for view in own if view.state not in TERMINAL)
        cancels = tuple(
            self._tell(CancelOrder(order_id=view.order_id, cause=cause)) for view in left
        )
        if any(view.order_id not in lost for view in left):
            return cancels
        return (*cancels, ReplaceExit(exit_id=lost[0], quantity=self._unclosed))

    # --- time ----------------------------------------------------------------------------

    def _follow_time(self, before: OrderState | None, at_ns: int) -> Effects:
        """Let the time that an order is good till run while the order does."""
        if self.ticket.good_till_ms is None:
            return ()
        began = self.state not in TERMINAL and (before is None or before in TERMINAL)
        if began:
            return self._start_good_till(at_ns)
        ended = self.state in TERMINAL and before not in TERMINAL
        return (StopTimer(name="good_till"),) if ended else ()

    def _start_good_till(self, at_ns: int) -> Effects:
        until_ms = self.ticket.good_till_ms
        if until_ms is None or self.state in TERMINAL:
            return ()
        left_ms = -((at_ns - until_ms * _MS_NS) // _MS_NS)
        return (StartTimer(name="good_till", delay_ms=max(left_ms, 0)),)

    @property
    def _overdue(self) -> str:
        until_ms = self.ticket.good_till_ms
        assert until_ms is not None, "an order without a time is never overdue"
        until = datetime.fromtimestamp(until_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        return f"good till {until.replace('+00:00', 'Z')} has passed"

    def _is_overdue(self, at_ns: int) -> bool:
        until_ms = self.ticket.good_till_ms
        return until_ms is not None and at_ns >= until_ms * _MS_NS


def _doubt(reason: Reason | None) -> Outcome:
    return Outcome(kind=OutcomeKind.IN_DOUBT, reason=reason)
