import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.pacing import (
    Lane,
    Limit,
    Pacer,
    Pacing,
    Waiter,
    broker_limits,
)
from engine.sim.pacing import Pacing as BrokerPacing

MS = 1_000_000
S = 1_000 * MS
ROOMY = Pacing(in_flight=20, limits={})


def join(pacer: Pacer, lane: Lane, endpoint: str = "/x") -> Waiter:
    waiter = Waiter(lane=lane, endpoint=endpoint)
    pacer.join(waiter)
    return waiter


def start(pacer: Pacer, now_ns: int) -> list[Waiter]:
    """Admit at this time, and let everything be written and answered at once."""
    admitted = list(pacer.admit(now_ns))
    for waiter in admitted:
        pacer.finish(waiter, now_ns)
    return admitted


def start_all(pacer: Pacer, now_ns: int) -> list[Waiter]:
    """Admit until nobody has a turn at this time any more."""
    started: list[Waiter] = []
    while admitted := start(pacer, now_ns):
        started += admitted
    return started


def test_cancels_go_first_then_orders_then_upkeep_then_data() -> None:
    pacer = Pacer(ROOMY)
    data, status, order, cancel = (join(pacer, lane) for lane in reversed(Lane))

    assert pacer.admit(0) == (cancel, order, status, data)


def test_a_lane_is_served_in_order_of_arrival() -> None:
    pacer = Pacer(ROOMY)
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

    pacer.finish(cancels[0], 4)
    assert pacer.admit(4) == (cancels[1],)


def test_orders_that_hang_leave_a_place_for_reads() -> None:
    pacer = Pacer(Pacing(in_flight=4))
    orders = [join(pacer, Lane.ORDER) for _ in range(3)]
    assert pacer.admit(0) == tuple(orders[:2])

    read = join(pacer, Lane.DATA)

    assert pacer.admit(1) == (read,)


def test_a_share_of_the_pace_is_kept_for_cancels_and_one_for_orders() -> None:
    pacer = Pacer(replace(ROOMY, requests_per_s=10, cancels_per_s=2, orders_per_s=2))
    for _ in range(20):
        join(pacer, Lane.DATA)
    reads = start_all(pacer, 0)
    orders = [join(pacer, Lane.ORDER) for _ in range(3)]
    placed = start_all(pacer, 1)
    cancels = [join(pacer, Lane.CANCEL) for _ in range(3)]

    assert len(reads) == 6
    assert placed == orders[:2]
    assert start_all(pacer, 2) == cancels[:2]


def test_a_token_comes_back_a_second_after_it_was_used_and_not_before() -> None:
    pacer = Pacer(replace(ROOMY, requests_per_s=3, cancels_per_s=0))
    for _ in range(4):
        join(pacer, Lane.ORDER)
    assert len(start_all(pacer, 0)) == 3

    wake_ns = pacer.wake_ns(0)

    assert wake_ns == 1_050 * MS
    assert start(pacer, wake_ns - 1) == []
    assert len(start(pacer, wake_ns)) == 1
    assert pacer.wake_ns(wake_ns) is None


def test_a_request_that_waits_for_its_connection_uses_its_token_when_it_is_written() -> None:
    pacer = Pacer(replace(ROOMY, requests_per_s=1))
    slow, next_ = join(pacer, Lane.ORDER), join(pacer, Lane.ORDER)
    assert pacer.admit(0) == (slow,)

    assert (pacer.admit(3 * S), pacer.wake_ns(3 * S)) == ((), None)
    pacer.depart(slow, 3 * S)

    assert pacer.wake_ns(3 * S) == 4_050 * MS
    assert pacer.admit(4_050 * MS) == (next_,)


def test_no_endpoint_holds_up_its_lane() -> None:
    limits = {"/orders": Limit(requests=1, per_ms=5_000), "/tickle": Limit(requests=1, per_ms=1)}
    pacer = Pacer(Pacing(limits=limits))
    first = join(pacer, Lane.STATUS, "/orders")
    second = join(pacer, Lane.STATUS, "/orders")
    other = join(pacer, Lane.STATUS, "/tickle")

    assert start(pacer, 0) == [first, other]
    assert start(pacer, 4_999 * MS) == []
    assert pacer.wake_ns(4_999 * MS) == 5 * S
    assert start(pacer, 5 * S) == [second]


