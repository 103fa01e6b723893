"""Faults of new orders: whether they live, and what their client hears of it."""

from dataclasses import dataclass

from engine.sim.faults.kinds import after_bytes, count, number, span, switch, text

_TEN_SECONDS = "gives up on its backend after 10 s, which may have taken the order or not"


@dataclass(kw_only=True)
class OrderFaults:
    """A fault of an order strikes the request that would have made it live.

    That is the POST, or the last reply when questions were asked.
    """

    hang_next_order: int = count(
        "The order is taken, the answer never comes",
        "never answers a request whose connection to the broker was lost",
    )
    hang_order_without_accept: int = count(
        "The order is not taken, the answer never comes",
        "was reported to drop orders for ever, without a word",
    )
    status_503_with_accept: int = count("The order is taken, the answer is 503", _TEN_SECONDS)
    status_503_without_accept: int = count(
        "The order is not taken, the answer is 503", _TEN_SECONDS
    )
    late_503_s: float | str = span(
        "How long the answer 503 to an order takes, in seconds", "takes 10 s", default=0
    )
    answer_late: int = count(
        "The order is taken at once, the answer comes later",
        "answers late when it or its backend is busy",
    )
    answer_late_s: float | str = span(
        "How much later an answer comes, in seconds",
        "passes answers through that took 70 s",
        default=15,
    )
    accept_late: int = count(
        "The answer is 503, and the order is taken later", "may take an order after it gave up"
    )
    accept_late_s: float | str = span(
        "How much later an order is taken, in seconds",
        "does not say how long that may take",
        default="0..180",
    )
    order_vanishes: int = count(
        "The order is acknowledged, and never seen anywhere",
        "was reported to drop orders for ever, without a word",
    )
    empty_answer: int = count(
        "The order is taken, the answer is 200 without a body",
        "may end in the middle of an answer",
    )
    truncated_answer: int = count(
        "The order is taken, the answer is 200 with half a JSON",
        "may end in the middle of an answer",
    )
    html_answer: int = count(
        "The order is taken, the answer is 200 with a login page",
        "answers with a page of its edge when the login ended meanwhile",
    )
    drop_response_bytes: int | None = after_bytes(
        "The order is taken, the connection is cut after so many bytes of the answer",
        "may end in the middle of an answer",
    )
    next_order_429: int = count("The order is refused for its pace", "counts 10 requests a second")
    reject_next: str | None = text(
        "The order is refused with this text", "refuses with status 200 and a text"
    )
    cancel_next: str | None = text(
        "The order is taken and cancelled later, with this reason",
        "shows a reject of the exchange as Cancelled",
    )
    inactive_next: int = count(
        "The order is taken and becomes `Inactive`", "holds orders that way, for instance for size"
    )
    prompt_next: int = count(
        "The order is taken, and a prompt about it comes as a notice",
        "asks about a price management algorithm, for instance",
    )
    advanced_reject_next: int = count(
        "The order is taken, and a prompt about it comes in place of the acknowledgement",
        "does either",
    )
    duplicate_coid_400: bool = switch(
        "A client order id that is taken is refused with status 400, and not with 200",
        "was seen with either",
    )
    coid_amnesia: bool = switch(
        "Client order ids are forgotten when the brokerage session is reset",
        "promises 24 hours, and says nothing about a reset",
    )
    question_rounds: int = number(
        "The least number of questions each order is asked", "asks several, one after another"
    )
    long_question_chain: bool = switch(
        "An order is asked 2 to 12 questions", "has no limit that anybody knows of"
    )
    question_lost: int = count(
        "An order is asked about, and the question never comes",
        "loses answers to orders, whatever is in them",
    )
    question_late: int = count(
        "An order is asked about, and the question comes `answer_late_s` later",
        "answers late when it or its backend is busy",
    )
    unknown_question: bool = switch(
        "A question has a message id that nobody lists", "adds new ones without a notice"
    )
    question_without_ids: bool = switch(
        "A question has no message ids", "leaves fields out from one build to the next"
    )
    html_question: bool = switch(
        "A question's text is HTML", "does not say what its texts may hold"
    )
    bundled_questions: bool = switch(
        "All questions of a round come in one element", "documents a list of messages and of ids"
    )
    reply_not_found: int = count(
        "A reply is answered 400, `reply id not found`, and its order is not taken",
        "says so of a question that is no more",
    )
    invalidated_question_goes_live: bool = switch(
        "A question voided by the next order leaves its order live when it is answered",
        "was recorded doing so",
    )
    group_member_refused: int = count(
        "The last order of a bracket or a group is refused in a row of its own, the others live",
        "does not promise all or nothing for the orders of one request",
    )
    group_member_lost: int = count(
        "The last order of a bracket or a group is acknowledged, and never seen anywhere",
        "does not promise that what it acknowledged arrived",
    )
    account_switches: int = count(
        "Before the order is taken, another account is selected in the session",
        "has one selected account for all clients of a login",
    )
