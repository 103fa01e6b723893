"""Orders over the wire: each request is written at most once and answered exactly once.

Rule: what is not proven is IN_DOUBT, also when this code itself fails.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

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
    Broken,
    GatewayClient,
    Lane,
    NoAnswer,
    Request,
)
from engine.gateway.wire.order import (
    answer_of_prompt,
    classify,
    doubt,
    local_order_id,
    not_sent,
)
from engine.gateway.wire.question import ReplyCall, prompt_order_id, reply_call
from engine.gateway.wire.refusals import ABOUT_RULES
from engine.gateway.wire.ticket import FUTURES, Operator, coid_in, conid_in

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


@dataclass(frozen=True, slots=True)
class HttpOrderGateway:
    """Places, confirms, changes and cancels orders at one gateway.

    `operator` is who enters futures orders; their cancels name him, too. `forget_rules` is
    told a contract of which the broker's trading rules turned out to be others than ours.
    """

    client: GatewayClient
    operator: Operator | None = None
    forget_rules: Callable[[ConId], None] = lambda _conid: None

    def place(self, effect: PlaceAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Send the order unless `send_by_ns` has passed; that is NOT_SENT."""
        self._answer(effect.order_id, Step.PLACE, self._place(effect), tell)

    def reply(self, effect: ReplyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Answer the broker's question, or its prompt."""
        self._answer(effect.order_id, Step.REPLY, self._reply(effect), tell)

    def cancel(self, effect: CancelAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Ask for the cancel; it overtakes everything else that waits for the gateway."""
        self._answer(effect.order_id, Step.CANCEL, self._cancel(effect), tell)

    def modify(self, effect: ModifyAtBroker, tell: Callable[[OrderAnswered], None]) -> None:
        """Send the changed ticket unless `send_by_ns` has passed; that is NOT_SENT."""
        self._answer(effect.order_id, Step.MODIFY, self._modify(effect), tell)

    async def _place(self, effect: PlaceAtBroker) -> Outcome:
        outcome = await self._send(
            Step.PLACE,
            Request(
                method="POST",
                path=f"/iserver/account/{_segment(effect.account)}/orders",
                endpoint="/iserver/account/{account}/orders",
                lane=Lane.ORDER,
                body=effect.body,
                changes=True,
                send_by_ns=effect.send_by_ns,
                answer_bytes_max=ORDER_ANSWER_BYTES_MAX,
            ),
            expected_coid=coid_in(effect.body),
        )
        self._learn(outcome, effect.body)
        assert outcome.kind is not OutcomeKind.ACK or outcome.broker_order_id is not None
        return outcome

    async def _reply(self, effect: ReplyAtBroker) -> Outcome:
        call = reply_call(effect.question_id, confirmed=effect.confirmed)
        if call is None:
            answer = "yes" if effect.confirmed else "no"
            return doubt("PROMPT_UNSUPPORTED", f"the prompt has no one option that says {answer}")
        prompted = prompt_order_id(effect.question_id)
        if prompted is not None:
            return await self._answer_prompt(call, prompted)
        return await self._send(Step.REPLY, _reply_request(call))

    async def _answer_prompt(self, call: ReplyCall, broker_order_id: BrokerOrderId) -> Outcome:
        result = await self.client.request(_reply_request(call))
        if isinstance(result, NoAnswer):
            return _unanswered(result)
        return answer_of_prompt(result.status, result.body, broker_order_id)

    async def _cancel(self, effect: CancelAtBroker) -> Outcome:
        outcome = await self._send(
            Step.CANCEL,
            Request(
                method="DELETE",
                path=_order_path(effect.account, effect.broker_order_id) + self._entered_by(effect),
                endpoint=_ORDER,
                lane=Lane.CANCEL,
                changes=True,
                answer_bytes_max=ORDER_ANSWER_BYTES_MAX,
            ),
        )
        if outcome.kind is OutcomeKind.ACK and outcome.broker_order_id != effect.broker_order_id:
            return _mismatch(outcome, effect.broker_order_id, outcome.broker_order_id)
        return outcome

    async def _modify(self, effect: ModifyAtBroker) -> Outcome:
        outcome = await self._send(
            Step.MODIFY,
            Request(
                method="POST",
                path=_order_path(effect.account, effect.broker_order_id),
                endpoint=_ORDER,
                lane=Lane.ORDER,
                body=effect.body,
                changes=True,
                send_by_ns=effect.send_by_ns,
                answer_bytes_max=ORDER_ANSWER_BYTES_MAX,
            ),
        )
        self._learn(outcome, effect.body)
        answered = outcome.broker_order_id
        if answered is None or answered == effect.broker_order_id:
            return outcome
        # Another id may mean that the broker holds two orders now: the old one and a new.
        message = f"the answer is about order {answered}, asked was {effect.broker_order_id}"
        return _doubted(outcome, Reason(code="MODIFY_OTHER_ORDER", message=message))

    async def _send(
        self, step: Step, request: Request, *, expected_coid: str | None = None
    ) -> Outcome:
        result = await self.client.request(request)
        if isinstance(result, NoAnswer):
            return _unanswered(result)
        outcome = classify(step, result.status, result.body)
        if outcome.kind is OutcomeKind.ACK and expected_coid is not None:
            found = local_order_id(result.body)
            if found is not None and found != expected_coid:
                return _mismatch(outcome, expected_coid, found)
        return outcome

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

    def _answer(
        self,
        order_id: OrderId,
        step: Step,
        work: Awaitable[Outcome],
        tell: Callable[[OrderAnswered], None],
    ) -> None:
        async def answered() -> OrderAnswered:
            return OrderAnswered(order_id=order_id, step=step, outcome=await work)

        def failed(error: Exception) -> OrderAnswered:
            outcome = doubt("INTERNAL_ERROR", f"{type(error).__name__}: {error}")
            return OrderAnswered(order_id=order_id, step=step, outcome=outcome)

        self.client.answer(answered(), tell, failed)


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


def _mismatch(outcome: Outcome, expected: str, found: str | None) -> Outcome:
    """Return IN_DOUBT for an answer that is about another order than was asked."""
    message = f"the answer is about {found}, asked was {expected}"
    return _doubted(outcome, Reason(code="ANSWER_MISMATCH", message=message))


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
