"""Orders over the wire: each request is written at most once and answered exactly once.

Rule 1: what is not proven is IN_DOUBT, also when this code itself fails.

Rule 2: an answer that comes after its request was given up is told once more, as late. It
is evidence: nothing is sent again for it, nor because of it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias
from urllib.parse import quote, urlencode

from engine import log, metrics
from engine.domain.messages import (
    CancelAtBroker,
    ModifyAtBroker,
    OrderAnswered,
    PlaceAtBroker,
    ReplyAtBroker,
    Step,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ConId,
    OrderId,
    Outcome,
    OutcomeKind,
    Reason,
)
from engine.gateway.client import (
    ORDER_ANSWER_BYTES_MAX,
    Answer,
    Broken,
    GatewayClient,
    Lane,
    NoAnswer,
    Request,
)
from engine.gateway.wire.group import merge
from engine.gateway.wire.order import answer_of_prompt, classify, doubt, not_sent
from engine.gateway.wire.question import ReplyCall, prompt_order_id, reply_calls
from engine.gateway.wire.refusals import ABOUT_RULES
from engine.gateway.wire.ticket import (
    FUTURES,
    NOTHING_KNOWN,
    Operator,
    Sent,
    conid_in,
    sent_in,
)

Tell: TypeAlias = Callable[[OrderAnswered], None]

_ORDER: Final = "/iserver/account/{account}/order/{order}"
_CODES: Final = {
    Broken.LATE: "SEND_WINDOW_PASSED",
    Broken.RATE_LIMITED: "RATE_LIMITED",
    Broken.UNREACHABLE: "GATEWAY_UNREACHABLE",
    Broken.TLS_REFUSED: "TLS_REFUSED",
    Broken.TIMEOUT: "TIMEOUT",
    Broken.DISCONNECTED: "DISCONNECTED",
    Broken.TOO_LARGE: "BAD_ANSWER",
    Broken.CLOSED: "ENGINE_STOPPING",
}
_ASKED_MAX: Final = 1_000
"""A question that nobody answers is no reason to remember its order for ever."""
_log = log.get("gateway.order")


@dataclass(frozen=True, slots=True)
class HttpOrderGateway:
    """Places, confirms, changes and cancels orders at one gateway.

    `operator` is who enters futures orders; their cancels name him, too. `forget_rules` is
    told a contract of which the broker's trading rules turned out to be others than ours.
    """

    client: GatewayClient
    operator: Operator | None = None
    forget_rules: Callable[[ConId], None] = lambda _conid: None
    _asked: dict[OrderId, Sent] = field(init=False, default_factory=dict)
    """What was sent for orders that the broker asks about: the answer to a reply is about
    that, too. After a restart no question is open any more."""

    def place(self, effect: PlaceAtBroker, tell: Tell) -> None:
        """Send the order unless `send_by_ns` has passed; that is NOT_SENT."""
        sent = sent_in(effect.body)

        def judged(answer: Answer) -> Outcome:
            outcome = self._classified(Step.PLACE, answer, sent)
            self._learn(outcome, effect.body)
            return outcome

        request = Request(
            method="POST",
            path=f"/iserver/account/{_segment(effect.account)}/orders",
            endpoint="/iserver/account/{account}/orders",
            lane=Lane.ORDER,
            body=effect.body,
            changes=True,
            send_by_ns=effect.send_by_ns,
            answer_bytes_max=ORDER_ANSWER_BYTES_MAX,
        )
        asking = _Asking(effect.order_id, Step.PLACE, tell)
        self._answer(asking, self._converse(asking, sent, self._send(asking, request, judged)))

    def reply(self, effect: ReplyAtBroker, tell: Tell) -> None:
        """Answer the broker's question, or its prompt."""
        asking = _Asking(effect.order_id, Step.REPLY, tell)
        sent = self._asked.pop(effect.order_id, NOTHING_KNOWN)
        work = self._reply(asking, effect, sent)
        self._answer(asking, self._converse(asking, sent, work))

    def cancel(self, effect: CancelAtBroker, tell: Tell) -> None:
        """Ask for the cancel; it overtakes everything else that waits for the gateway."""
        asked = effect.broker_order_id

        def judged(answer: Answer) -> Outcome:
            outcome = classify(Step.CANCEL, answer.status, answer.body)
            if outcome.kind is OutcomeKind.ACK and outcome.broker_order_id != asked:
                message = f"the answer is about {outcome.broker_order_id}, asked was {asked}"
                return _doubted(outcome, Reason(code="ANSWER_MISMATCH", message=message))
            return outcome

        request = Request(
            method="DELETE",
            path=_order_path(effect.account, asked) + self._entered_by(effect),
            endpoint=_ORDER,
            lane=Lane.CANCEL,
            changes=True,
            answer_bytes_max=ORDER_ANSWER_BYTES_MAX,
        )
        asking = _Asking(effect.order_id, Step.CANCEL, tell)
        self._answer(asking, self._send(asking, request, judged))

    def modify(self, effect: ModifyAtBroker, tell: Tell) -> None:
        """Send the changed ticket unless `send_by_ns` has passed; that is NOT_SENT."""
        asked = effect.broker_order_id
        self._asked.pop(effect.order_id, None)

        def judged(answer: Answer) -> Outcome:
            outcome = classify(Step.MODIFY, answer.status, answer.body)
            self._learn(outcome, effect.body)
            answered = outcome.broker_order_id
            if answered is None or answered == asked:
                return outcome
            # Another id may mean that the broker holds two orders now: the old one and a new.
            message = f"the answer is about order {answered}, asked was {asked}"
            return _doubted(outcome, Reason(code="MODIFY_OTHER_ORDER", message=message))

        request = Request(
            method="POST",
            path=_order_path(effect.account, asked),
            endpoint=_ORDER,
            lane=Lane.ORDER,
            body=effect.body,
            changes=True,
            send_by_ns=effect.send_by_ns,
            answer_bytes_max=ORDER_ANSWER_BYTES_MAX,
        )
        asking = _Asking(effect.order_id, Step.MODIFY, tell)
        self._answer(asking, self._send(asking, request, judged))

    async def _reply(self, asking: "_Asking", effect: ReplyAtBroker, sent: Sent) -> Outcome:
        calls = reply_calls(effect.question_id, confirmed=effect.confirmed)
        if not calls:
            answer = "yes" if effect.confirmed else "no"
            return doubt("PROMPT_UNSUPPORTED", f"the prompt has no one option that says {answer}")
        prompted = prompt_order_id(effect.question_id)

        def judged(answer: Answer) -> Outcome:
            if prompted is not None:
                return answer_of_prompt(answer.status, answer.body, prompted)
            return self._classified(Step.REPLY, answer, sent)

        if len(calls) == 1:
            return await self._send(asking, _reply_request(calls[0]), judged)
        return await self._reply_to_each(calls, judged, sent)

    async def _reply_to_each(
        self, calls: Sequence[ReplyCall], judged: "_Judge", sent: Sent
    ) -> Outcome:
        """Answer the questions about a group's orders in turn, until one leaves doubt.

        A row that alone is unclear is no such doubt: the others may tell whose it is.
        """
        outcomes: list[Outcome] = []
        for call in calls:
            result = await self.client.request(_reply_request(call))
            if isinstance(result, NoAnswer):
                outcome = _unanswered(result)
                if not outcomes:
                    return outcome
            else:
                outcome = judged(result)
            outcomes.append(outcome)
            if outcome.kind in (OutcomeKind.IN_DOUBT, OutcomeKind.NOT_SENT) and not outcome.rows:
                break
        last = outcomes[-1]
        merged = merge(outcomes, sent)
        return replace(merged, http_status=last.http_status, body_sha256=last.body_sha256)

    async def _converse(self, asking: "_Asking", sent: Sent, work: Awaitable[Outcome]) -> Outcome:
        """Remember what was sent for as long as the broker asks about it."""
        outcome = await work
        if outcome.kind is OutcomeKind.QUESTION:
            self._asked[asking.order_id] = sent
            if len(self._asked) > _ASKED_MAX:
                del self._asked[next(iter(self._asked))]
        return outcome

    def _classified(self, step: Step, answer: Answer, sent: Sent) -> Outcome:
        outcome = classify(step, answer.status, answer.body, sent)
        assert outcome.kind is not OutcomeKind.ACK or outcome.broker_order_id is not None
        return outcome

    async def _send(self, asking: "_Asking", request: Request, judged: "_Judge") -> Outcome:
        """Make a request; its answer is told once more when it comes after the deadline."""

        def late(answer: Answer) -> None:
            outcome = judged(answer)
            metrics.LATE_ANSWERS.labels(self.client.session, outcome.kind.value).inc()
            _log.warning(
                "order_answered_late",
                session=self.client.session,
                order_id=asking.order_id,
                step=asking.step.value,
                outcome=outcome.kind.value,
            )
            asking.tell(asking.answered(outcome, late=True))

        result = await self.client.request(replace(request, late=late))
        return _unanswered(result) if isinstance(result, NoAnswer) else judged(result)

    def _learn(self, outcome: Outcome, body: bytes) -> None:
        refused = outcome.reason if outcome.kind is OutcomeKind.REFUSED else None
        if refused is not None and refused.code in ABOUT_RULES:
            conid = conid_in(body)
            if conid is not None:
                self.forget_rules(conid)

    def _entered_by(self, effect: CancelAtBroker) -> str:
        """Return the query that names who cancels; the exchanges want it for futures only."""
        if effect.sec_type not in FUTURES or self.operator is None:
            return ""
        manual = "true" if self.operator.manual else "false"
        query = {"manualIndicator": manual, "extOperator": self.operator.ext_operator}
        return f"?{urlencode(query, quote_via=quote)}"

    def _answer(self, asking: "_Asking", work: Awaitable[Outcome]) -> None:
        async def answered() -> OrderAnswered:
            return asking.answered(await work)

        def failed(error: Exception) -> OrderAnswered:
            return asking.answered(doubt("INTERNAL_ERROR", f"{type(error).__name__}: {error}"))

        self.client.answer(answered(), asking.tell, failed)


