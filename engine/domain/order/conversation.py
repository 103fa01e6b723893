"""The conversations with the broker: a submit, a modify, a cancel, and its questions.

Rule 1: nothing is sent before the record that announces it is durable, and nothing is sent
twice. A submit asks for its turn as soon as its intent is handed to the journal: where the
lane is idle, its attempt is written right behind it, and one commit makes both durable.

Rule 2: a submit and a modify have a turn of the session's lane from their request to its
last answer. One conversation goes on at a time; a prompt waits until it is over.

Rule 3: a modify is settled by the broker's word, by its rows, or by the fills. What proves
nothing leaves it open, and the larger of the two terms stays reserved.
"""

from typing import Final, assert_never

from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    ModifyAtBroker,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderDoubted,
    OrderEffect,
    OrderExpired,
    PlaceAtBroker,
    PromptRaised,
    ReleaseTurn,
    ReplyAtBroker,
    ReplyDecided,
    RequestTurn,
    StartTimer,
    Step,
    StopTimer,
    SubmitOrder,
    TurnGranted,
)
from engine.domain.order.member import OVERDUE_MS, OrderMember
from engine.domain.values import (
    LIVE,
    TERMINAL,
    Answer,
    OrderState,
    OrderType,
    Outcome,
    OutcomeKind,
    Question,
    Reason,
    UnprotectedPolicy,
)

TURN_WAIT_MS_MAX: Final = 30_000
"""What got no turn for so long is stale: a submit ends unsent, a modify is given up."""

MARKET_WAIT_MS_MAX: Final = 5_000
"""As long for a submit without a price of its own: it was approved at the price of then."""

ROUNDS_MAX: Final = 10
"""More questions in one conversation than this are declined, and more prompts of one order."""

_CAPPED: Final = frozenset({OrderType.MIDPRICE, OrderType.REL})
"""Types that follow the market wherever it goes, unless they have a cap."""

Effects = tuple[OrderEffect, ...]


