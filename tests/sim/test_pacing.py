from engine.sim.pacing import Pacing


def test_ten_requests_pass_in_a_second_and_the_eleventh_does_not() -> None:
    pacing = Pacing()

    admitted = [pacing.admits("tickle", now_ms) for now_ms in range(11)]

    assert admitted == [True] * 10 + [False]
    assert pacing.admits("tickle", 1000)


def test_a_path_with_its_own_pace_is_refused_earlier_and_alone() -> None:
    pacing = Pacing()

    assert pacing.admits("orders", 0, per_ms=5000)
    assert not pacing.admits("orders", 4999, per_ms=5000)
    assert pacing.admits("trades", 4999, per_ms=5000)
    assert pacing.admits("orders", 5000, per_ms=5000)


def test_a_burst_passes_as_long_as_the_average_holds() -> None:
    pacing = Pacing()

    admitted = [pacing.admits("tickle", now_ms, per_ms=5000, burst=2) for now_ms in (0, 1, 2)]

    assert admitted == [True, True, False]


def test_a_penalty_box_refuses_everything_until_it_ends() -> None:
    pacing = Pacing()
    for _ in range(10):
        pacing.admits("tickle", 0, box_ms=600_000)

    assert not pacing.admits("tickle", 0, box_ms=600_000)
    assert not pacing.admits("tickle", 500_000, box_ms=600_000)
    assert pacing.is_boxed(599_999)
    assert pacing.admits("tickle", 600_000, box_ms=600_000)
    assert pacing.refused == 2
