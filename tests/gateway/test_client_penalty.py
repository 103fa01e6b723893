"""What a client does when the broker refuses its pace."""

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.gateway.client import (
    Answer,
    Broken,
    GatewayClient,
    Lane,
    NoAnswer,
    Pacing,
    Request,
    TlsPolicy,
)
from engine.gateway.pacing import Limit
from tests.gateway.raw_gateway import (
    QUICK,
    SESSION,
    Certificate,
    Seen,
    Stream,
    always,
    client_of,
    http,
    raw_gateway,
    until,
)
from tests.gateway.test_client import CANCEL, ORDER, READ, Result, ask


def test_429_stops_everything_and_answers_those_who_wait(certificate: Certificate) -> None:
    before = metrics.HTTP_429.labels(SESSION)._value.get()

    async def run() -> tuple[list[Result], int]:
        async with (
            raw_gateway(certificate, always(http(429, b"Too Many Requests"))) as gateway,
            client_of(gateway.url, certificate, pacing=replace(QUICK, in_flight=1)) as client,
        ):
            calls = [client.request(READ), client.request(ORDER), client.request(READ)]
            return await asyncio.gather(*calls), len(gateway.seen)

    with capture_logs() as logs:
        results, requests = asyncio.run(run())

    message = "the broker refused the pace before; nothing is sent for another 900 s"
    refused = NoAnswer(why=Broken.RATE_LIMITED, sent=False, message=message)
    assert sorted(map(str, results)) == sorted(
        map(str, [Answer(status=429, body=b"Too Many Requests"), refused, refused])
    )
    assert requests == 1
    assert metrics.HTTP_429.labels(SESSION)._value.get() == before + 1
    assert [entry["event"] for entry in logs] == ["gateway_pace_refused"]


class SlowForOrders(aiohttp.TCPConnector):
    """Opens the connection of an order only when it may."""

    may = asyncio.Event()

    async def _create_connection(self, req: Any, *others: Any, **options: Any) -> Any:
        if "/orders" in str(req.url):
            await self.may.wait()
        return await super()._create_connection(req, *others, **options)


@pytest.mark.parametrize("request_", [ORDER, CANCEL], ids=["order", "cancel"])
def test_what_had_its_turn_before_the_429_is_not_written_after_it_but_for_a_cancel(
    certificate: Certificate, request_: Request
) -> None:
    SlowForOrders.may = asyncio.Event()

    async def run() -> tuple[Result, list[str]]:
        async with raw_gateway(certificate, always(http(429, b""))) as gateway:
            client = GatewayClient(
                session=SESSION,
                url=gateway.url,
                tls=TlsPolicy(verify="pin", pin_sha256=certificate.pin_sha256),
                pacing=QUICK,
                connector=SlowForOrders,
            )
            await client.start()
            sending = asyncio.create_task(client.request(request_))
            await client.request(READ)
            SlowForOrders.may.set()
            result = await sending
            await client.close()
            return result, [seen.method for seen in gateway.seen]

    result, methods = asyncio.run(run())

    if request_ is CANCEL:
        assert (result, methods) == (Answer(status=429, body=b""), ["GET", "DELETE"])
    else:
        message = "the broker refused the pace while the connection was opened"
        refused = NoAnswer(why=Broken.RATE_LIMITED, sent=False, message=message)
        assert (result, methods) == (refused, ["GET"])


def test_nobody_slips_into_the_penalty_that_an_answer_begins(certificate: Certificate) -> None:
    now_ns = 0

    async def script(seen: Seen, _stream: Stream) -> bytes:
        nonlocal now_ns
        if seen.method == "POST":
            return http(200, {})
        # The order's endpoint is free again, but nobody has looked at the clock yet.
        now_ns += 60_000_000_000
        return http(429, b"")

    async def run() -> tuple[Result, int]:
        async with raw_gateway(certificate, script) as gateway:
            client = GatewayClient(
                session=SESSION,
                url=gateway.url,
                tls=TlsPolicy(verify="pin", pin_sha256=certificate.pin_sha256),
                pacing=Pacing(limits={ORDER.endpoint: Limit(requests=1, per_ms=60_000)}),
                clock=lambda: now_ns,
            )
            await client.start()
            await client.request(ORDER)
            waiting = asyncio.create_task(client.request(ORDER))
            await until(lambda: client._turns._pacer.queue()[Lane.ORDER] == 1)
            await client.request(READ)
            result = await waiting
            await client.close()
            return result, len(gateway.seen)

    message = "the broker refused the pace before; nothing is sent for another 900 s"
    refused = NoAnswer(why=Broken.RATE_LIMITED, sent=False, message=message)
    assert asyncio.run(run()) == (refused, 2)


def test_a_cancel_that_gets_through_ends_the_penalty(certificate: Certificate) -> None:
    answers = iter([http(429, b""), http(200, {"msg": "Request was submitted"}), http(200, {})])

    async def script(_seen: Seen, _stream: Stream) -> bytes:
        return next(answers)

    results, _ = ask(
        certificate, script, READ, CANCEL, READ, pacing=replace(QUICK, cancel_probe_ms=20)
    )

    assert [result.status for result in results if isinstance(result, Answer)] == [429, 200, 200]


def test_the_page_of_the_brokers_edge_is_no_refusal_of_the_pace(certificate: Certificate) -> None:
    """It blocks an address, or only what a paper account may not ask for."""
    page = b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD></HTML>"

    results, gateway = ask(certificate, always(http(403, page)), READ, ORDER)

    assert results == [Answer(status=403, body=page)] * 2
    assert len(gateway.seen) == 2


def test_one_gateways_penalty_is_not_another_ones(certificate: Certificate) -> None:
    async def run() -> list[Result]:
        async with (
            raw_gateway(certificate, always(http(429, b""))) as closed,
            raw_gateway(certificate, always(http(200, {}))) as open_,
            client_of(closed.url, certificate) as first,
            client_of(open_.url, certificate) as second,
        ):
            return [await client.request(READ) for client in (first, second)]

    assert asyncio.run(run()) == [Answer(status=429, body=b""), Answer(status=200, body=b"{}")]


def test_a_cancel_that_is_refused_in_the_penalty_does_not_make_it_longer(
    certificate: Certificate,
) -> None:
    async def run() -> tuple[list[Result], int]:
        pacing = replace(QUICK, cancel_probe_ms=1, penalty_ms=60_000)
        async with (
            raw_gateway(certificate, always(http(429, b""))) as gateway,
            client_of(gateway.url, certificate, pacing=pacing) as client,
        ):
            results = [await client.request(one) for one in (READ, CANCEL, CANCEL)]
            return results, client._turns._pacer.penalty_ms(client.clock()) or 0

    results, left_ms = asyncio.run(run())

    assert results == [Answer(status=429, body=b"")] * 3
    assert 0 < left_ms <= 60_000
