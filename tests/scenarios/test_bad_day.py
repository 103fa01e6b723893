"""Kills, lost answers and absent gateways: nothing is sent twice, nothing is lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.sim import SimGateway
from tests.scenarios.processes import (
    ACCOUNTS,
    EngineProcess,
    SimThread,
    command,
    config_file,
    quick_engine,
    quick_sim,
    risk_file,
    until,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def sim() -> Iterator[SimGateway]:
    with SimThread(quick_sim()) as gateway:
        yield gateway


@pytest.fixture
def engine(tmp_path: Path, sim: SimGateway) -> Iterator[EngineProcess]:
    with quick_engine(tmp_path, sim) as running:
        yield running.ready()


def record_types(engine: EngineProcess, order_id: str) -> list[str]:
    """Return the types of the journal's records of an order."""
    events = command(engine, "events", "--json").stdout.splitlines()
    parsed = [json.loads(line) for line in events]
    return [event["type"] for event in parsed if event.get("order_id") == order_id]


def test_a_kill_between_attempt_and_answer_finds_the_order_and_sends_nothing_again(
    tmp_path: Path, sim: SimGateway, engine: EngineProcess
) -> None:
    filled = engine.submit("before", quantity="3", query="?wait=terminal&timeout=20").body
    sim.faults.hang_next_order = 1
    doubtful = engine.submit("doubtful", type="LMT", limit_price="100", quantity="7").body
    until(lambda: sim.faults.struck["hang_next_order"])

    engine.kill()
    with quick_restart(tmp_path) as again:
        again.ready()
        found = until(lambda: _in(again, doubtful["order_id"], {"WORKING", "ACCEPTED"}))

        assert found["broker_order_id"] is not None
        assert again.order(filled["order_id"])["state"] == "FILLED"
        assert again.order(filled["order_id"])["filled_quantity"] == "3"
        repeated = again.submit("doubtful", type="LMT", limit_price="100", quantity="7")
        assert repeated.body["order_id"] == doubtful["order_id"]
        positions = again.call("GET", f"/v1/accounts/{ACCOUNTS[0]}/positions").body["positions"]
        assert [(row["quantity"], row["working_buy"]) for row in positions] == [("3", "7")]

    counts = [len(sim.venue.submissions_with_coid(str(row.coid))) for row in sim.venue.submissions]
    assert counts == [1, 1], "every order reached the venue exactly once"


def quick_restart(folder: Path) -> EngineProcess:
    return EngineProcess(folder / "engine.yaml")


def _in(engine: EngineProcess, order_id: str, states: set[str]) -> Any:
    order = engine.order(order_id)
    return order if order["state"] in states else None


def test_an_intent_that_was_never_attempted_expires_unsent(tmp_path: Path, sim: SimGateway) -> None:
    sim.faults.hang_next_order = 1
    with quick_engine(tmp_path, sim) as engine:
        engine.ready()
        engine.submit("holds-the-lane", type="LMT", limit_price="100", quantity="1")
        waiting = engine.submit("waits", type="LMT", limit_price="100", quantity="2").body
        until(lambda: sim.faults.struck["hang_next_order"])
        engine.kill()

    with quick_restart(tmp_path) as again:
        after = again.ready().order(waiting["order_id"])

    assert (after["state"], after["reason"]["code"]) == ("EXPIRED", "EXPIRED_UNSENT")
    assert len(sim.venue.submissions) == 1


def test_a_503_with_the_order_live_is_in_doubt_and_then_found(
    sim: SimGateway, engine: EngineProcess
) -> None:
    sim.faults.status_503_with_accept = 1

    order = engine.submit(
        "doubted", type="LMT", limit_price="100", quantity="5", query="?wait=ack&timeout=5"
    ).body
    found = until(lambda: _in(engine, order["order_id"], {"WORKING", "ACCEPTED"}))

    assert found["broker_order_id"] is not None
    assert len(sim.venue.submissions) == 1
    assert record_types(engine, order["order_id"])[:2] == ["INTENT", "ATTEMPT"]


def test_a_503_without_the_order_stays_in_doubt_and_keeps_its_exposure(
    sim: SimGateway, engine: EngineProcess
) -> None:
    sim.faults.status_503_without_accept = 1

    order = engine.submit(
        "nowhere", type="LMT", limit_price="100", quantity="5", query="?wait=ack&timeout=5"
    ).body
    until(lambda: _in(engine, order["order_id"], {"IN_DOUBT"}))
    other = engine.submit("other", quantity="1", query="?wait=terminal&timeout=20").body

    assert other["state"] == "FILLED", "one doubtful order does not stop the others"
    assert engine.order(order["order_id"])["state"] == "IN_DOUBT"
    positions = engine.call("GET", f"/v1/accounts/{ACCOUNTS[0]}/positions").body["positions"]
    assert positions[0]["working_buy"] == "5"


