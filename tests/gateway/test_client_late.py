"""Answers that come after their request was given up."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.gateway import client as module
from engine.gateway.client import Answer, Broken, GatewayClient, NoAnswer
from tests.gateway.raw_gateway import (
    Certificate,
    RawGateway,
    Seen,
    Stream,
    client_of,
    http,
    raw_gateway,
    until,
    until_many,
)
from tests.gateway.test_client import ORDER, READ, Result

GIVEN_UP = NoAnswer(why=Broken.TIMEOUT, sent=True, message="no answer within 40 ms")


class SlowGateway:
    """Takes the whole request, and answers when it may; reads it answers at once."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.may = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, seen: Seen, stream: Stream) -> bytes | None:
        if seen.method == "GET":
            return http(200, b"{}")
        reader, writer = stream
        gone = asyncio.ensure_future(reader.read(1))
        may = asyncio.ensure_future(self.may.wait())
        await asyncio.wait({gone, may}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left.set()
        gone.cancel()
        may.cancel()
        await asyncio.gather(gone, may, return_exceptions=True)
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
        return None


def at_a_slow_gateway(
    certificate: Certificate,
    answer: bytes | None,
    work: Callable[[GatewayClient, SlowGateway, RawGateway], Any],
) -> Any:
    async def run() -> Any:
        slow = SlowGateway(answer)
        async with (
            raw_gateway(certificate, slow) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            return await work(client, slow, gateway)

    return asyncio.run(run())


def test_a_late_answer_is_told_once_more_and_nothing_is_written_for_it(
    certificate: Certificate,
) -> None:
    async def work(
        client: GatewayClient, slow: SlowGateway, gateway: RawGateway
    ) -> tuple[Result, list[Answer], int]:
        late: list[Answer] = []
        result = await client.request(replace(ORDER, deadline_ms=40, late=late.append))
        assert late == []
        slow.may.set()
        await until_many(late, 1)
        return result, late, len(gateway.seen)

    result, late, requests = at_a_slow_gateway(certificate, http(200, b"[]"), work)

    assert result == GIVEN_UP
    assert late == [Answer(status=200, body=b"[]")]
    assert requests == 1


def test_an_answer_in_time_is_not_told_as_late(certificate: Certificate) -> None:
    async def work(
        client: GatewayClient, slow: SlowGateway, _gateway: RawGateway
    ) -> tuple[Result, list[Answer]]:
        late: list[Answer] = []
        slow.may.set()
        return await client.request(replace(ORDER, late=late.append)), late

    result, late = at_a_slow_gateway(certificate, http(200, b"[]"), work)

    assert (result, late) == (Answer(status=200, body=b"[]"), [])


def test_who_does_not_want_late_answers_leaves_at_the_deadline(certificate: Certificate) -> None:
    async def work(client: GatewayClient, slow: SlowGateway, _gateway: RawGateway) -> Result:
        result = await client.request(replace(ORDER, deadline_ms=40))
        await slow.left.wait()
        return result

    assert at_a_slow_gateway(certificate, None, work) == GIVEN_UP


def test_other_requests_do_not_wait_for_a_late_answer(certificate: Certificate) -> None:
    async def work(client: GatewayClient, _slow: SlowGateway, _gateway: RawGateway) -> Result:
        late: list[Answer] = []
        await client.request(replace(ORDER, deadline_ms=40, late=late.append))
        return await client.request(READ)

    assert at_a_slow_gateway(certificate, None, work) == Answer(status=200, body=b"{}")


def test_an_answer_that_breaks_off_late_is_told_to_nobody(certificate: Certificate) -> None:
    async def work(
        client: GatewayClient, slow: SlowGateway, _gateway: RawGateway
    ) -> tuple[Result, list[Answer]]:
        late: list[Answer] = []
        result = await client.request(replace(ORDER, deadline_ms=40, late=late.append))
        slow.may.set()
        await until(lambda: not client._tasks)
        return result, late

    with capture_logs() as logs:
        result, late = at_a_slow_gateway(certificate, http(200, b"[]")[:-1], work)

    assert (result, late, logs) == (GIVEN_UP, [], [])


def test_after_a_minute_more_the_connection_ends(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.LATE_ANSWER_MS_MAX == 60_000
    monkeypatch.setattr(module, "LATE_ANSWER_MS_MAX", 60)

    async def work(
        client: GatewayClient, slow: SlowGateway, _gateway: RawGateway
    ) -> tuple[Result, list[Answer]]:
        late: list[Answer] = []
        result = await client.request(replace(ORDER, deadline_ms=40, late=late.append))
        await slow.left.wait()
        await until(lambda: not client._tasks)
        return result, late

    assert at_a_slow_gateway(certificate, None, work) == (GIVEN_UP, [])


def test_the_engines_stop_ends_the_reading(certificate: Certificate) -> None:
    async def work(
        client: GatewayClient, slow: SlowGateway, _gateway: RawGateway
    ) -> tuple[Result, list[Answer]]:
        late: list[Answer] = []
        result = await client.request(replace(ORDER, deadline_ms=40, late=late.append))
        await client.close()
        await slow.left.wait()
        return result, late

    assert at_a_slow_gateway(certificate, None, work) == (GIVEN_UP, [])


def test_the_engines_stop_answers_a_request_that_waits(certificate: Certificate) -> None:
    async def work(client: GatewayClient, _slow: SlowGateway, gateway: RawGateway) -> Result:
        late: list[Answer] = []
        told: list[Result] = []
        client.answer(client.request(replace(ORDER, late=late.append)), told.append, reraise)
        await until_many(gateway.seen, 1)
        await client.close()
        assert late == []
        return told[0]

    result = at_a_slow_gateway(certificate, None, work)

    assert result == NoAnswer(why=Broken.CLOSED, sent=True, message="the engine is stopping")


def test_a_pace_refused_late_stops_everything_too(certificate: Certificate) -> None:
    async def work(
        client: GatewayClient, slow: SlowGateway, _gateway: RawGateway
    ) -> tuple[list[Answer], Result]:
        late: list[Answer] = []
        await client.request(replace(ORDER, deadline_ms=40, late=late.append))
        slow.may.set()
        await until_many(late, 1)
        return late, await client.request(READ)

    with capture_logs() as logs:
        late, result = at_a_slow_gateway(certificate, http(429, b""), work)

    assert late == [Answer(status=429, body=b"")]
    assert isinstance(result, NoAnswer)
    assert result.why is Broken.RATE_LIMITED
    assert [entry["event"] for entry in logs] == ["gateway_pace_refused"]


def reraise(error: Exception) -> Result:
    raise error
