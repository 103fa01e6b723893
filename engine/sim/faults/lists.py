"""Faults of what is read: lists of orders and trades, positions, numbers."""

from dataclasses import dataclass

from engine.sim.faults.kinds import condition, count, number, span, switch

_CACHE = "answers from caches, which are old at times"
_TYPES = "changes the types of fields from one build to the next"


@dataclass(kw_only=True)
class ListFaults:
    """A fault of a list strikes who reads it; what happened at the venue stays as it is."""

    cold_orders_list: int = count(
        "A read of the orders is empty with `snapshot: false`, as the first of a session is",
        "starts its list anew in every session",
    )
    empty_orders_list: bool = condition(
        "The list of orders is empty and says that it is complete",
        "was reported to do so after regular hours",
    )
    empty_unscoped_list: bool = condition(
        "The list of orders is empty unless an account is named",
        "was reported to do so",
    )
    filters_poisoned: int = count(
        "Before a read of the orders, another client reads them with a filter: the list and the "
        "stream hide all but filled ones until a read with `force=true`",
        "keeps a filter for all clients of a login",
    )
    freeze_orders_list: int = count("At a read, the list of orders freezes for `freeze_s`", _CACHE)
    freeze_s: float | str = span(
        "How long it stays as it was, in seconds",
        "does not say how old they may be",
        default="0..300",
    )
    frozen_orders_list: bool = condition(
        "The list of orders stays as it was when this was switched on", _CACHE
    )
    order_list_lag_ms: int = number(
        "The list of orders is so old, in milliseconds", "is seconds behind its stream"
    )
    hide_from_list: int = count(
        "The order is told on the stream and is not in the list for `hide_s`",
        "was reported to show orders in one place and not in the other",
    )
    hide_from_stream: int = count(
        "The order is in the list and not told on the stream for `hide_s`",
        "was reported to show orders in one place and not in the other",
    )
    hide_s: float | str = span(
        "How long an order is hidden, in seconds",
        "does not say how long that lasts",
        default="5..60",
    )
    reset_forgets_ended: bool = condition(
        "The list of orders shows none that ended before the brokerage session began",
        "keeps them for the day, or for the session; its documents say either",
    )
    bare_rows: bool = condition(
        "Rows of orders have no stop, no trigger and no trail",
        "was recorded without them",
    )
    cold_trades_list: int = count(
        "A read of the trades is empty, as the first of a session is", "starts it cold now and then"
    )
    stale_positions: bool = condition(
        "Positions stay as they were when this was switched on, whatever is invalidated", _CACHE
    )
    empty_accounts: bool = condition(
        "The list of brokerage accounts is `{}`",
        "was reported to do so while another session of the user competes",
    )
    numbers_as_texts: bool = switch(
        "Numbers of orders, executions and positions come as texts", _TYPES
    )
    texts_as_numbers: bool = switch(
        "Texts that hold a number come as numbers, in the same rows", _TYPES
    )
    empty_numbers: bool = switch(
        'Prices and averages come as `""`, in the same rows', "has blanks for what it does not know"
    )
    thousands_separators: bool = switch(
        "Numbers from 1,000 come as texts with separators, in the same rows", _TYPES
    )
    clock_skew_ms: int = number(
        "How far the times of orders and trades are ahead, in milliseconds; may be negative",
        "has a clock of its own",
    )
    history_503: int = count(
        "A history request is answered 503", "does so for the first of a session"
    )
