import time

from engine import metrics
from engine.actors.mailbox import Dispatcher, LoopActor
from engine.actors.tally import ActorStatistics, Tallies
from tests.fakes import quiet, run


class Slow(LoopActor):
    """Works as long as it is told, in ms."""

    def on_receive(self, message: int) -> None:
        until_ns = time.perf_counter_ns() + message * 1_000_000
        while time.perf_counter_ns() < until_ns:
            pass


def test_the_time_of_every_turn_is_counted_for_its_class() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        ref = Slow(dispatcher=dispatcher, name="slow").begin()

        for message in (0, 2, 0):
            ref.tell(message)
        depth = dispatcher.statistics()["Slow"].depth
        await quiet()
        (found,) = dispatcher.statistics().values()
        (again,) = dispatcher.statistics().values()

        assert depth == 3
        assert (found.depth, found.handled) == (0, 3)
        assert 2_000_000 <= found.slowest_ns <= found.handling_ns
        assert again == ActorStatistics(
            depth=0, handled=3, handling_ns=found.handling_ns, slowest_ns=0
        )

    run(scene())


def test_the_counts_are_copied_to_the_metrics_once() -> None:
    tallies = Tallies()
    tally = tallies.of(Slow)
    handled = metrics.ACTOR_HANDLED.labels("Slow")
    seconds = metrics.ACTOR_HANDLING_SECONDS.labels("Slow")
    before = (handled._value.get(), seconds._value.get())
    tally.waiting, tally.handled, tally.handling_ns, tally.slowest_ns = 4, 7, 5 * 10**9, 2 * 10**9

    tallies.show()
    shown = metrics.ACTOR_SLOWEST_SECONDS.labels("Slow")._value.get()
    tallies.show()

    assert metrics.ACTOR_MAILBOX_DEPTH.labels("Slow")._value.get() == 4
    assert (handled._value.get() - before[0], seconds._value.get() - before[1]) == (7, 5)
    assert (shown, metrics.ACTOR_SLOWEST_SECONDS.labels("Slow")._value.get()) == (2, 0)


def test_actors_of_one_class_share_their_counts() -> None:
    tallies = Tallies()

    assert tallies.of(Slow) is tallies.of(Slow)
    assert tallies.depths() == {"Slow": 0}