class OrderConversation(OrderMember):
    """An order that talks to the broker."""

    __slots__ = ()

    # --- turns ---------------------------------------------------------------------------

    @property
    def turn_wait_ms(self) -> int:
        """How long it may wait for a turn before what it was approved for is too old."""
        ticket = self.ticket
        follows = ticket.type in _CAPPED and ticket.cap_price is None
        at_market = ticket.type is OrderType.MKT or follows
        if at_market and self.state is OrderState.SUBMITTING:
            return MARKET_WAIT_MS_MAX
        return TURN_WAIT_MS_MAX

    def _submit(self, message: SubmitOrder, at_ns: int) -> Effects:
        """Write the intent; a member of a group waits for it, an order alone does not."""
        grouped = message.approved.ticket.group is not None
        recorded = self._record(message, at_ns, confirm=grouped)
        # The intents of its followers come before its attempt.
        return recorded if grouped else (*recorded, *self._ask_for_turn())

    def _submit_durable(self) -> Effects:
        return () if self.ticket.group is None else self._want_turn()

    def _submit_failed(self) -> Effects:
        """Give back a turn that was asked for an order which does not exist after all."""
        return self._leave_turn()

    def _want_turn(self) -> Effects:
        if self.follows and self.change is None:
            return ()  # It goes out with its leader's request.
        submitting = self.state is OrderState.SUBMITTING
        unsent = self.change is None and self.attempts == 0
        started = self._start_followers() if unsent else ()
        if not submitting and not self._is_change_unsent():
            return started  # It ended, or was given up, while its record was being written.
        return (*started, *self._ask_for_turn())

    def _ask_for_turn(self) -> Effects:
        self._turn_wanted = True
        return (
            StartTimer(name="turn", delay_ms=self.turn_wait_ms),
            RequestTurn(order_id=self.order_id, session=self.session),
        )

    def _granted(self, turn: TurnGranted, at_ns: int) -> Effects:
        if self.waits_for_turn and self._is_change_unsent():
            return self._send_change(turn)
        if self.state is not OrderState.SUBMITTING or self.attempts > 0:
            # It ended while it waited, or it was sent before: never twice.
            if self.waits_for_turn:
                return self._leave_turn()
            return (ReleaseTurn(order_id=self.order_id, session=self.session),)
        self._turn = turn
        attempt = AttemptStarted(order_id=self.order_id, number=1, session_epoch=turn.session_epoch)
        return (StopTimer(name="turn"), *self._record(attempt, at_ns, confirm=True))

    def _give_up_turn(self, reason: Reason, at_ns: int) -> Effects:
        """End what waited for a turn that does not come: nothing of it was sent."""
        if self.waits_for_turn and self._is_change_unsent():
            return self._settle_change(at_ns, applied=False, reason=reason)
        return self._expire(reason, at_ns)

    def _expire(self, reason: Reason, at_ns: int) -> Effects:
        if self.state is not OrderState.SUBMITTING or self.attempts > 0:
            return ()
        return self._record(OrderExpired(order_id=self.order_id, reason=reason), at_ns)

    # --- a submit ------------------------------------------------------------------------

    def _place(self, at_ns: int) -> Effects:
        if self.state is not OrderState.SUBMITTING or self.broker_order_id is not None:
            return self._leave_shown(at_ns)
        assert self._turn is not None
        if self.cancel_wanted:
            # The cancel came while the attempt was being written: not a byte has left.
            reason = Reason(code="CANCELLED_BEFORE_SENT", message="cancelled before it was sent")
            unsent = Outcome(kind=OutcomeKind.NOT_SENT, reason=reason)
            answer = OrderAnswered(order_id=self.order_id, step=Step.PLACE, outcome=unsent)
            return self._answered(answer, at_ns)
        self._in_flight = True
        return (
            *self._announce_attempt(),
            PlaceAtBroker(
                order_id=self.order_id,
                session=self.session,
                account=self.ticket.account,
                body=self.body,
                send_by_ns=self._turn.send_by_ns,
                session_epoch=self._turn.session_epoch,
            ),
        )

    def _leave_shown(self, at_ns: int) -> Effects:
        """Send nothing: the broker showed the order while its attempt was being written."""
        text = "the broker has shown the order before it was sent"
        reason = Reason(code="SHOWN_UNSENT", message=text)
        anomaly = self._anomaly("shown_unsent", f"{self.state}, {self.broker_order_id}")
        if self.state is not OrderState.SUBMITTING:
            return (*self._leave_turn(), *self._doubt_followers(reason), anomaly)
        doubted = OrderDoubted(order_id=self.order_id, reason=reason)
        return (*self._record(doubted, at_ns), *self._leave_turn(), anomaly)

    # --- a modify ------------------------------------------------------------------------

    def _modify(self, message: ModifyOrder, at_ns: int) -> Effects:
        if self.state in TERMINAL:
            return ()  # It ended while risk was asked, and needs no change any more.
        if self.change is not None or self.state not in LIVE:
            return (self._anomaly("unexpected_modify", f"{self.state}, {self.pending}"),)
        obstacle = self._modify_obstacle()
        recorded = self._record(message, at_ns, confirm=obstacle is None)
        if obstacle is None:
            return recorded
        # Both records, so that risk sees the change that it reserved for come and go.
        reason = Reason(code="NOT_MODIFIABLE", message=obstacle)
        return (*recorded, *self._settle_change(at_ns, applied=False, reason=reason))

    def _modify_obstacle(self) -> str | None:
        if self._cancelling:
            return "the order is being cancelled"
        if self._closing is not None:
            return "the broker has ended the order, and not all of its executions were seen yet"
        if self._turn_wanted:
            return "the broker has not answered the submit of the order yet"
        if self._open_prompt is not None:
            return "the broker asked something about the order and has not taken the answer yet"
        if self.broker_order_id is None:
            return "the broker's id of the order is not known yet"
        return None

    def _is_change_unsent(self) -> bool:
        """Say whether there is a change of which surely nothing was sent."""
        if self.change is None or self.change.doubtful:
            return False
        return self._turn is None and not self._in_flight

    def _send_change(self, turn: TurnGranted) -> Effects:
        assert self.change is not None
        assert self.broker_order_id is not None
        self._turn = turn
        self._in_flight = True
        return (
            StopTimer(name="turn"),
            ModifyAtBroker(
                order_id=self.order_id,
                session=self.session,
                account=self.ticket.account,
                broker_order_id=self.broker_order_id,
                body=self.change.body,
                send_by_ns=turn.send_by_ns,
                session_epoch=turn.session_epoch,
            ),
        )

    def _settle_change(self, at_ns: int, *, applied: bool, reason: Reason | None) -> Effects:
        assert self.change is not None
        settled = ModifySettled(
            order_id=self.order_id,
            applied=applied,
            terms=self.change.wanted if applied else self.terms,
            reason=reason,
        )
        return self._record(settled, at_ns)

    def _change_answered(self, message: OrderAnswered, at_ns: int) -> Effects:
        """Follow up the answer to a modify, or to a question about it."""
        outcome = message.outcome
        if self.change is None:
            return self._release_turn()  # Its fills or the rows were faster than the answer.
        match outcome.kind:
            case OutcomeKind.ACK if outcome.broker_order_id in {None, self.broker_order_id}:
                return self._settle_change(at_ns, applied=True, reason=None)
            case OutcomeKind.QUESTION:
                return self._answer_question(at_ns)
            case OutcomeKind.REFUSED if self._is_unclear(message.step, outcome):
                return self._release_turn()
            case OutcomeKind.REFUSED if self.reply is not None and not self.reply.confirmed:
                declined = self.question_declined("the change")
                return self._settle_change(at_ns, applied=False, reason=declined)
            case OutcomeKind.REFUSED:
                # "Filled", "cancelled" and "does not exist" are not proof of an end: look.
                settled = self._settle_change(at_ns, applied=False, reason=outcome.reason)
                return settled if self.state in TERMINAL else (*settled, *self._look())
            case OutcomeKind.NOT_SENT if message.step is Step.MODIFY:
                return self._settle_change(at_ns, applied=False, reason=outcome.reason)
            case OutcomeKind.ACK | OutcomeKind.NOT_SENT | OutcomeKind.IN_DOUBT:
                return self._release_turn()
            case _:
                assert_never(outcome.kind)

    # --- a cancel ------------------------------------------------------------------------

    def _cancel(self, message: CancelOrder, at_ns: int) -> Effects:
        if self.state in TERMINAL or self._cancel_open:
            return ()  # Nothing to cancel, or under way already: the retries are ours.
        unsent = self.state is OrderState.SUBMITTING and self.attempts == 0 and not self.follows
        effects = self._record(message, at_ns, confirm=not unsent)
        if not self._is_change_unsent():
            return effects
        reason = Reason(code="CANCELLED_BEFORE_SENT", message="cancelled before it was changed")
        return (*effects, *self._settle_change(at_ns, applied=False, reason=reason))

    def _due(self, name: str, at_ns: int) -> Effects:
        """Do what is due for an order of a group, or for one that is good till a time."""
        match name:
            case "good_till":
                return self._end_good_till(at_ns)
            case "exits":
                return self._end_unprotected(at_ns)
            case "member":
                text = "the broker took its group, and shows it neither in the answer nor in a row"
                return self._doubt_member(at_ns, Reason(code="MEMBER_UNSEEN", message=text))
            case "leader":
                text = "the order that leads its group did not tell what became of it"
                return self._doubt_member(at_ns, Reason(code="LEADER_SILENT", message=text))
            case _:
                return ()

    def _end_good_till(self, at_ns: int) -> Effects:
        """Cancel the order whose time has passed, until the cancel is taken."""
        if self.state in TERMINAL:
            return ()
        if not self._is_overdue(at_ns):
            return self._start_good_till(at_ns)  # The wall's clock went back meanwhile.
        cancelled = self._cancel(CancelOrder(order_id=self.order_id, cause=self._overdue), at_ns)
        if self.state in TERMINAL:
            return cancelled
        return (*cancelled, StartTimer(name="good_till", delay_ms=OVERDUE_MS))

    def _end_unprotected(self, at_ns: int) -> Effects:
        """See after the exits; take back what is left of an entry that must not go on so."""
        effects = self._look_after_exits(at_ns)
        cancels = self.policy.unprotected is UnprotectedPolicy.CANCEL_ENTRY
        if not (cancels and self.unprotected):
            return effects
        cause = f"its exit {' and '.join(self.unprotected)} is missing at the broker"
        return (*effects, *self._cancel(CancelOrder(order_id=self.order_id, cause=cause), at_ns))

    # --- answers and questions -----------------------------------------------------------

    def _answered(self, message: OrderAnswered, at_ns: int) -> Effects:
        if message.step is Step.CANCEL:
            return self._cancel_answered(message, at_ns)
        if message.step is Step.PLACE and self.follows:
            return self._told(message, at_ns)
        self._in_flight = False
        if message.step is Step.REPLY and self.prompt is not None:
            return self._prompt_answered(message, at_ns)
        effects = self._record(message, at_ns)
        replied = message.step is Step.REPLY and self.change is not None
        if message.step is Step.MODIFY or replied:
            return (*effects, *self._change_answered(message, at_ns))
        asked = message.outcome.kind is OutcomeKind.QUESTION and self.question is not None
        if asked and (message.step is Step.PLACE or self.reply is not None):
            return (*effects, *self._answer_question(at_ns))
        return (*effects, *self._release_turn())

    def _cancel_answered(self, message: OrderAnswered, at_ns: int) -> Effects:
        effects = self._record(message, at_ns)
        if message.outcome.kind is not OutcomeKind.REFUSED or self.state in TERMINAL:
            return effects
        # "Does not exist" and "inactive" are not proof of anything: look.
        return (*effects, StopTimer(name="cancel"), *self._look())

    def _answer_question(self, at_ns: int) -> Effects:
        assert self.question is not None
        if self.reply is not None and not self.reply.confirmed:
            return self._doubt_endless_questions(at_ns)
        decided = self._decide(self.question, self.rounds + 1)
        return self._record(decided, at_ns, confirm=True)

    def _doubt_endless_questions(self, at_ns: int) -> Effects:
        """Give the lane back when even a no is answered with another question."""
        reason = Reason(
            code="QUESTION_AFTER_DECLINE",
            message="the broker asked again after its question was declined",
        )
        doubted = OrderDoubted(order_id=self.order_id, reason=reason)
        return (*self._record(doubted, at_ns), *self._release_turn())

    def _decide(self, question: Question, number: int) -> ReplyDecided:
        policy = self.questions
        answers = [policy.answers.get(kind, policy.default) for kind in question.message_ids]
        confirmed = (
            bool(answers)
            and all(answer is Answer.ACCEPT for answer in answers)
            and number <= ROUNDS_MAX
            and self._may_confirm()
        )
        return ReplyDecided(
            order_id=self.order_id,
            question_id=question.question_id,
            confirmed=confirmed,
            round=number,
        )

    def _may_confirm(self) -> bool:
        """Say whether nobody has halted or cancelled the order; a refused cancel is none."""
        cancelled = self._cancelling if self.state in LIVE else self.cancel_wanted
        return not cancelled and not self.halted

    def _reply(self) -> Effects:
        if self.reply is None or self.state in TERMINAL:
            return self._release_turn()  # It ended while the decision was being written.
        self._in_flight = True
        return (
            ReplyAtBroker(
                order_id=self.order_id,
                session=self.session,
                question_id=self.reply.question_id,
                # A cancel or a halt that came meanwhile turns a yes into a no; never the reverse.
                confirmed=self.reply.confirmed and self._may_confirm(),
            ),
        )

    # --- prompts ---------------------------------------------------------------------------

    def _prompted(self, message: PromptRaised, at_ns: int) -> Effects:
        """Answer a prompt by the account's policy, once; the broker repeats them."""
        question = message.question
        waits = self._next_prompt
        if self.state in TERMINAL or self.was_prompted(question.question_id):
            return ()
        if not self._is_talking():
            recorded = self._record(message, at_ns)
            decided = self._decide(question, len(self._prompts))
            return (*recorded, *self._record(decided, at_ns, confirm=True))
        if waits is not None and waits.question.question_id != question.question_id:
            return (self._anomaly("prompt_dropped", f"{question.question_id} while another waits"),)
        self._next_prompt = message
        return ()

    def _is_talking(self) -> bool:
        return self._turn_wanted or self._in_flight or self._open_prompt is not None

    def _take_next_prompt(self, at_ns: int) -> Effects:
        if self._next_prompt is None or self._is_talking():
            return ()
        waited, self._next_prompt = self._next_prompt, None
        return self._prompted(waited, at_ns)

    def _prompt_answered(self, message: OrderAnswered, at_ns: int) -> Effects:
        effects = self._record(message, at_ns)
        outcome = message.outcome
        if outcome.kind is OutcomeKind.ACK or self.state in TERMINAL:
            return effects
        # Nothing is answered a second time; what the order is now, the broker shows.
        why = outcome.reason.code if outcome.reason is not None else "no reason"
        anomaly = self._anomaly("prompt_unanswered", f"{outcome.kind}: {why}")
        return (*effects, anomaly, *self._look())
