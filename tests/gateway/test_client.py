import asyncio
import socket
import time
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
from tests.gateway.raw_gateway import (
    QUICK,
    SESSION,
    Certificate,
    RawGateway,
    Script,
    Seen,
    Stream,
    always,
    client_of,
    http,
    never,
    raw_gateway,
    server_context,
    until,
)

READ = Request(method="GET", path="/iserver/accounts", endpoint="/iserver/accounts", lane=Lane.DATA)
ORDER = Request(
    method="POST",
    path="/iserver/account/DU1/orders",
    endpoint="/iserver/account/{account}/orders",
    lane=Lane.ORDER,
    body=b'{"orders":[]}',
    changes=True,
)
CANCEL = replace(ORDER, method="DELETE", lane=Lane.CANCEL, body=None)

Result = Answer | NoAnswer


def ask(
    certificate: Certificate, script: Script, *requests: Request, pacing: Pacing = QUICK
) -> tuple[list[Result], RawGateway]:
    """The results of these requests, one after the other, and the gateway that saw them."""

    async def run() -> tuple[list[Result], RawGateway]:
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate, pacing=pacing) as client,
        ):
            return [await client.request(request) for request in requests], gateway

    return asyncio.run(run())


def test_a_body_is_sent_as_it_is_with_its_length(certificate: Certificate) -> None:
    results, gateway = ask(certificate, always(http(200, {"ok": 1})), ORDER)

    assert results == [Answer(status=200, body=b'{"ok": 1}')]
    [seen] = gateway.seen
    assert (seen.method, seen.target) == ("POST", "/v1/api/iserver/account/DU1/orders")
    assert seen.body == ORDER.body
    assert seen.headers["content-length"] == "13"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"] == "ibkr-execution-engine"
    assert seen.headers["accept-encoding"] == "identity"
    assert "transfer-encoding" not in seen.headers
    assert "cookie" not in seen.headers


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_request_without_a_body_says_so(certificate: Certificate, method: str) -> None:
    bare = replace(ORDER, method="DELETE" if method == "DELETE" else "POST", body=None)

    _, gateway = ask(certificate, always(http(200, {})), bare)

    assert gateway.seen[0].headers["content-length"] == "0"


@pytest.mark.parametrize("request_", [ORDER, CANCEL, READ], ids=["place", "cancel", "read"])
def test_a_request_is_written_once_when_its_connection_breaks(
    certificate: Certificate, request_: Request
) -> None:
    results, gateway = ask(certificate, always(None), request_)

    broken = NoAnswer(
        why=Broken.DISCONNECTED, sent=True, message="the connection was lost before the answer"
    )
    assert results == [broken]
    assert (len(gateway.seen), gateway.connections) == (1, 1)


def test_a_read_is_written_once_when_the_connection_it_shares_breaks(
    certificate: Certificate,
) -> None:
    """The gateway may have passed it on, and the next one would come too soon."""
    answers = iter([http(200, {}), None, http(200, {})])

    async def script(_seen: Seen, _stream: Stream) -> bytes | None:
        return next(answers)

    results, gateway = ask(certificate, script, READ, READ, READ)

    broken = NoAnswer(
        why=Broken.DISCONNECTED, sent=True, message="the connection was lost before the answer"
    )
    whole = Answer(status=200, body=b"{}")
    assert results == [whole, broken, whole]
    assert (len(gateway.seen), gateway.connections) == (3, 2)


@pytest.mark.parametrize("bytes_read", [0, 1, 17, 60])
def test_an_answer_cut_anywhere_leaves_the_request_sent(
    certificate: Certificate, bytes_read: int
) -> None:
    async def cut(_seen: Seen, stream: Stream) -> None:
        _, writer = stream
        writer.write(http(200, [{"order_id": "1"}])[:bytes_read])
        await writer.drain()

    results, gateway = ask(certificate, cut, CANCEL)

    [result] = results
    assert isinstance(result, NoAnswer)
    assert (result.why, result.sent, len(gateway.seen)) == (Broken.DISCONNECTED, True, 1)


def test_nobody_listening_is_not_sent(certificate: Certificate) -> None:
    async def run() -> Result:
        async with raw_gateway(certificate, never) as gateway:
            url = gateway.url
        async with client_of(url, certificate) as client:
            return await client.request(ORDER)

    result = asyncio.run(run())

    assert isinstance(result, NoAnswer)
    assert (result.why, result.sent) == (Broken.UNREACHABLE, False)


