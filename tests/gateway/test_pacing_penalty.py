"""The pace after HTTP 429."""

from dataclasses import replace

from engine.gateway.pacing import (
    Lane,
    Pacer,
    Pacing,
)
from tests.gateway.test_pacing import MS, ROOMY, S, join, start, start_all


def test_a_penalty_lets_only_a_lone_cancel_through_now_and_then() -> None:
    pacer = Pacer(Pacing(penalty_ms=600_000, cancel_probe_ms=30_000))
    pacer.penalise(0, began_ns=0)
    join(pacer, Lane.ORDER)
    cancels = [join(pacer, Lane.CANCEL) for _ in range(2)]

    assert start(pacer, 29 * S) == []
    assert pacer.free(29 * S)["all"] == 0
    assert pacer.wake_ns(29 * S) == 30 * S
    assert start(pacer, 30 * S) == [cancels[0]]
    assert start(pacer, 59 * S) == []
    assert start(pacer, 60 * S) == [cancels[1]]
    assert pacer.penalty_ms(60 * S) == 540_000
    assert len(start(pacer, 600 * S)) == 1
    assert pacer.penalty_ms(600 * S) is None


def test_after_a_penalty_the_pace_comes_back_within_a_minute() -> None:
    pacer = Pacer(replace(ROOMY, requests_per_s=20, penalty_ms=10_000))
    pacer.penalise(0, began_ns=0)

    free = [pacer.free(second * S)["all"] for second in (9, 10, 29, 30, 50, 69, 70)]

    assert free == [0, 5, 5, 10, 15, 15, 20]


def test_a_forgiven_penalty_begins_at_a_quarter_of_the_pace() -> None:
    pacer = Pacer(Pacing())
    pacer.penalise(0, began_ns=0)
    orders = [join(pacer, Lane.ORDER) for _ in range(3)]

    pacer.forgive(5 * S)

    assert start_all(pacer, 5 * S) == orders[:1]
    assert pacer.wake_ns(5 * S) == 5 * S + 1_050 * MS
    assert pacer.penalty_ms(5 * S) is None


def refused_at(*seconds: int, penalty_ms_max: int = 300_000) -> list[int]:
    """How many seconds each of these refusals closes the door for."""
    pacer = Pacer(Pacing(penalty_ms=100_000, penalty_ms_max=penalty_ms_max))
    left: list[int] = []
    for second in seconds:
        pacer.penalise(second * S, began_ns=second * S)
        left.append((pacer.penalty_ms(second * S) or 0) // 1_000)
    return left


def test_refusals_that_follow_each_other_double_the_penalty_up_to_a_limit() -> None:
    assert refused_at(0, 30, 60, 90) == [100, 200, 300, 300]


def test_a_refusal_long_after_the_last_one_is_a_first_one_again() -> None:
    # The penalty ends at 100 s, the pace is whole at 160 s, and stays so for 100 s.
    assert refused_at(0, 259) == [100, 200]
    assert refused_at(0, 260) == [100, 100]


def test_requests_that_were_on_their_way_together_are_refused_once() -> None:
    pacer = Pacer(Pacing(penalty_ms=100_000))

    pacer.penalise(10 * S, began_ns=9 * S)
    pacer.penalise(11 * S, began_ns=9 * S)

    assert pacer.penalty_ms(11 * S) == 100_000


def test_what_only_tries_the_door_neither_keeps_it_closed_for_longer_nor_doubles_its_time() -> None:
    pacer = Pacer(Pacing(penalty_ms=100_000, cancel_probe_ms=30_000))
    pacer.penalise(0, began_ns=0)
    cancel = join(pacer, Lane.CANCEL)

    pacer.penalise(31 * S, began_ns=30 * S, is_probe=True)

    assert pacer.penalty_ms(31 * S) == 69_000
    assert start(pacer, 60 * S) == []
    assert start(pacer, 61 * S) == [cancel]


def test_a_try_that_is_refused_after_the_penalty_is_a_refusal_like_any_other() -> None:
    pacer = Pacer(Pacing(penalty_ms=100_000))
    pacer.penalise(0, began_ns=0)

    pacer.penalise(101 * S, began_ns=99 * S, is_probe=True)

    assert pacer.penalty_ms(101 * S) == 200_000


def test_a_limit_below_the_penalty_does_not_shorten_it() -> None:
    assert refused_at(0, 10, penalty_ms_max=1_000) == [100, 100]
