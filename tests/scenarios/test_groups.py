"""Brackets and one-cancels-all groups, from the API to the venue and back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.sim import SimGateway, act
from tests.scenarios.processes import (
    AAPL,
    ACCOUNTS,
    EngineProcess,
    SimThread,
    command,
    quick_engine,
    quick_sim,
    until,
)

pytestmark = pytest.mark.timeout(120)

PROFIT = {"type": "LMT", "limit_price": "400"}
STOP = {"type": "STP", "stop_price": "100"}


@pytest.fixture
def sim() -> Iterator[SimGateway]:
    with SimThread(quick_sim()) as gateway:
        yield gateway


@pytest.fixture
def engine(tmp_path: Path, sim: SimGateway) -> Iterator[EngineProcess]:
    with quick_engine(tmp_path, sim) as running:
        yield running.ready()


def legs(engine: EngineProcess, leader: dict[str, Any]) -> list[dict[str, Any]]:
    return [engine.order(leg["order_id"]) for leg in leader["legs"]]


def in_states(engine: EngineProcess, leader: dict[str, Any], *states: str) -> Any:
    """The orders of a group, leader first, once they are in these states."""
    orders = [engine.order(leader["order_id"]), *legs(engine, leader)]
    return orders if [row["state"] for row in orders] == list(states) else None


def move_market(sim: SimGateway, price: str) -> None:
    act(sim, "trade_at", {"conid": AAPL, "price": price})


def position(engine: EngineProcess) -> list[str]:
    rows = engine.call("GET", f"/v1/accounts/{ACCOUNTS[0]}/positions").body["positions"]
    return [row["quantity"] for row in rows]


def test_a_bracket_is_one_request_and_its_exits_close_what_it_opens(
    sim: SimGateway, engine: EngineProcess
) -> None:
    leader = engine.submit("b", quantity="6", legs=[PROFIT, STOP]).body
    held = until(lambda: in_states(engine, leader, "FILLED", "WORKING", "ACCEPTED"))
    while_open = position(engine)
    until(lambda: _reached(sim, engine, leader))

    assert len(sim.venue.submissions) == 1
    assert [row["side"] for row in held] == ["BUY", "SELL", "SELL"]
    assert (while_open, until(lambda: position(engine) in ([], ["0"]))) == (["6"], True)


def _reached(sim: SimGateway, engine: EngineProcess, leader: dict[str, Any]) -> Any:
    move_market(sim, "401.00")
    return in_states(engine, leader, "FILLED", "FILLED", "CANCELLED")


def test_a_cancelled_entry_takes_its_exits_with_it(sim: SimGateway, engine: EngineProcess) -> None:
    leader = engine.submit("b", type="LMT", limit_price="150", quantity="6", legs=[PROFIT, STOP])
    until(lambda: in_states(engine, leader.body, "WORKING", "ACCEPTED", "ACCEPTED"))

    engine.call("DELETE", f"/v1/orders/{leader.body['order_id']}")
    until(lambda: in_states(engine, leader.body, "CANCELLED", "CANCELLED", "CANCELLED"))

    assert len(sim.venue.cancel_requests) == 1
    assert sim.venue.executions == []


def test_one_of_a_group_fills_and_the_others_are_cancelled(
    sim: SimGateway, engine: EngineProcess
) -> None:
    other = {"type": "MKT", "side": "BUY", "quantity": "2"}

    leader = engine.submit(
        "o", type="LMT", limit_price="150", quantity="2", group="oca", legs=[other]
    ).body
    until(lambda: in_states(engine, leader, "CANCELLED", "FILLED"))

    assert len(sim.venue.submissions) == 1
    assert sum(row.quantity for row in sim.venue.executions) == 2


def test_a_lost_answer_to_a_bracket_is_looked_up_and_nothing_is_sent_again(
    sim: SimGateway, engine: EngineProcess
) -> None:
    sim.faults.status_503_with_accept = 1

    leader = engine.submit(
        "b", type="LMT", limit_price="150", quantity="6", legs=[PROFIT, STOP]
    ).body
    until(lambda: in_states(engine, leader, "WORKING", "ACCEPTED", "ACCEPTED"))

    ids = {row["broker_order_id"] for row in legs(engine, leader)}
    assert ids == {str(order_id) for order_id in sorted(sim.venue.orders)[1:]}
    assert len(sim.venue.submissions) == 1


def test_an_answer_that_comes_after_the_engine_gave_up_sends_nothing_again(
    sim: SimGateway, engine: EngineProcess
) -> None:
    sim.faults.answer_late, sim.faults.answer_late_s = 1, 13

    order = engine.submit("late", type="LMT", limit_price="150", quantity="1").body
    found = until(lambda: _found(engine, order["order_id"]))

    assert found["broker_order_id"] == str(next(iter(sim.venue.orders)))
    assert len(sim.venue.submissions) == 1


def _found(engine: EngineProcess, order_id: str) -> Any:
    order = engine.order(order_id)
    return order if order["state"] in {"WORKING", "ACCEPTED"} else None


def test_the_story_of_a_bracket_is_told_by_the_command_line(engine: EngineProcess) -> None:
    leader = engine.submit("b", type="LMT", limit_price="150", quantity="6", legs=[PROFIT]).body
    until(lambda: in_states(engine, leader, "WORKING", "ACCEPTED"))

    told = command(engine, "orders", "show", leader["order_id"], "--json")

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["order_id"] == leader["order_id"]
