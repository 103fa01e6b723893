import asyncio
import hashlib
import json
import ssl
import time
from urllib.parse import urlsplit

import aiohttp
import pytest

from engine.sim import SimConfig, SimGateway
from tests.sim.client import API, Reply, asynchronous, gateway, until


@asynchronous
async def test_the_certificate_verifies_and_its_pin_is_the_one_told() -> None:
    async with gateway() as (sim, client):
        reply = await client.get("/iserver/auth/status")
        address = urlsplit(sim.url)
        assert address.hostname is not None
        shown = await asyncio.to_thread(
            ssl.get_server_certificate, (address.hostname, address.port or 0)
        )

    assert reply.status == 200
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest() == sim.pin_sha256


@asynchronous
async def test_a_client_that_does_not_know_the_certificate_refuses_it() -> None:
    async with gateway() as (sim, _), aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await stranger.get(sim.url)


@asynchronous
async def test_a_taken_port_is_an_error_and_leaves_nothing_behind() -> None:
    async with gateway() as (sim, _):
        second = SimGateway(SimConfig(port=urlsplit(sim.url).port or 0))

        with pytest.raises(OSError, match="address already in use"):
            await second.start()


@asynchronous
async def test_the_root_and_unknown_paths_are_redirected() -> None:
    async with gateway() as (_, client):
        root = await client.call("GET", "/")
        unknown = await client.call("GET", "/v1/api")

    assert root == Reply(status=302, body="", location="/sso/Login?forwardTo=22&RL=1&ip2loc=US")
    assert (unknown.status, unknown.location) == (302, "https://upstream.invalid/v1/api")


@asynchronous
async def test_a_wrong_path_below_the_api_is_not_found() -> None:
    async with gateway() as (_, client):
        reply = await client.get("/iserver/marketdata/265598/unsubscribe")

    assert (reply.status, "Resource not found" in reply.body) == (404, True)


@asynchronous
async def test_before_the_login_everything_is_denied_and_a_login_opens_the_first_tier() -> None:
    async with gateway(logged_in=False) as (_, client):
        denied = await client.get("/tickle")
        unknown = await client.get("/nonsense")
        login = await client.call("POST", "/sso/Dispatcher")
        status = await client.get("/iserver/auth/status")

    assert (denied.status, denied.body) == (401, "Access Denied")
    assert unknown.status == 401
    assert (login.status, login.body) == (200, "Client login succeeds")
    assert status.body["authenticated"] is False


@asynchronous
async def test_answers_are_chunked_and_no_cookie_is_needed() -> None:
    async with gateway() as (_, client), client.http.get(API + "/tickle") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in response.headers
        assert (await response.json())["collission"] is False


@asynchronous
async def test_a_body_sent_in_chunks_is_lost() -> None:
    async def chunks() -> object:
        yield json.dumps({"publish": True, "compete": True}).encode()

    async with gateway() as (_, client):
        reply = await client.call("POST", API + "/iserver/auth/ssodh/init", data=chunks())

    assert reply.status == 500


@asynchronous
async def test_both_methods_serve_keep_alive_and_status() -> None:
    async with gateway() as (_, client):
        replies = [
            await client.call(method, API + path)
            for method in ("GET", "POST")
            for path in ("/tickle", "/iserver/auth/status")
        ]

    assert [reply.status for reply in replies] == [200] * 4


@asynchronous
async def test_reauthenticate_is_answered_by_the_gateway_itself() -> None:
    async with gateway(logged_in=False) as (_, client):
        before = await client.post("/iserver/reauthenticate")
        await client.call("POST", "/sso/Dispatcher")
        after = await client.post("/iserver/reauthenticate")
        status = await client.get("/iserver/auth/status")

    assert before.body == {"error": "not logged in"}
    assert after.body == {"message": "triggered"}
    assert status.body["authenticated"] is True


@asynchronous
async def test_at_most_five_requests_are_upstream_at_once() -> None:
    async with gateway() as (sim, client):
        sim.faults.extra_latency_ms = 100
        started = time.monotonic()

        await asyncio.gather(*(client.get("/iserver/auth/status") for _ in range(11)))

        assert 0.3 <= time.monotonic() - started < 2
    assert sim.faults.struck["extra_latency_ms"] == 11


@asynchronous
async def test_the_eleventh_request_of_a_second_is_too_many() -> None:
    async with gateway(enforce_pacing=True) as (_, client):
        replies = [await client.get("/iserver/auth/status") for _ in range(11)]

    assert [reply.status for reply in replies] == [200] * 10 + [429]
    assert replies[-1].body == "Too Many Requests"


@asynchronous
async def test_lists_of_orders_are_paced_but_a_forced_one_may_be_followed_by_a_plain_one() -> None:
    async with gateway(enforce_pacing=True) as (_, client):
        await client.open_session()
        forced = await client.get("/iserver/account/orders", force="true")
        plain = await client.get("/iserver/account/orders")
        again = await client.get("/iserver/account/orders")

    assert [reply.status for reply in (forced, plain, again)] == [200, 200, 429]


