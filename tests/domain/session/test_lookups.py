"""Looking for doubtful orders: only healthy time counts."""

from engine.domain.session import LOOKUP_HEALTHY_MS_MAX, Lookups
from engine.domain.session.lookups import READ_GAP_MS_MAX
from engine.domain.values import OrderId

ONE = OrderId("1-1")
STEP_NS = READ_GAP_MS_MAX * 1_000_000


def test_an_order_is_given_up_after_the_healthy_time() -> None:
    lookups = Lookups()
    lookups.add(ONE)
    reads = LOOKUP_HEALTHY_MS_MAX // READ_GAP_MS_MAX

    given_up = [lookups.count_read(number * STEP_NS, healthy=True) for number in range(reads + 1)]

    assert given_up[:-1] == [()] * reads
    assert given_up[-1] == ((ONE, LOOKUP_HEALTHY_MS_MAX),)
    assert not lookups


def test_unhealthy_time_and_long_gaps_do_not_count() -> None:
    lookups = Lookups()
    lookups.add(ONE)

    lookups.count_read(0, healthy=True)
    lookups.count_read(100 * STEP_NS, healthy=True)
    lookups.count_read(200 * STEP_NS, healthy=False)

    assert bool(lookups)


def test_every_third_read_clears_the_cache_while_something_is_looked_for() -> None:
    lookups = Lookups()

    idle = [lookups.force_next_read() for _ in range(3)]
    lookups.add(ONE)
    busy = [lookups.force_next_read() for _ in range(6)]

    assert idle == [False] * 3
    assert busy == [False, False, True] * 2


def test_what_was_found_is_not_looked_for() -> None:
    lookups = Lookups()
    lookups.add(ONE)

    lookups.remove(ONE)

    assert not lookups