_Judge: TypeAlias = Callable[[Answer], Outcome]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who waits for the answer to a request, and what it is about."""

    order_id: OrderId
    step: Step
    tell: Tell

    def answered(self, outcome: Outcome, *, late: bool = False) -> OrderAnswered:
        return OrderAnswered(order_id=self.order_id, step=self.step, outcome=outcome, late=late)


def _reply_request(call: ReplyCall) -> Request:
    return Request(
        method="POST",
        path=call.path,
        endpoint=call.template,
        lane=Lane.ORDER,
        body=call.body,
        changes=True,
        answer_bytes_max=ORDER_ANSWER_BYTES_MAX,
    )


def _unanswered(result: NoAnswer) -> Outcome:
    code = _CODES[result.why]
    return doubt(code, result.message) if result.sent else not_sent(code, result.message)


def _doubted(outcome: Outcome, reason: Reason) -> Outcome:
    return Outcome(
        kind=OutcomeKind.IN_DOUBT,
        reason=reason,
        http_status=outcome.http_status,
        body_sha256=outcome.body_sha256,
    )


def _order_path(account: AccountId, broker_order_id: BrokerOrderId) -> str:
    return f"/iserver/account/{_segment(account)}/order/{_segment(broker_order_id)}"


def _segment(text: str) -> str:
    return quote(text, safe="")