@asynchronous
async def test_the_penalty_box_closes_after_a_refusal() -> None:
    async with gateway(enforce_pacing=True) as (sim, client):
        await client.open_session()
        sim.faults.penalty_box_s = 600
        await client.get("/iserver/account/orders")
        await client.get("/iserver/account/orders")

        boxed = await client.get("/iserver/auth/status")

    assert boxed.status == 429


@asynchronous
async def test_unauthorized_is_401_everywhere_until_it_is_switched_off() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.unauthorized = True
        denied = [await client.get("/tickle"), await client.place()]
        sim.faults.unauthorized = False
        placed = await client.place()

    assert [(reply.status, reply.body) for reply in denied] == [(401, "Access Denied")] * 2
    assert placed.status == 200
    assert len(sim.venue.submissions) == 1


@pytest.mark.parametrize(
    ("fault", "live"), [("hang_next_order", 1), ("hang_order_without_accept", 0)]
)
@asynchronous
async def test_a_hanging_order_is_never_answered_whether_it_lives_or_not(
    fault: str, live: int
) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        setattr(sim.faults, fault, 1)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.place(cOID="c-1"), 0.2)
        await client.place(cOID="c-2")

        assert len(sim.venue.orders_with_coid("c-1")) == live
        assert len(sim.venue.submissions_with_coid("c-1")) == 1
        assert sim.faults.struck == {fault: 1}


@asynchronous
async def test_a_hanging_order_lets_the_gateway_stop() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.hang_next_order = 1
        hanging = asyncio.create_task(client.place())
        await until(lambda: bool(sim.venue.orders))

        await sim.stop()

        with pytest.raises(aiohttp.ClientError):
            await hanging


@pytest.mark.parametrize(
    ("fault", "live"), [("status_503_with_accept", 1), ("status_503_without_accept", 0)]
)
@asynchronous
async def test_a_503_does_not_say_whether_the_order_lives(fault: str, live: int) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        setattr(sim.faults, fault, 1)

        reply = await client.place()

    assert (reply.status, reply.body) == (503, {"error": "Service Unavailable", "statusCode": 503})
    assert len(sim.venue.orders) == live


@pytest.mark.parametrize("bytes_max", [0, 1, 40, 130])
@asynchronous
async def test_an_answer_can_be_cut_after_any_byte_and_the_order_lives(bytes_max: int) -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.drop_response_bytes = bytes_max

        with pytest.raises(aiohttp.ClientError):
            await client.place()
        whole = await client.place()

    assert len(sim.venue.orders) == 2
    assert whole.status == 200
    assert sim.faults.struck == {"drop_response_bytes": 1}


@asynchronous
async def test_an_order_can_be_refused_for_its_pace_before_it_arrives() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.next_order_429 = 1

        refused, taken = await client.place(), await client.place()

    assert (refused.status, refused.body) == (429, "Too Many Requests")
    assert taken.status == 200
    assert len(sim.venue.submissions) == 1


@asynchronous
async def test_a_brokerage_reset_forgets_the_session_and_keeps_the_orders() -> None:
    async with gateway(established_delay_ms=0) as (sim, client):
        await client.open_session()
        await client.place(cOID="c-1")
        sim.faults.reset_brokerage()
        gone = await client.get("/iserver/account/orders")
        await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False})
        unprimed = await client.get("/iserver/account/orders")
        await client.get("/iserver/accounts")
        cold = await client.get("/iserver/account/orders")
        warm = await client.get("/iserver/account/orders")

    assert gone.body == {"error": "Bad Request: no bridge", "statusCode": 400}
    assert unprimed.body["error"] == "Bad Request: Please query /accounts first"
    assert cold.body == {"orders": [], "snapshot": False}
    assert [row["order_ref"] for row in warm.body["orders"]] == ["c-1"]


@asynchronous
async def test_a_competing_login_displaces_the_session_until_it_is_taken_back() -> None:
    async with gateway() as (sim, client):
        await client.open_session()
        sim.faults.competing = True
        displaced = await client.get("/iserver/auth/status")
        polite = await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": False})
        stolen = await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})

    assert (displaced.body["authenticated"], displaced.body["competing"]) == (False, True)
    assert (polite.body["authenticated"], polite.body["competing"]) == (False, True)
    assert (stolen.body["authenticated"], stolen.body["competing"]) == (True, False)


@asynchronous
async def test_a_preflight_of_a_browser_is_answered() -> None:
    async with gateway() as (_, client), client.http.options(API + "/tickle") as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"


@asynchronous
async def test_two_gateways_live_side_by_side() -> None:
    async with gateway() as (one, first), gateway(accounts=("DU9",)) as (other, second):
        await first.open_session()
        await second.open_session()
        await first.place(cOID="c-1")

    assert one.url != other.url
    assert (len(one.venue.orders), len(other.venue.orders)) == (1, 0)


@asynchronous
async def test_a_client_that_leaves_in_the_midst_of_its_body_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with gateway() as (sim, client):
        trust = ssl.create_default_context(cafile=sim.ca_file)
        trust.check_hostname = False
        port = urlsplit(sim.url).port
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        writer.write(
            b"POST /v1/api/tickle HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
        )
        await until(lambda: len(sim._transports) == 1)  # Its request has begun.
        writer.transport.abort()
        await client.get("/iserver/auth/status")

    assert [line.message for line in caplog.records if line.levelname == "ERROR"] == []
