import random

from hypothesis import given
from hypothesis import strategies as st

from engine.actors.restarts import Restart, Restarts

EVEN = Restart(tries=3, within_s=10, delay_ms=100, cap_ms=300, jitter=0)


def waits(policy: Restart, *times_s: float, name: str = "a") -> list[float | None]:
    restarts = Restarts(policy, random.Random(1))
    return [restarts.next_wait_s(name, now_s) for now_s in times_s]


def test_each_failure_waits_longer_until_there_are_too_many() -> None:
    assert waits(EVEN, 1, 2, 3, 4) == [0.1, 0.2, 0.3, None]


def test_failures_that_are_long_ago_are_forgotten() -> None:
    assert waits(EVEN, 1, 2, 3, 11.5, 30) == [0.1, 0.2, 0.3, 0.3, 0.1]


def test_every_actor_has_its_own_count() -> None:
    restarts = Restarts(EVEN, random.Random(1))

    found = [restarts.next_wait_s(name, 1) for name in ("a", "a", "b")]

    assert found == [0.1, 0.2, 0.1]


@given(st.integers(0, 2**32), st.floats(0, 0.9))
def test_jitter_spreads_the_waits_within_its_share(seed: int, jitter: float) -> None:
    policy = Restart(tries=20, within_s=60, delay_ms=100, cap_ms=1_000, jitter=jitter)
    restarts, again = (Restarts(policy, random.Random(seed)) for _ in range(2))

    found = [restarts.next_wait_s("a", 1) for _ in range(20)]

    assert found == [again.next_wait_s("a", 1) for _ in range(20)], "a seed repeats itself"
    for number, wait_s in enumerate(found):
        even_s = min(0.1 * 2**number, 1)
        assert wait_s is not None
        assert even_s * (1 - jitter) * 0.999 <= wait_s <= even_s * (1 + jitter) * 1.001