def test_the_limit_of_an_endpoint_is_counted_from_its_answer() -> None:
    pacer = Pacer(Pacing())
    slow = join(pacer, Lane.STATUS, "/iserver/account/orders")
    pacer.admit(0)
    pacer.depart(slow, 0)
    quick = join(pacer, Lane.STATUS, "/iserver/account/orders")
    assert (pacer.admit(6 * S), pacer.wake_ns(6 * S)) == ((), None)

    pacer.finish(slow, 7 * S)

    assert pacer.admit(12 * S - 1) == ()
    assert pacer.admit(12 * S) == (quick,)


def test_what_was_lost_in_a_gateway_that_hangs_counts_from_when_it_answers_again() -> None:
    """It may have waited there all the time, to arrive together with the next one."""
    pacer = Pacer(Pacing())
    for endpoint in ("/iserver/account/orders", "/tickle"):
        lost = join(pacer, Lane.STATUS, endpoint)
        assert pacer.admit(0) == (lost,)
        pacer.depart(lost, 0)
        pacer.finish(lost, 12 * S, lost=True)
    orders = join(pacer, Lane.STATUS, "/iserver/account/orders")
    # What may be asked every second is what finds out whether the gateway goes on.
    tickle = join(pacer, Lane.STATUS, "/tickle")
    assert start(pacer, 60 * S) == [tickle]

    pacer.answered(70 * S)

    assert start(pacer, 75 * S - 1) == []
    assert start(pacer, 75 * S) == [orders]


def test_an_endpoint_may_limit_what_is_unanswered() -> None:
    pacer = Pacer(replace(ROOMY, limits=broker_limits()))
    reads = [join(pacer, Lane.DATA, "/iserver/marketdata/history") for _ in range(6)]

    assert pacer.admit(0) == tuple(reads[:5])

    pacer.finish(reads[0], 1)
    assert pacer.admit(2 * S) == (reads[5],)


def test_an_endpoint_that_rests_is_as_if_it_had_just_answered() -> None:
    pacer = Pacer(Pacing())
    pacer.rest("/iserver/account/trades", 0)
    pacer.rest("/without/a/limit", 0)
    waiter = join(pacer, Lane.STATUS, "/iserver/account/trades")

    assert pacer.admit(5 * S - 1) == ()
    assert pacer.admit(5 * S) == (waiter,)


def test_the_brokers_limits_are_those_it_documents() -> None:
    every_five_s = Limit(requests=1, per_ms=5_000)

    assert broker_limits(trades_interval_ms=70) == {
        "/iserver/account/orders": every_five_s,
        "/iserver/account/trades": Limit(requests=1, per_ms=70),
        "/iserver/account/pnl/partitioned": every_five_s,
        "/portfolio/accounts": every_five_s,
        "/portfolio/subaccounts": every_five_s,
        "/iserver/marketdata/snapshot": Limit(requests=10, per_ms=1_000),
        "/iserver/marketdata/history": Limit(requests=50, per_ms=60_000, in_flight=5),
        "/tickle": Limit(requests=1, per_ms=1_000),
        "/sso/validate": Limit(requests=1, per_ms=60_000),
    }


def test_who_leaves_gets_no_turn() -> None:
    pacer = Pacer(Pacing())
    gone, stays = join(pacer, Lane.ORDER), join(pacer, Lane.ORDER)

    pacer.leave(gone)
    pacer.leave(gone)

    assert start(pacer, 0) == [stays]
    assert pacer.queue() == dict.fromkeys(Lane, 0)


@pytest.mark.parametrize("answer_ms", [0, 700], ids=["quick answers", "slow answers"])
def test_data_and_upkeep_get_their_share_of_a_flood(answer_ms: int) -> None:
    """Whether tokens are short or places are: nobody is passed over for ever."""
    pacer = Pacer(Pacing(limits={}))
    for lane in (Lane.ORDER, Lane.STATUS, Lane.DATA):
        for _ in range(100):
            join(pacer, lane)
    served: Counter[Lane] = Counter()

    ends: list[tuple[int, Waiter]] = []
    for now_ns in range(0, 20 * S, 50 * MS):
        for end in [end for end in ends if end[0] <= now_ns]:
            pacer.finish(end[1], now_ns)
            ends.remove(end)
        for waiter in pacer.admit(now_ns):
            served[waiter.lane] += 1
            ends.append((now_ns + answer_ms * MS, waiter))

    total = served.total()
    assert min(served[Lane.STATUS], served[Lane.DATA]) >= total // 6
    assert served[Lane.ORDER] > served[Lane.STATUS]


