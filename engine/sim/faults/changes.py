"""Faults of changes and cancels."""

from dataclasses import dataclass

from engine.sim.faults.kinds import count, switch

_LIKE_ORDERS = "loses answers to changes as it does those to orders"
_RECEIPT = "answers a cancel with a receipt, which promises nothing"


@dataclass(kw_only=True)
class ChangeFaults:
    """A fault of a change strikes where it would be made: at the POST, or the last reply."""

    modify_hang: int = count("The change is made, the answer never comes", _LIKE_ORDERS)
    modify_503_with_accept: int = count("The change is made, the answer is 503", _LIKE_ORDERS)
    modify_503_without_accept: int = count(
        "The change is not made, the answer is 503", _LIKE_ORDERS
    )
    change_answer_late: int = count(
        "A change or a cancel is taken at once, the answer comes `answer_late_s` later",
        _LIKE_ORDERS,
    )
    second_incarnation: int = count(
        "The answer is 503, and a second order with the new terms works under the same client "
        "order id, beside the first",
        "was reported to do so for a change that came while it was degraded",
    )
    cancel_ignored: int = count("The cancel is acknowledged and nothing comes of it", _RECEIPT)
    cancel_503: int = count("The cancel is not taken, the answer is 503", _LIKE_ORDERS)
    cancel_503_with_accept: int = count("The cancel is taken, the answer is 503", _LIKE_ORDERS)
    cancel_hang: int = count("The cancel is taken, the answer never comes", _LIKE_ORDERS)
    cancel_unanswered: int = count(
        "The order stays PendingCancel until the day ends or `answer_cancels` is done",
        "was reported to confirm some at the next opening of the market",
    )
    cancel_at_once: int = count(
        "The cancel takes effect at once; its receipt has no account and the conid -1",
        "was recorded doing so",
    )
    fill_after_cancel: int = count(
        "The cancel is acknowledged, and the order fills in spite of it",
        "cannot call back what an exchange traded",
    )
    renumber_on_reset: bool = switch(
        "Each working order has another id after the brokerage session was reset",
        "was reported to do so after a restart of its servers",
    )