def test_an_answer_cut_in_the_middle_is_in_doubt_and_then_found(
    sim: SimGateway, engine: EngineProcess
) -> None:
    sim.faults.drop_response_bytes = 20

    order = engine.submit("cut", quantity="2").body
    filled = until(lambda: _in(engine, order["order_id"], {"FILLED"}))

    assert filled["filled_quantity"] == "2"
    assert len(sim.venue.submissions) == 1


def test_a_question_that_nobody_knows_is_declined(sim: SimGateway, engine: EngineProcess) -> None:
    sim.faults.unknown_question = True

    order = engine.submit("asked", quantity="2", query="?wait=terminal&timeout=20").body

    assert (order["state"], order["reason"]["code"]) == ("REJECTED", "QUESTION_DECLINED")
    assert all(row.filled_quantity == 0 for row in sim.venue.orders.values())


def test_a_refusal_by_the_broker_carries_its_words(sim: SimGateway, engine: EngineProcess) -> None:
    sim.faults.reject_next = "We cannot accept an order at the limit price you selected."

    order = engine.submit(
        "refused", type="LMT", limit_price="100", quantity="1", query="?wait=terminal&timeout=20"
    ).body

    assert order["state"] == "REJECTED"
    assert "limit price" in order["reason"]["message"]


def test_a_cut_stream_loses_no_fill(sim: SimGateway, engine: EngineProcess) -> None:
    sim.faults.mute_sor = True
    order = engine.submit("cut-stream", quantity="4").body
    sim.faults.close_websockets()

    filled = until(lambda: _in(engine, order["order_id"], {"FILLED"}))

    assert filled["filled_quantity"] == "4"


def test_a_brokerage_reset_is_warmed_up_again(sim: SimGateway, engine: EngineProcess) -> None:
    resting = engine.submit(
        "rests", type="LMT", limit_price="100", quantity="1", query="?wait=ack&timeout=20"
    ).body
    sim.faults.reset_brokerage()
    until(lambda: engine.call("GET", "/v1/sessions").body["sessions"][0]["epoch"] == 2)
    engine.ready()

    after = engine.submit("after", quantity="1", query="?wait=terminal&timeout=20").body

    assert after["state"] == "FILLED"
    assert engine.order(resting["order_id"])["state"] in {"WORKING", "ACCEPTED"}


def test_an_engine_without_its_gateway_starts_says_so_and_refuses_orders(tmp_path: Path) -> None:
    risk_file(tmp_path)
    tls = {"verify": "insecure_loopback"}
    config = config_file(tmp_path, gateway="https://127.0.0.1:1", tls=tls, accounts=[ACCOUNTS[0]])
    with EngineProcess(config) as engine:
        until(lambda: engine.call("GET", "/v1/sessions").body["sessions"][0]["reason"])
        readiness = engine.call("GET", "/readyz")
        order = engine.submit("early", quantity="1")
        stopped = engine.stop()

    assert readiness.status == 503
    assert (order.status, order.body["error"]["code"]) == (422, "SESSION_NOT_READY")
    assert stopped == 0


def test_the_gateway_comes_up_later(tmp_path: Path) -> None:
    with SimThread(quick_sim()) as first:
        port = int(first.url.rsplit(":", 1)[1])
    risk_file(tmp_path)
    config = config_file(
        tmp_path, gateway=f"https://127.0.0.1:{port}", tls={"verify": "insecure_loopback"}
    )
    with EngineProcess(config) as engine:
        assert engine.call("GET", "/readyz").status == 503

        with SimThread(quick_sim(port=port)):
            engine.ready()
            order = engine.submit("late", quantity="1", query="?wait=terminal&timeout=20").body

    assert order["state"] == "FILLED"


def test_a_halt_refuses_and_cancels_and_survives_a_restart(
    tmp_path: Path, sim: SimGateway, engine: EngineProcess
) -> None:
    resting = engine.submit("rests", type="LMT", limit_price="100", quantity="1").body
    until(lambda: _in(engine, resting["order_id"], {"WORKING", "ACCEPTED"}))
    halt = {"scope": "firm", "level": "halt", "reason": "drill", "cancel_working": True}

    answer = engine.call("POST", "/v1/halt", halt)
    refused = engine.submit("no", quantity="1")
    until(lambda: _in(engine, resting["order_id"], {"CANCELLED"}))
    assert engine.stop() == 0

    with quick_restart(tmp_path) as again:
        again.ready()
        still = again.submit("still-no", quantity="1")
        resumed = again.call("POST", "/v1/resume", {"scope": "firm", "reason": "drill over"})
        passed = again.submit("yes", quantity="1", query="?wait=terminal&timeout=20")

    assert answer.status == 200
    assert refused.body["error"]["code"] == "TRADING_HALTED"
    assert still.body["error"]["code"] == "TRADING_HALTED"
    assert resumed.status == 200
    assert passed.body["state"] == "FILLED"
