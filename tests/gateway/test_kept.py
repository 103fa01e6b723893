"""Connections that are kept: when one is used again, and that nothing is written twice."""

import asyncio
import os
import socket
from dataclasses import replace

import pytest
from aiohttp.client_proto import ResponseHandler

from engine.gateway.client import Answer, Broken, GatewayClient, NoAnswer, Request
from tests.gateway.raw_gateway import (
    Certificate,
    RawGateway,
    Seen,
    Stream,
    always,
    client_of,
    http,
    raw_gateway,
    until,
)
from tests.gateway.test_client import CANCEL, ORDER, READ, Result, ask

CHANGES = pytest.mark.parametrize("request_", [ORDER, CANCEL], ids=["place", "cancel"])

WHOLE = Answer(status=200, body=b"{}")
STRAY = http(200, [{"order_id": "9", "order_status": "Filled"}])


class KeepingGateway:
    """Answers everything, and gives its connections out of its hands."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    async def __call__(self, _seen: Seen, stream: Stream) -> bytes:
        self.streams.append(stream)
        return http(200, {})

    def end(self) -> None:
        """End the newest connection, before this loop can have heard of it."""
        _, writer = self.streams[-1]
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)

    def say(self, text: bytes) -> None:
        """Write what nobody asked for."""
        _, writer = self.streams[-1]
        writer.write(text)


async def before_and_after(
    certificate: Certificate, request: Request, meanwhile: str
) -> tuple[list[Result], RawGateway]:
    """Two requests, and what becomes of the first one's connection between them."""
    keeping = KeepingGateway()
    async with (
        raw_gateway(certificate, keeping) as gateway,
        client_of(gateway.url, certificate) as client,
    ):
        first = await client.request(request)
        match meanwhile:
            case "ended, not heard":
                keeping.end()
            case "ended, heard":
                keeping.end()
                await until(lambda: not kept(client).is_connected())
            case "stray, not heard":
                keeping.say(STRAY)
            case "stray, heard":
                keeping.say(STRAY)
                await until(lambda: kept(client).should_close)
            case _:
                assert meanwhile == "nothing"
        return [first, await client.request(request)], gateway


def kept(client: GatewayClient) -> ResponseHandler:
    """The protocol of the one connection that is kept; aiohttp shows it to nobody."""
    assert client._changes is not None
    assert client._changes.connector is not None
    [[(protocol, _since)]] = client._changes.connector._conns.values()
    return protocol


def test_reads_share_a_connection_and_so_do_orders_but_not_with_each_other(
    certificate: Certificate,
) -> None:
    _, reads = ask(certificate, always(http(200, {})), READ, READ, READ)
    _, orders = ask(certificate, always(http(200, {})), ORDER, ORDER, CANCEL)
    _, both = ask(certificate, always(http(200, {})), READ, ORDER, READ, CANCEL)

    assert (len(reads.seen), reads.connections) == (3, 1)
    assert (len(orders.seen), orders.connections) == (3, 1)
    assert (len(both.seen), both.connections) == (4, 2)


@CHANGES
def test_a_connection_that_was_idle_for_too_long_is_not_used_again(
    certificate: Certificate, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.gateway.client._IDLE_REUSE_S", 1e-9)

    results, gateway = ask(certificate, always(http(200, {})), request_, request_)

    assert results == [WHOLE, WHOLE]
    assert (len(gateway.seen), gateway.connections) == (2, 2)


@CHANGES
@pytest.mark.parametrize(
    "meanwhile", ["ended, not heard", "ended, heard", "stray, not heard", "stray, heard"]
)
def test_a_kept_connection_on_which_something_came_is_not_written_to(
    certificate: Certificate, request_: Request, meanwhile: str
) -> None:
    """Neither is an order lost in a dead connection, nor a stray answer taken for its own."""
    results, gateway = asyncio.run(before_and_after(certificate, request_, meanwhile))

    assert results == [WHOLE, WHOLE]
    assert (len(gateway.seen), gateway.connections) == (2, 2)


@CHANGES
def test_a_kept_connection_that_nothing_came_over_is_used_again(
    certificate: Certificate, request_: Request
) -> None:
    results, gateway = asyncio.run(before_and_after(certificate, request_, "nothing"))

    assert results == [WHOLE, WHOLE]
    assert (len(gateway.seen), gateway.connections) == (2, 1)


@CHANGES
def test_what_was_written_to_a_kept_connection_that_breaks_is_sent_and_never_again(
    certificate: Certificate, request_: Request
) -> None:
    """The library repeats a DELETE in this place; who reads none of it cannot be told apart."""
    answers = iter([http(200, {}), None, http(200, {})])

    async def script(_seen: Seen, _stream: Stream) -> bytes | None:
        return next(answers)

    results, gateway = ask(certificate, script, request_, request_, request_)

    broken = NoAnswer(
        why=Broken.DISCONNECTED, sent=True, message="the connection was lost before the answer"
    )
    assert results == [WHOLE, broken, WHOLE]
    assert (len(gateway.seen), gateway.connections) == (3, 2)


def test_the_moment_to_send_counts_for_the_connection_that_is_taken_in_the_end(
    certificate: Certificate,
) -> None:
    """The kept one was dead, and the moment passes while another one is opened."""

    async def run() -> tuple[Result, RawGateway]:
        keeping = KeepingGateway()
        async with (
            raw_gateway(certificate, keeping) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            await client.request(ORDER)
            keeping.end()
            send_by_ns = client.clock() + 10_000_000_000
            client.clock = lambda: send_by_ns  # Only the look before the first byte reads it.
            return await client.request(replace(ORDER, send_by_ns=send_by_ns)), gateway

    result, gateway = asyncio.run(run())

    late = NoAnswer(why=Broken.LATE, sent=False, message="the moment to send had passed")
    assert (result, len(gateway.seen), gateway.connections) == (late, 1, 2)
