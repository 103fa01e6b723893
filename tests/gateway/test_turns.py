import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from engine import metrics
from engine.gateway.pacing import Lane, Limit, Pacing, Waiter
from engine.gateway.turns import TooFast, TooLate, Turns
from tests.gateway.raw_gateway import QUICK, SESSION, until

T = TypeVar("T")
S = 1_000_000_000
ONE_PLACE = replace(QUICK, in_flight=1)


def with_turns(work: Callable[[Turns], Awaitable[T]], pacing: Pacing = QUICK) -> T:
    async def run() -> T:
        turns = Turns(SESSION, pacing)
        try:
            return await work(turns)
        finally:
            turns.close()

    return asyncio.run(run())


def queue_of(turns: Turns) -> int:
    return sum(turns._pacer.queue().values())


async def waiting(turns: Turns, lane: Lane = Lane.DATA) -> "asyncio.Task[Waiter]":
    """One more that waits for its turn."""
    before = queue_of(turns)
    task = asyncio.create_task(turns.take(lane, "/x"))
    await until(lambda: queue_of(turns) > before)
    return task


def test_who_finishes_hands_on_the_turn() -> None:
    async def work(turns: Turns) -> list[Lane]:
        running = await turns.take(Lane.DATA, "/x")
        data, order = [await waiting(turns, lane) for lane in (Lane.DATA, Lane.ORDER)]
        served: list[Lane] = []
        for task in (order, data):
            turns.finish(running)
            running = await task
            served.append(running.lane)
        turns.finish(running)
        return served

    assert with_turns(work, ONE_PLACE) == [Lane.ORDER, Lane.DATA]


def test_a_turn_that_time_brings_is_given_in_time() -> None:
    async def work(turns: Turns) -> float:
        turns.finish(await turns.take(Lane.DATA, "/slow"))
        began_ns = turns.clock()
        turns.finish(await turns.take(Lane.DATA, "/slow"))
        return (turns.clock() - began_ns) / 1e6

    waited_ms = with_turns(work, Pacing(limits={"/slow": Limit(requests=1, per_ms=50)}))

    assert 49 < waited_ms < 1_000


def test_no_turn_before_the_moment_to_send_is_too_late() -> None:
    async def work(turns: Turns) -> tuple[list[str], int]:
        told: list[str] = []
        await turns.take(Lane.DATA, "/x")
        for send_by_ns in (turns.clock() + 20_000_000, turns.clock()):
            with pytest.raises(TooLate) as late:
                await turns.take(Lane.ORDER, "/x", send_by_ns=send_by_ns)
            told.append(str(late.value))
        return told, queue_of(turns)

    told, queue = with_turns(work, ONE_PLACE)

    assert told[0].startswith("no turn within ")
    assert told[1] == "the moment to send had passed"
    assert queue == 0


def test_a_penalty_tells_those_who_wait_and_those_who_come_but_no_cancel() -> None:
    async def work(turns: Turns) -> tuple[list[str], bool, bool]:
        running = await turns.take(Lane.DATA, "/x")
        order = await waiting(turns, Lane.ORDER)
        cancel = await waiting(turns, Lane.CANCEL)
        turns.penalise("/x", began_ns=0)
        refused = turns.are_refused
        told = [
            str(one)
            for one in await asyncio.gather(
                order, turns.take(Lane.STATUS, "/y"), return_exceptions=True
            )
            if isinstance(one, TooFast)
        ]
        turns.forgive()
        turns.finish(running)
        turns.finish(await cancel)
        return told, refused, turns.are_refused

    told, during, after = with_turns(work, ONE_PLACE)

    message = "the broker refused the pace before; nothing is sent for another 900 s"
    assert told == [message, message]
    assert (during, after) == (True, False)