def test_hundreds_of_cancels_do_not_starve_the_upkeep() -> None:
    pacer = Pacer(Pacing(in_flight=1, limits={}))
    for _ in range(300):
        join(pacer, Lane.CANCEL)
    for _ in range(20):
        join(pacer, Lane.STATUS)
        join(pacer, Lane.ORDER)
    served: list[Lane] = []

    for now_ns in range(0, 20 * S, 50 * MS):
        served += [waiter.lane for waiter in start(pacer, now_ns)]

    turns = [index for index, lane in enumerate(served) if lane is Lane.STATUS]
    assert turns == list(range(9, len(served), 10))
    assert len(turns) > 10
    assert Lane.ORDER not in served


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Pacing(requests_per_s=0), "requests_per_s"),
        (lambda: Pacing(in_flight=0), "in_flight"),
        (lambda: Pacing(cancel_probe_ms=0), "cancel_probe_ms"),
    ],
)
def test_a_pace_of_nothing_is_refused(make: Callable[[], Pacing], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, at least 1"):
        make()


def test_one_place_in_flight_serves_every_lane() -> None:
    pacer = Pacer(Pacing(in_flight=1, requests_per_s=1))
    read = join(pacer, Lane.DATA)

    assert start(pacer, 0) == [read]


LIMITS = {
    "/one": Limit(requests=1, per_ms=2_000),
    "/ten": Limit(requests=3, per_ms=1_000),
    "/few": Limit(requests=4, per_ms=3_000, in_flight=2),
}
Arrival = tuple[Lane, str, int, int, int]
"""Lane, endpoint, and in ms: after the one before, until it is written, until its answer."""


class Venue:
    """Sends what a pacer admits, and notes when each was written and answered."""

    def __init__(self, pacing: Pacing) -> None:
        self.pacer = Pacer(pacing)
        self.now_ns = 0
        self.calls: dict[Waiter, tuple[int, int]] = {}
        self.log: list[tuple[str, int, int]] = []
        self.longest_wait_ns: Counter[Lane] = Counter()
        self._asked_ns: dict[Waiter, int] = {}
        self._due: list[tuple[int, int, Waiter]] = []

    def ask(self, lane: Lane, endpoint: str, *, write_ms: int, answer_ms: int) -> None:
        waiter = join(self.pacer, lane, endpoint)
        self.calls[waiter] = (write_ms, answer_ms)
        self._asked_ns[waiter] = self.now_ns

    def run_until(self, then_ns: int) -> None:
        while True:
            for waiter in self.pacer.admit(self.now_ns):
                waited_ns = self.now_ns - self._asked_ns[waiter]
                longest_ns = self.longest_wait_ns[waiter.lane]
                self.longest_wait_ns[waiter.lane] = max(longest_ns, waited_ns)
                write_ms, answer_ms = self.calls[waiter]
                written_ns = self.now_ns + write_ms * MS
                self._due += [
                    (written_ns, id(waiter), waiter),
                    (written_ns + answer_ms * MS, id(waiter), waiter),
                ]
            wake_ns = self.pacer.wake_ns(self.now_ns)
            times = [at for at, _, _ in self._due] + ([] if wake_ns is None else [wake_ns])
            if not times or min(times) > then_ns:
                break
            self.now_ns = min(times)
            self._happen()
        self.now_ns = max(self.now_ns, then_ns)

    def _happen(self) -> None:
        due = sorted((one for one in self._due if one[0] <= self.now_ns), key=lambda one: one[0])
        for one in due:
            self._due.remove(one)
            waiter = one[2]
            if waiter.departed:
                self.pacer.finish(waiter, self.now_ns)
                written_ns = self.now_ns - self.calls[waiter][1] * MS
                self.log.append((waiter.endpoint, written_ns, self.now_ns))
            else:
                self.pacer.depart(waiter, self.now_ns)


@given(
    arrivals=st.lists(
        st.tuples(
            st.sampled_from(Lane),
            st.sampled_from(("/free", *LIMITS)),
            st.integers(0, 400),
            st.integers(0, 1_500),
            st.integers(0, 1_500),
        ),
        max_size=60,
    ),
    requests_per_s=st.integers(1, 10),
    in_flight=st.integers(1, 12),
    refusals=st.sets(st.integers(0, 59), max_size=3),
)
def test_no_second_sees_more_than_allowed_and_everybody_gets_a_turn(
    arrivals: list[Arrival], requests_per_s: int, in_flight: int, refusals: set[int]
) -> None:
    venue = Venue(
        Pacing(requests_per_s=requests_per_s, in_flight=in_flight, limits=LIMITS, penalty_ms=7_000)
    )

    for number, (lane, endpoint, gap_ms, write_ms, answer_ms) in enumerate(arrivals):
        venue.run_until(venue.now_ns + gap_ms * MS)
        venue.ask(lane, endpoint, write_ms=write_ms, answer_ms=answer_ms)
        if number in refusals:
            venue.pacer.penalise(venue.now_ns, began_ns=venue.now_ns)
    venue.run_until(10**13)

    assert len(venue.log) == len(arrivals)
    written = sorted(written_ns for _, written_ns, _ in venue.log)
    for early, late in zip(written, written[requests_per_s:], strict=False):
        assert late - early >= S
    for endpoint, limit in LIMITS.items():
        spans = sorted((one, two) for name, one, two in venue.log if name == endpoint)
        ends = sorted(two for _, two in spans)
        for index, (written_ns, _) in enumerate(spans[limit.requests :]):
            # Wherever between writing and answer they arrived, it was not too soon.
            assert written_ns >= ends[index] + limit.per_ms * MS
        if limit.in_flight is not None:
            for written_ns, _ in spans:
                assert sum(one <= written_ns < two for one, two in spans) <= limit.in_flight


BUSY = (
    (Lane.CANCEL, "/iserver/account/{account}/order/{order}", 15),
    (Lane.ORDER, "/iserver/account/{account}/orders", 120),
    (Lane.STATUS, "/portfolio2/{account}/positions", 80),
    (Lane.STATUS, "/iserver/account/orders", 12),
    (Lane.STATUS, "/iserver/account/trades", 12),
    (Lane.STATUS, "/iserver/account/pnl/partitioned", 12),
    (Lane.STATUS, "/portfolio/accounts", 2),
    (Lane.STATUS, "/tickle", 50),
    (Lane.DATA, "/iserver/marketdata/snapshot", 60),
    (Lane.DATA, "/iserver/marketdata/history", 60),
)
"""What a busy minute asks for, in about the order of its importance: 423 requests."""


@pytest.mark.parametrize("seed", range(5))
def test_a_busy_minute_is_never_refused_by_the_simulated_gateway(seed: int) -> None:
    """Two counts that share no code: this one by tokens, the simulator's by arrivals."""
    chance = random.Random(seed)
    venue = Venue(Pacing())
    plan = sorted(
        (chance.randrange(60_000), lane, endpoint)
        for lane, endpoint, count in BUSY
        for _ in range(count)
    )

    for at_ms, lane, endpoint in plan:
        venue.run_until(at_ms * MS)
        venue.ask(
            lane,
            endpoint,
            write_ms=chance.choice((0, 1, 30)),
            answer_ms=chance.choice((1, 50, 50, 50, 500)),
        )
    venue.run_until(10**13)

    # Each arrives some time after it was written, and not after its answer.
    arrivals = sorted(
        (written_ns // MS + chance.randrange(min(50, (answered_ns - written_ns) // MS)), endpoint)
        for endpoint, written_ns, answered_ns in venue.log
    )
    broker, limits = BrokerPacing(), broker_limits()
    refused = [
        (at_ms, endpoint)
        for at_ms, endpoint in arrivals
        for limit in [limits.get(endpoint, Limit(requests=1, per_ms=0))]
        if not broker.admits(endpoint, at_ms, per_ms=limit.per_ms, burst=limit.requests)
    ]
    assert (len(arrivals), refused) == (len(plan), [])
    assert arrivals[-1][0] < 75_000, "the pace is used, not only kept"
    assert venue.longest_wait_ns[Lane.CANCEL] < S < venue.longest_wait_ns[Lane.DATA]