def test_a_gateway_that_hangs_is_given_up_after_the_deadline(certificate: Certificate) -> None:
    began = time.monotonic()
    results, _ = ask(certificate, never, replace(ORDER, deadline_ms=50))

    assert time.monotonic() - began < 2
    assert results == [NoAnswer(why=Broken.TIMEOUT, sent=True, message="no answer within 50 ms")]


def test_a_slow_answer_is_waited_for_longer_than_a_connection(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.gateway.client._CONNECT_MS", 100)

    async def slow(_seen: Seen, _stream: Stream) -> bytes:
        await asyncio.sleep(0.2)
        return http(200, {})

    results, _ = ask(certificate, slow, ORDER)

    assert results == [Answer(status=200, body=b"{}")]


def test_a_connection_that_takes_too_long_is_not_sent(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.gateway.client._CONNECT_MS", 30)

    async def run() -> Result:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"https://127.0.0.1:{silent.getsockname()[1]}"
            async with client_of(url, certificate) as client:
                return await client.request(ORDER)

    unreachable = NoAnswer(why=Broken.UNREACHABLE, sent=False, message="no connection within 30 ms")
    assert asyncio.run(run()) == unreachable


def test_an_answer_that_only_trickles_is_given_up_after_the_deadline(
    certificate: Certificate,
) -> None:
    async def trickle(_seen: Seen, stream: Stream) -> None:
        _, writer = stream
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n[")
        await asyncio.Event().wait()

    results, _ = ask(certificate, trickle, replace(ORDER, deadline_ms=50))

    assert results == [NoAnswer(why=Broken.TIMEOUT, sent=True, message="no answer within 50 ms")]


def test_an_answer_longer_than_its_limit_is_not_read(certificate: Certificate) -> None:
    results, _ = ask(
        certificate, always(http(200, b"x" * 101)), replace(READ, answer_bytes_max=100)
    )

    message = "answer of over 100 bytes, the limit"
    assert results == [NoAnswer(why=Broken.TOO_LARGE, sent=True, message=message)]


def test_a_redirect_is_an_answer_and_is_not_followed(certificate: Certificate) -> None:
    there = (
        b"HTTP/1.1 302 X\r\nLocation: https://127.0.0.1:1/sso/Login\r\nContent-Length: 0\r\n\r\n"
    )

    results, gateway = ask(certificate, always(there), READ)

    assert results == [Answer(status=302, body=b"")]
    assert len(gateway.seen) == 1


def test_an_order_whose_moment_passes_while_connecting_is_not_sent(
    certificate: Certificate,
) -> None:
    """The moment is checked when the connection is open, right before the first byte."""

    async def run() -> tuple[Result, bytes]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)  # asyncio wants it so
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            async with client_of(url, certificate) as client:
                send_by_ns = client.clock() + 40_000_000
                sending = asyncio.create_task(client.request(replace(ORDER, send_by_ns=send_by_ns)))
                loop = asyncio.get_running_loop()
                connection, _ = await loop.sock_accept(listener)
                await until(lambda: client.clock() > send_by_ns)
                reader = asyncio.StreamReader()
                transport, _ = await loop.connect_accepted_socket(
                    lambda: asyncio.StreamReaderProtocol(reader),
                    connection,
                    ssl=server_context(certificate),
                )
                received = await reader.read()
                transport.abort()
                return await sending, received

    result, received = asyncio.run(run())

    late = NoAnswer(why=Broken.LATE, sent=False, message="the moment to send had passed")
    assert (result, received) == (late, b"")


def test_an_order_whose_moment_passed_before_opens_no_connection(certificate: Certificate) -> None:
    results, gateway = ask(certificate, always(http(200, {})), replace(ORDER, send_by_ns=1))

    message = "the moment to send had passed"
    assert results == [NoAnswer(why=Broken.LATE, sent=False, message=message)]
    assert gateway.connections == 0


def test_an_order_whose_moment_passes_while_it_waits_for_its_turn_is_not_sent(
    certificate: Certificate,
) -> None:
    async def run() -> tuple[Result, RawGateway]:
        async with (
            raw_gateway(certificate, never) as gateway,
            client_of(gateway.url, certificate, pacing=replace(QUICK, in_flight=1)) as client,
        ):
            hung = asyncio.create_task(client.request(READ))
            await until(lambda: bool(gateway.seen))
            send_by_ns = client.clock() + 30_000_000
            result = await client.request(replace(ORDER, send_by_ns=send_by_ns))
            hung.cancel()
            await asyncio.gather(hung, return_exceptions=True)
            return result, gateway

    result, gateway = asyncio.run(run())

    assert isinstance(result, NoAnswer)
    assert (result.why, result.sent, len(gateway.seen)) == (Broken.LATE, False, 1)


def test_a_cancel_overtakes_reads_that_wait(certificate: Certificate) -> None:
    async def run() -> list[str]:
        release = asyncio.Event()

        async def wait(_seen: Seen, _stream: Stream) -> bytes:
            await release.wait()
            return http(200, {})

        async with (
            raw_gateway(certificate, wait) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            calls = [asyncio.create_task(client.request(READ)) for _ in range(6)]
            await until(lambda: len(gateway.seen) == 2)
            calls.append(asyncio.create_task(client.request(CANCEL)))
            await until(lambda: len(gateway.seen) == 3)
            release.set()
            await asyncio.gather(*calls)
            return [seen.method for seen in gateway.seen[:3]]

    assert asyncio.run(run()) == ["GET", "GET", "DELETE"]


def test_connections_are_made_by_whom_it_is_told(certificate: Certificate) -> None:
    made: list[dict[str, Any]] = []

    def connector(**options: Any) -> aiohttp.BaseConnector:
        made.append(options)
        return aiohttp.TCPConnector(**options)

    async def run() -> Result:
        async with raw_gateway(certificate, always(http(200, {}))) as gateway:
            client = GatewayClient(
                session=SESSION,
                url=gateway.url,
                tls=TlsPolicy(verify="pin", pin_sha256=certificate.pin_sha256),
                pacing=QUICK,
                connector=connector,
            )
            await client.start()
            result = await client.request(READ)
            await client.close()
            return result

    assert asyncio.run(run()) == Answer(status=200, body=b"{}")
    assert [options["force_close"] for options in made] == [False, False, True]
    assert {type(options["ssl"]) for options in made} == {aiohttp.Fingerprint}


def test_closing_answers_what_is_under_way(certificate: Certificate) -> None:
    """Sent and unanswered stays doubtful; what had no turn yet was never sent."""

    async def run() -> list[Result]:
        told: list[Result] = []
        async with raw_gateway(certificate, never) as gateway:
            async with client_of(
                gateway.url, certificate, pacing=replace(QUICK, in_flight=1)
            ) as client:
                client.answer(client.request(ORDER), told.append, reraise)
                await until(lambda: bool(gateway.seen))
                client.answer(client.request(ORDER), told.append, reraise)
            client.answer(client.request(ORDER), told.append, reraise)
            await until(lambda: len(told) == 3)
            return told

    results = asyncio.run(run())

    stopping = NoAnswer(why=Broken.CLOSED, sent=False, message="the engine is stopping")
    assert sorted(results, key=lambda result: isinstance(result, NoAnswer) and result.sent) == [
        stopping,
        stopping,
        replace(stopping, sent=True),
    ]


def test_a_failure_of_our_own_is_logged_and_answered_once(certificate: Certificate) -> None:
    async def run() -> list[str]:
        told: list[str] = []

        async def fail() -> str:
            raise ZeroDivisionError

        async with client_of("https://127.0.0.1:1", certificate) as client:
            client.answer(fail(), told.append, lambda error: type(error).__name__)
            await until(lambda: bool(told))
        return told

    with capture_logs() as logs:
        told = asyncio.run(run())

    assert told == ["ZeroDivisionError"]
    assert [entry["event"] for entry in logs] == ["gateway_call_failed"]


def test_a_listener_that_fails_is_logged_and_not_told_again(certificate: Certificate) -> None:
    async def run() -> int:
        calls = 0

        def tell(_message: str) -> None:
            nonlocal calls
            calls += 1
            raise RuntimeError

        async def work() -> str:
            return "done"

        async with client_of("https://127.0.0.1:1", certificate) as client:
            client.answer(work(), tell, str)
            await until(lambda: calls > 0)
        return calls

    with capture_logs() as logs:
        calls = asyncio.run(run())

    assert calls == 1
    assert [entry["event"] for entry in logs] == ["gateway_task_failed"]


def test_the_time_to_the_answer_is_measured_by_endpoint_and_outcome(
    certificate: Certificate,
) -> None:
    labels = {
        "session": SESSION,
        "endpoint": "/iserver/account/{account}/orders",
        "outcome": "5xx",
    }
    name = "engine_http_request_seconds_count"
    before = metrics.REGISTRY.get_sample_value(name, labels) or 0

    ask(certificate, always(http(503, {"error": "Service Unavailable"})), ORDER)

    assert metrics.REGISTRY.get_sample_value(name, labels) == before + 1
    in_flight = metrics.REGISTRY.get_sample_value("engine_http_inflight", {"session": SESSION})
    assert in_flight == 0


def reraise(error: Exception) -> Result:
    raise error
