"""Faults that belong together, under one name.

Rule: a preset is made of chances and spans only, so it may run for hours: it
never strikes everything, and it never stops striking.
"""

from collections.abc import Mapping
from typing import Any, Final

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    # A night on which whatever is known to go wrong does, a little too often.
    "bad-night": {
        "chances": {
            "status_503_with_accept": 0.05,
            "status_503_without_accept": 0.03,
            "hang_next_order": 0.03,
            "answer_late": 0.03,
            "accept_late": 0.02,
            "order_vanishes": 0.01,
            "truncated_answer": 0.02,
            "html_answer": 0.01,
            "inactive_next": 0.01,
            "unknown_question": 0.03,
            "long_question_chain": 0.02,
            "question_lost": 0.01,
            "reply_not_found": 0.02,
            "group_member_refused": 0.05,
            "group_member_lost": 0.02,
            "modify_503_with_accept": 0.05,
            "modify_503_without_accept": 0.05,
            "second_incarnation": 0.02,
            "cancel_503": 0.05,
            "cancel_ignored": 0.05,
            "fill_after_cancel": 0.02,
            "correct_next": 0.02,
            "bust_next": 0.01,
            "late_commission": 0.1,
            "trades_late": 0.05,
            "status_late": 0.05,
            "cold_orders_list": 0.05,
            "empty_orders_list": 0.02,
            "freeze_orders_list": 0.03,
            "hide_from_list": 0.03,
            "hide_from_stream": 0.03,
            "numbers_as_texts": 0.05,
            "split_frames": 0.1,
            "socket_closes": 0.001,
            "session_resets": 0.0005,
            "mute_sor": 0.05,
            "duplicate_sor": 0.1,
            "lose_sor": 0.05,
            "reorder_sor": 0.05,
            "lose_str": 0.05,
            "duplicate_str": 0.1,
            "partial_rows": 0.05,
            "silent_websocket": 0.01,
            "backend_down": 0.01,
            "competing_shown": 0.01,
            "gc_pause": 0.002,
        },
        "late_503_s": "0..10",
        "answer_late_s": "1..20",
        "accept_late_s": "0..60",
        "freeze_s": "0..60",
        "hide_s": "1..30",
        "gc_pause_s": "0..15",
        "trades_late_s": "0..30",
        "status_late_s": "0..30",
        "no_bridge_ms": 1500,
        "extra_latency_ms": 20,
    }
}
"""Values as a faults file would give them."""
