"""Bugs that somebody might make, planted on purpose: each must be found by the days.

Each is a small change of the engine for as long as it is planted. A checker, or a weather,
under which one of them lives on is too weak.
"""

from collections.abc import Callable
from typing import Any, Final

from tests.simulation.bugs import limits, sending, sessions, truth

Planting = Callable[[], Any]

BUGS: Final[dict[str, Planting]] = {
    "send before commit": sending.send_before_commit,
    "retry a 503": sending.retry_a_503,
    "new id on retry": sending.new_id_on_retry,
    "forget a cancel": sending.forget_a_cancel,
    "send again after a restart": sending.send_again_after_a_restart,
    "reuse ids": sending.reuse_ids,
    "two conversations": sending.two_conversations,
    "say yes to everything": sending.say_yes_to_everything,
    "forget a halt that waited": sending.forget_a_halt_that_waited,
    "cancel once": sending.cancel_once,
    "refused by silence": sending.refused_by_silence,
    "trust an empty list": truth.trust_an_empty_list,
    "a standing order dates a list": truth.a_standing_order_dates_a_list,
    "any login proves": truth.any_login_proves,
    "drop a fill": truth.drop_a_fill,
    "double a fill": truth.double_a_fill,
    "pass over corrections": truth.pass_over_corrections,
    "a receipt is a cancel": truth.a_receipt_is_a_cancel,
    "filled is filled": truth.filled_is_filled,
    "cancel what was renumbered": truth.cancel_what_was_renumbered,
    "count a share less": truth.count_a_share_less,
    "forget the last record": truth.forget_the_last_record,
    "release on timeout": limits.release_on_timeout,
    "release on parking": limits.release_on_parking,
    "release on a cancel": limits.release_on_a_cancel,
    "reserve only what was wanted first": limits.reserve_only_what_was_wanted_first,
    "ignore a halt": limits.ignore_a_halt,
    "skip warm-up": sessions.skip_warm_up,
    "send into the night": sessions.send_into_the_night,
}
