from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.pacing import Lane, Pacer, Pacing, Waiter

MS = 1_000_000
S = 1_000 * MS


def join(pacer: Pacer, lane: Lane, endpoint: str = "/x", interval_ms: int = 0) -> Waiter:
    waiter = Waiter(lane=lane, endpoint=endpoint, interval_ms=interval_ms)
    pacer.join(waiter)
    return waiter


def start(pacer: Pacer, now_ns: int) -> list[Waiter]:
    """Admit at this time, and let everything finish at once."""
    admitted = list(pacer.admit(now_ns))
    for _ in admitted:
        pacer.finish()
    return admitted


def test_cancels_go_first_then_orders_then_upkeep_then_data() -> None:
    pacer = Pacer(Pacing(in_flight=10))
    data, status, order, cancel = (join(pacer, lane) for lane in reversed(Lane))

    assert pacer.admit(0) == (cancel, order, status, data)


def test_a_lane_is_served_in_order_of_arrival() -> None:
    pacer = Pacer(Pacing(in_flight=10))
    first, second, third = (join(pacer, Lane.ORDER) for _ in range(3))

    assert pacer.admit(0) == (first, second, third)


def test_reads_that_hang_leave_places_for_orders_and_cancels() -> None:
    pacer = Pacer(Pacing(in_flight=4))
    reads = [join(pacer, Lane.STATUS) for _ in range(5)]
    assert pacer.admit(0) == tuple(reads[:2])

    orders = [join(pacer, Lane.ORDER) for _ in range(3)]
    assert pacer.admit(1) == (orders[0],)

    cancels = [join(pacer, Lane.CANCEL) for _ in range(3)]
    assert pacer.admit(2) == (cancels[0],)
    assert pacer.admit(3) == ()

    pacer.finish()
    assert pacer.admit(4) == (cancels[1],)


def test_a_share_of_the_pace_is_kept_for_cancels() -> None:
    pacer = Pacer(Pacing(requests_per_s=10, cancels_per_s=2))
    for _ in range(20):
        join(pacer, Lane.DATA)
    reads = 0
    while start(pacer, 0):
        reads += 2
    cancels = [join(pacer, Lane.CANCEL) for _ in range(3)]

    assert reads == 8
    assert start(pacer, 1) == cancels[:2]


def test_the_pace_frees_up_a_second_after_each_start() -> None:
    pacer = Pacer(Pacing(requests_per_s=3, cancels_per_s=0, in_flight=10))
    for _ in range(4):
        join(pacer, Lane.ORDER)
    assert len(start(pacer, 0)) == 3

    wake_ns = pacer.wake_ns(0)

    assert wake_ns == 1_050 * MS
    assert start(pacer, wake_ns - 1) == []
    assert len(start(pacer, wake_ns)) == 1
    assert pacer.wake_ns(wake_ns) is None


def test_an_endpoint_with_an_interval_does_not_hold_up_its_lane() -> None:
    pacer = Pacer(Pacing())
    first = join(pacer, Lane.STATUS, "/orders", 5_000)
    second = join(pacer, Lane.STATUS, "/orders", 5_000)
    other = join(pacer, Lane.STATUS, "/tickle", 1_000)

    assert start(pacer, 0) == [first, other]
    assert start(pacer, 4_999 * MS) == []
    assert pacer.wake_ns(4_999 * MS) == 5 * S
    assert start(pacer, 5 * S) == [second]


def test_who_leaves_gets_no_turn() -> None:
    pacer = Pacer(Pacing())
    gone, stays = join(pacer, Lane.ORDER), join(pacer, Lane.ORDER)

    pacer.leave(gone)
    pacer.leave(gone)

    assert start(pacer, 0) == [stays]


def test_a_penalty_lets_only_a_lone_cancel_through_now_and_then() -> None:
    pacer = Pacer(Pacing(penalty_ms=600_000, cancel_probe_ms=30_000))
    pacer.penalise(0)
    join(pacer, Lane.ORDER)
    cancels = [join(pacer, Lane.CANCEL) for _ in range(2)]

    assert start(pacer, 29 * S) == []
    assert pacer.wake_ns(29 * S) == 30 * S
    assert start(pacer, 30 * S) == [cancels[0]]
    assert start(pacer, 59 * S) == []
    assert start(pacer, 60 * S) == [cancels[1]]
    assert pacer.penalty_ms(60 * S) == 540_000
    assert len(start(pacer, 600 * S)) == 1
    assert pacer.penalty_ms(600 * S) is None


def test_a_forgiven_penalty_is_over() -> None:
    pacer = Pacer(Pacing())
    pacer.penalise(0)
    order = join(pacer, Lane.ORDER)

    pacer.forgive()

    assert start(pacer, 1) == [order]


@pytest.mark.parametrize("name", ["requests_per_s", "in_flight", "cancel_probe_ms"])
def test_a_pace_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, at least 1"):
        replace(Pacing(), **{name: 0})


def test_one_place_in_flight_serves_every_lane() -> None:
    pacer = Pacer(Pacing(in_flight=1, requests_per_s=1))
    read = join(pacer, Lane.DATA)

    assert start(pacer, 0) == [read]


@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from(Lane), st.integers(0, 400), st.integers(0, 900)), max_size=80
    ),
    requests_per_s=st.integers(1, 10),
    in_flight=st.integers(1, 5),
)
def test_no_second_sees_more_requests_than_allowed_and_everybody_gets_a_turn(
    arrivals: list[tuple[Lane, int, int]], requests_per_s: int, in_flight: int
) -> None:
    pacer = Pacer(Pacing(requests_per_s=requests_per_s, in_flight=in_flight))
    starts: list[int] = []
    ends: list[int] = []
    now_ns = 0

    def run_until(then_ns: int) -> None:
        nonlocal now_ns
        while True:
            for _ in pacer.admit(now_ns):
                starts.append(now_ns)
                ends.append(now_ns + 300 * MS)
            assert len(ends) <= in_flight
            wake_ns = pacer.wake_ns(now_ns)
            next_ns = min([*ends, *([wake_ns] if wake_ns is not None else [])], default=None)
            if next_ns is None or next_ns > then_ns:
                break
            now_ns = next_ns
            for end_ns in [end_ns for end_ns in ends if end_ns <= now_ns]:
                ends.remove(end_ns)
                pacer.finish()
        now_ns = max(now_ns, min(then_ns, 10**15))

    for lane, gap_ms, interval_ms in arrivals:
        run_until(now_ns + gap_ms * MS)
        join(pacer, lane, f"/{interval_ms}", interval_ms)
    run_until(10**15)

    assert len(starts) == len(arrivals)
    for i, start_ns in enumerate(starts):
        assert sum(start_ns <= other < start_ns + S for other in starts[i:]) <= requests_per_s


def test_the_interval_of_an_endpoint_is_counted_from_its_answer() -> None:
    pacer = Pacer(Pacing())
    slow, quick = (Waiter(lane=Lane.STATUS, endpoint="/orders", interval_ms=5_000) for _ in "12")
    pacer.join(slow)
    pacer.admit(0)
    pacer.finish()
    pacer.note_answer("/orders", 5_000, 2 * 1_000_000_000)
    pacer.join(quick)

    early = pacer.admit(5 * 1_000_000_000)
    later = pacer.admit(7 * 1_000_000_000)

    assert early == ()
    assert later == (quick,)
