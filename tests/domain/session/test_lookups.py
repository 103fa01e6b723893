"""Looking for doubtful orders: only healthy time counts, and nobody is forgotten."""

from engine.domain.messages import RequestLookup
from engine.domain.session import Lookups
from engine.domain.session.lookups import PARKED_GAP_MS_MAX, READ_GAP_MS_MAX, Lookup
from engine.domain.values import Coid, OrderId
from tests.domain.session.told import ACCOUNT, NAME, ONE, TWO

STEP_NS = READ_GAP_MS_MAX * 1_000_000


def request(
    order_id: OrderId = ONE, *, sent_at_ns: int = 1, provable: bool = False
) -> RequestLookup:
    return RequestLookup(
        order_id=order_id,
        session=NAME,
        account=ACCOUNT,
        coid=Coid(f"coid-{order_id}"),
        sent_at_ns=sent_at_ns,
        provable=provable,
    )


def looking(*requests: RequestLookup) -> Lookups:
    lookups = Lookups()
    for one in requests:
        lookups.add(Lookup(request=one))
    return lookups


def test_time_between_two_healthy_reads_was_spent_looking() -> None:
    lookups = looking(request())

    for number in range(4):
        lookups.count_read(number * STEP_NS, healthy=True)

    assert [one.healthy_ms for one in lookups] == [3 * READ_GAP_MS_MAX]


def test_unhealthy_time_and_long_gaps_do_not_count() -> None:
    lookups = looking(request())

    lookups.count_read(0, healthy=True)
    lookups.count_read(100 * STEP_NS, healthy=True)
    lookups.count_read(101 * STEP_NS, healthy=False)

    assert [one.healthy_ms for one in lookups] == [READ_GAP_MS_MAX]


def test_where_only_parked_orders_are_looked_for_longer_gaps_count() -> None:
    lookups = looking(request())
    for one in lookups:
        one.parked = True

    lookups.count_read(0, healthy=True)
    lookups.count_read(100 * STEP_NS, healthy=True)

    assert not lookups.urgent
    assert [one.healthy_ms for one in lookups] == [PARKED_GAP_MS_MAX]


def test_every_third_read_clears_the_cache_while_something_is_looked_for() -> None:
    lookups = Lookups()

    idle = [lookups.force_next_read() for _ in range(3)]
    lookups.add(Lookup(request=request()))
    busy = [lookups.force_next_read() for _ in range(6)]

    assert idle == [False] * 3
    assert busy == [False, False, True] * 2


def test_where_absence_may_be_proven_every_other_read_does() -> None:
    lookups = looking(request(provable=True))
    forced: list[bool] = []

    for _ in range(4):
        forced.append(lookups.force_next_read())
        if forced[-1]:
            lookups.clear_cache()
        else:
            assert lookups.take_refreshed()

    assert forced == [True, False, True, False]
    assert not lookups.take_refreshed(), "one plain read is right after one that cleared"


def test_a_cold_list_after_the_clearing_one_is_read_again_and_not_cleared() -> None:
    lookups = looking(request(provable=True))
    lookups.force_next_read()
    lookups.clear_cache()

    assert [lookups.force_next_read() for _ in range(3)] == [False] * 3
    assert lookups.take_refreshed()


def test_what_was_found_is_not_looked_for() -> None:
    lookups = looking(request())

    lookups.remove(ONE)

    assert not lookups


def test_who_asks_again_for_a_parked_order_gets_the_whole_time_and_keeps_its_evidence() -> None:
    lookups = looking(request())
    (known,) = lookups
    known.parked, known.healthy_ms = True, 180_000

    lookups.add(Lookup(request=request(provable=True)))

    assert list(lookups) == [known]
    assert (known.parked, known.healthy_ms, known.request.provable) == (False, 0, True)


def test_who_asks_again_for_an_order_that_is_not_parked_gains_no_time() -> None:
    lookups = looking(request())
    (known,) = lookups
    known.healthy_ms = 90_000

    lookups.add(Lookup(request=request()))

    assert known.healthy_ms == 90_000


def test_another_attempt_is_looked_for_from_the_start() -> None:
    lookups = looking(request())
    (before,) = lookups
    before.healthy_ms = 90_000

    lookups.add(Lookup(request=request(sent_at_ns=2)))

    (now,) = lookups
    assert (now.request.sent_at_ns, now.healthy_ms) == (2, 0)


def test_an_id_that_the_broker_shows_is_seen() -> None:
    lookups = looking(request(ONE), request(TWO))

    lookups.see([Coid("somebody's"), Coid("coid-1-2"), None])

    assert [one.absence.seen for one in lookups] == [False, True]