@pytest.mark.parametrize(
    ("lane", "probe_ms", "limit_ms"),
    [(Lane.CANCEL, 60, 80), (Lane.CANCEL, 10, 50), (Lane.STATUS, 60, 50)],
)
def test_a_cancel_waits_until_one_may_try_whether_the_broker_still_refuses(
    monkeypatch: pytest.MonkeyPatch, lane: Lane, probe_ms: int, limit_ms: int
) -> None:
    monkeypatch.setattr("engine.gateway.turns._WAIT_MS", 50)
    monkeypatch.setattr("engine.gateway.turns._CANCEL_SPARE_MS", 20)

    async def work(turns: Turns) -> str:
        await turns.take(Lane.DATA, "/x")
        with pytest.raises(TooLate) as late:
            await turns.take(lane, "/x")
        return str(late.value)

    told = with_turns(work, replace(ONE_PLACE, cancel_probe_ms=probe_ms))

    assert told == f"no turn within {limit_ms} ms"


@pytest.mark.parametrize("turn_came", [False, True], ids=["before its turn", "at its turn"])
def test_who_is_cancelled_leaves_no_place_taken(*, turn_came: bool) -> None:
    async def work(turns: Turns) -> bool:
        running = await turns.take(Lane.DATA, "/x")
        task = await waiting(turns)
        if turn_came:
            turns.finish(running)
            task.cancel()
        else:
            task.cancel()
            turns.finish(running)
        with pytest.raises(asyncio.CancelledError):
            await task
        turns.finish(await turns.take(Lane.DATA, "/x"))
        return task.cancelled()

    assert with_turns(work, ONE_PLACE)


def test_the_lists_that_rest_come_after_their_time() -> None:
    async def work(turns: Turns) -> float:
        turns.defer("/slow")
        began_ns = turns.clock()
        turns.finish(await turns.take(Lane.DATA, "/slow"))
        return (turns.clock() - began_ns) / 1e6

    assert with_turns(work, Pacing(limits={"/slow": Limit(requests=1, per_ms=50)})) > 49


def gauge(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, {"session": SESSION, **labels})


def test_what_was_lost_gives_its_token_back_only_after_another_answer() -> None:
    now_ns = 0

    async def work(turns: Turns) -> list[float | None]:
        nonlocal now_ns
        lost = await turns.take(Lane.DATA, "/slow")
        turns.depart(lost)
        turns.finish(lost, lost=True)
        now_ns += 60 * S
        before = tokens(turns)
        turns.answered()
        now_ns += 5 * S
        return [before, tokens(turns)]

    def tokens(turns: Turns) -> float | None:
        turns.measure()
        return gauge("engine_ratelimit_tokens", bucket="/slow")

    limits = {"/slow": Limit(requests=1, per_ms=5_000)}
    turns = Turns(SESSION, Pacing(limits=limits), lambda: now_ns)
    assert asyncio.run(work(turns)) == [0, 1]


def test_the_budgets_are_measured() -> None:
    limits = {"/x": Limit(requests=7, per_ms=60_000)}

    async def work(turns: Turns) -> None:
        tasks = [asyncio.create_task(turns.take(Lane.DATA, "/x")) for _ in range(5)]
        await until(lambda: queue_of(turns) == 3)
        turns.measure()
        assert gauge("engine_ratelimit_tokens", bucket="all") == 2
        assert gauge("engine_ratelimit_tokens", bucket="reads") == 0
        assert gauge("engine_ratelimit_tokens", bucket="/x") == 5
        assert gauge("engine_ratelimit_queue", lane="data") == 3
        assert gauge("engine_ratelimit_queue", lane="cancel") == 0
        assert gauge("engine_ratelimit_penalty_seconds") == 0

        turns.penalise("/x", began_ns=0)
        await asyncio.gather(*tasks, return_exceptions=True)

        turns.measure()
        assert gauge("engine_ratelimit_tokens", bucket="all") == 0
        assert gauge("engine_ratelimit_queue", lane="data") == 0
        penalty_s = gauge("engine_ratelimit_penalty_seconds")
        assert penalty_s is not None
        assert 890 < penalty_s <= 900

    with_turns(work, Pacing(limits=limits))
