"""Answers about contracts: shared while they are asked for, kept for a day, forgotten when told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from engine.domain.values import ConId, Reason
from engine.gateway.client import GatewayClient
from engine.gateway.kept_answers import AGE_NS_MAX, KeptAnswers
from tests.fakes import quiet, run

ONE, TWO, THREE = ConId(1), ConId(2), ConId(3)
REFUSED = Reason(code="INSTRUMENT_UNKNOWN", message="conid 1: no")


class Broker:
    """Answers when it is let; a client is what asks it, and has the clock."""

    def __init__(self, *, kept_max: int = 10) -> None:
        self.now_ns = 0
        self.reads: list[ConId] = []
        self.answers: list[str | Reason | Exception] = []
        self.may = asyncio.Event()
        self.may.set()
        self.kept = KeptAnswers[str](
            client=cast("GatewayClient", self),
            read=self.read,
            what=lambda conid: f"conid {conid}",
            kept_max=kept_max,
        )

    def clock(self) -> int:
        return self.now_ns

    def answer(
        self,
        work: Awaitable[str | Reason],
        tell: Callable[[str | Reason], None],
        otherwise: Callable[[Exception], str | Reason],
    ) -> None:
        async def ask() -> None:
            try:
                answer = await work
            except ValueError as error:
                answer = otherwise(error)
            tell(answer)

        self.asking = asyncio.ensure_future(ask())

    async def read(self, conid: ConId) -> str | Reason:
        self.reads.append(conid)
        answer = self.answers.pop(0) if self.answers else f"answer {len(self.reads)}"
        await self.may.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_an_answer_is_kept_for_a_day() -> None:
    async def scene() -> None:
        broker = Broker()

        first = await broker.kept.of(ONE)
        broker.now_ns = AGE_NS_MAX - 1
        kept, age_ms = await broker.kept.of(ONE), broker.kept.age_ms(ONE)
        broker.now_ns = AGE_NS_MAX
        anew = await broker.kept.of(ONE)

        assert (first, kept, anew) == ("answer 1", "answer 1", "answer 2")
        assert (age_ms, broker.kept.age_ms(ONE), broker.kept.age_ms(TWO)) == (86_399_999, 0, None)

    run(scene())


def test_those_who_ask_at_the_same_time_share_one_read_and_may_give_up_alone() -> None:
    async def scene() -> None:
        broker = Broker()
        broker.may.clear()
        waiting = [asyncio.ensure_future(broker.kept.of(ONE)) for _ in range(3)]
        await quiet()

        waiting[0].cancel()
        broker.may.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)

        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == ["answer 1", "answer 1"]
        assert broker.reads == [ONE]

    run(scene())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (REFUSED, REFUSED),
        (
            ValueError("no digits"),
            Reason(code="INTERNAL_ERROR", message="conid 1: ValueError: no digits"),
        ),
    ],
)
def test_what_could_not_be_had_is_asked_for_again(
    answer: Reason | Exception, expected: Reason
) -> None:
    async def scene() -> None:
        broker = Broker()
        broker.answers.append(answer)

        failed, age_ms = await broker.kept.of(ONE), broker.kept.age_ms(ONE)
        again = await broker.kept.of(ONE)

        assert (failed, age_ms, again) == (expected, None, "answer 2")

    run(scene())


def test_what_is_forgotten_while_it_is_read_answers_those_who_wait_and_is_not_kept() -> None:
    async def scene() -> None:
        broker = Broker()
        broker.may.clear()
        early = asyncio.ensure_future(broker.kept.of(ONE))
        await quiet()

        broker.kept.forget(ONE)
        late = asyncio.ensure_future(broker.kept.of(ONE))
        await quiet()
        broker.may.set()

        assert (await early, await late) == ("answer 1", "answer 2")
        assert await broker.kept.of(ONE) == "answer 2"
        assert broker.reads == [ONE, ONE]

    run(scene())


def test_of_very_many_answers_those_read_longest_ago_are_forgotten() -> None:
    async def scene() -> None:
        broker = Broker(kept_max=2)
        await broker.kept.of(ONE)
        await broker.kept.of(TWO)
        broker.now_ns = AGE_NS_MAX
        await broker.kept.of(ONE)  # Anew, so it is the newest now.

        await broker.kept.of(THREE)

        ages = [broker.kept.age_ms(conid) for conid in (ONE, TWO, THREE)]
        assert ages == [0, None, 0]

    run(scene())
