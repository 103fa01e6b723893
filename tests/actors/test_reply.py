import asyncio

import pytest

from engine.actors.mailbox import LoopActor
from engine.actors.reply import Reply, WouldBlockError
from tests.fakes import run


def test_an_answer_that_is_not_there_is_never_waited_for() -> None:
    async def scene() -> None:
        reply = Reply()

        with pytest.raises(WouldBlockError, match="await the reply"):
            reply.get()
        reply.set("here")

        assert reply.get() == "here"

    run(scene())


def test_an_answer_is_given_once() -> None:
    async def scene() -> None:
        reply = LoopActor._create_future()
        assert isinstance(reply, Reply)

        reply.set("first")
        reply.set("second")
        reply.set_exception((ValueError, ValueError("too late"), None))

        assert await reply == "first"

    run(scene())


def test_an_error_is_raised_where_the_answer_is_awaited() -> None:
    async def scene() -> None:
        reply = Reply()

        reply.set_exception((ValueError, ValueError("no"), None))

        with pytest.raises(ValueError, match="no"):
            await reply

    run(scene())


def test_a_reply_that_nobody_waits_for_any_more_is_forsaken() -> None:
    async def scene() -> None:
        reply, awaited = Reply(), Reply()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await reply
        reply.set("too late")

        assert reply.forsaken
        assert not awaited.forsaken

    run(scene())
