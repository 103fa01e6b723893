"""Algorithms are read once a day; who asks meanwhile gets what is known."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.domain.ports import AlgoParameterRule, AlgoRule
from engine.domain.values import ConId, ParameterKind, Reason
from engine.gateway import algo as module
from engine.gateway.algo import AlgoBook, Found
from engine.gateway.client import GatewayClient, TlsPolicy
from tests.gateway.raw_gateway import (
    QUICK,
    SESSION,
    Certificate,
    Script,
    Seen,
    Stream,
    always,
    http,
    raw_gateway,
)
from tests.gateway.test_instrument import DAY_NS, Clock

AAPL = ConId(265598)
LISTED = {
    "algos": [
        {
            "id": "Adaptive",
            "parameters": [{"id": "adaptivePriority", "valueClassName": "String"}],
        }
    ]
}
ADAPTIVE = AlgoRule(
    name="Adaptive",
    parameters=(
        AlgoParameterRule(name="adaptivePriority", kind=ParameterKind.TEXT, required=False),
    ),
)


def in_turn(*answers: bytes) -> Script:
    left = iter(answers)

    async def script(_seen: Seen, _stream: Stream) -> bytes:
        return next(left)

    return script


def ask(
    certificate: Certificate,
    script: Script,
    work: Callable[[AlgoBook], Awaitable[Any]],
    *,
    clock: Clock | None = None,
) -> tuple[Any, list[str]]:
    async def run() -> tuple[Any, list[str]]:
        async with raw_gateway(certificate, script) as gateway:
            client = GatewayClient(
                session=SESSION,
                url=gateway.url,
                tls=TlsPolicy(verify="pin", pin_sha256=certificate.pin_sha256),
                pacing=QUICK,
                clock=clock or Clock(),
            )
            await client.start()
            try:
                result = await work(AlgoBook(client, second_read_ms=1))
            finally:
                await client.close()
            return result, [seen.target for seen in gateway.seen]

    return asyncio.run(run())


def test_a_contracts_algorithms_are_asked_for_with_their_parameters(
    certificate: Certificate,
) -> None:
    found, asked = ask(certificate, always(http(200, LISTED)), lambda book: book.of(AAPL))

    assert found == (ADAPTIVE,)
    assert asked == ["/v1/api/iserver/contract/265598/algos?addDescription=1&addParams=1"]


def test_they_are_known_for_a_day(certificate: Certificate) -> None:
    clock = Clock()

    async def work(book: AlgoBook) -> list[Found]:
        found = [await book.of(AAPL)]
        clock.now_ns += DAY_NS - 1
        found.append(await book.of(AAPL))
        clock.now_ns += 1
        return [*found, await book.of(AAPL)]

    script = in_turn(http(200, LISTED), http(200, {"algos": [{"id": "Twap"}]}))
    found, asked = ask(certificate, script, work, clock=clock)

    twap = AlgoRule(name="Twap", parameters=())
    assert found == [(ADAPTIVE,), (ADAPTIVE,), (twap,)]
    assert len(asked) == 2


def test_who_asks_at_the_same_time_shares_one_request(certificate: Certificate) -> None:
    async def work(book: AlgoBook) -> list[Found]:
        return list(await asyncio.gather(*(book.of(AAPL) for _ in range(3))))

    found, asked = ask(certificate, always(http(200, LISTED)), work)

    assert found == [(ADAPTIVE,)] * 3
    assert len(asked) == 1


def test_an_empty_list_is_believed_the_second_time(certificate: Certificate) -> None:
    nothing = http(200, {"algos": []})

    late, asked_late = ask(
        certificate, in_turn(nothing, http(200, LISTED)), lambda book: book.of(AAPL)
    )
    none, asked_none = ask(certificate, in_turn(nothing, nothing), lambda book: book.of(AAPL))

    assert (late, none) == ((ADAPTIVE,), ())
    assert (len(asked_late), len(asked_none)) == (2, 2)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (http(503, {"error": "Service Unavailable"}), "SERVER_ERROR", "HTTP 503"),
        (http(200, {"algos": [{}]}), "BAD_ANSWER", "id missing"),
        (http(401, b"Access Denied"), "UNAUTHORIZED", "HTTP 401"),
    ],
)
def test_what_could_not_be_read_is_not_remembered(
    certificate: Certificate, answer: bytes, code: str, words: str
) -> None:
    async def work(book: AlgoBook) -> list[Found]:
        return [await book.of(AAPL), await book.of(AAPL)]

    (refused, found), _ = ask(certificate, in_turn(answer, http(200, LISTED)), work)

    assert isinstance(refused, Reason)
    assert refused.code == code
    assert refused.message.startswith("the algos of conid 265598: ")
    assert words in refused.message
    assert found == (ADAPTIVE,)


def test_what_is_forgotten_is_read_anew(certificate: Certificate) -> None:
    async def work(book: AlgoBook) -> Found:
        await book.of(AAPL)
        book.forget(AAPL)
        return await book.of(AAPL)

    found, asked = ask(certificate, always(http(200, LISTED)), work)

    assert found == (ADAPTIVE,)
    assert len(asked) == 2


def test_only_so_many_contracts_are_remembered(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 1)

    async def work(book: AlgoBook) -> None:
        for conid in (AAPL, ConId(8314), AAPL, AAPL):
            await book.of(conid)

    _, asked = ask(certificate, always(http(200, LISTED)), work)

    assert len(asked) == 3
