"""An independent client against the simulated gateway.

ibind was written against the broker's real gateway by other people. What it
understands here, it understood there: it is the witness that the simulator and
our own client do not share a misunderstanding.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from engine.sim import SimConfig, SimGateway, serve

try:
    with pytest.MonkeyPatch.context() as environment:
        # Read once, at import. Its socket thread looks for the end only between
        # pings, so the default of 10 s would be the time every test takes to stop.
        environment.setenv("IBIND_WS_PING_INTERVAL", "0.4")
        environment.setenv("IBIND_LOG_TO_FILE", "false")
        import ibind
except ImportError as missing:
    if os.environ.get("CI"):
        raise
    pytest.skip(f"ibind cannot be imported, no witness heard: {missing}", allow_module_level=True)

ACCOUNT: Final = "DU1111111"
AAPL: Final = 265598
TIMEOUT_S: Final = 10.0
ANSWERS: Final = {ibind.QuestionType.MARKET_ORDER_CONFIRMATION: True}


@contextmanager
def running_gateway() -> Iterator[SimGateway]:
    """A gateway in a thread of its own; unpaced, because waiting here means asking often."""
    config = SimConfig(
        established_delay_ms=50,
        quote_interval_ms=(20, 60),
        smd_conflation_ms=20,
        fill_delay_ms=(10, 40),
        cancel_delay_ms=20,
        commission_delay_ms=10,
        heartbeat_ms=200,
        enforce_pacing=False,
    )
    started: queue.Queue[tuple[SimGateway, Callable[[], None]]] = queue.Queue()

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)

        await serve(config, stop=stop, on_started=lambda sim: started.put((sim, end)))

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="gateway")
    thread.start()
    sim, end = started.get(timeout=TIMEOUT_S)
    try:
        yield sim
    finally:
        end()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


@pytest.fixture
def sim() -> Iterator[SimGateway]:
    with running_gateway() as running:
        yield running


@pytest.fixture
def client(sim: SimGateway) -> Iterator[Any]:
    made = ibind.IbkrClient(
        account_id=ACCOUNT,
        url=f"{sim.url}/v1/api/",
        cacert=str(sim.ca_file),
        max_retries=0,
        auto_register_shutdown=False,
    )
    yield made
    made.close()


def until(reached: Callable[[], bool]) -> None:
    """Wait for another thread, at most `TIMEOUT_S`."""
    deadline = time.monotonic() + TIMEOUT_S
    while not reached():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def log_in(client: Any) -> None:
    client.initialize_brokerage_session()
    until(lambda: client.authentication_status().data["established"])
    client.receive_brokerage_accounts()


@contextmanager
def streaming(sim: SimGateway, client: Any) -> Iterator[tuple[Any, list[Any]]]:
    """ibind's WebSocket client, and the events it has understood so far."""
    events: list[Any] = []
    sink = ibind.CallbackSink()
    for event_type in (
        ibind.events.MarketData,
        ibind.events.Orders,
        ibind.events.Trades,
        ibind.events.Pnl,
        ibind.events.System,
        ibind.events.IbkrError,
        ibind.events.GenericIbkrEvent,
    ):
        sink.on(event_type, events.append)
    stream = ibind.IbkrWsClient(
        account_id=ACCOUNT,
        url=sim.url.replace("https", "wss") + "/v1/api/ws",
        ibkr_client=client,
        cacert=str(sim.ca_file),
        sink=sink,
    )
    assert stream.start()
    try:
        yield stream, events
    finally:
        assert stream.shutdown()


def order(**changes: Any) -> Any:
    values = {
        "conid": AAPL,
        "side": "BUY",
        "quantity": 10,
        "order_type": "MKT",
        "acct_id": ACCOUNT,
        "tif": "DAY",
    }
    return ibind.OrderRequest(**(values | changes))


def statuses(events: list[Any], order_id: int) -> list[str]:
    """All states of one order the socket has told so far."""
    return [
        row["status"]
        for event in tuple(events)
        if isinstance(event, ibind.events.Orders)
        for row in event.data["args"]
        if row["orderId"] == order_id and "status" in row
    ]


def test_ibind_logs_in_tier_by_tier(client: Any) -> None:
    before = client.check_auth_status()

    log_in(client)

    assert before is False
    assert client.check_auth_status() is True
    assert client.check_health() is True
    assert [row["accountId"] for row in client.portfolio_accounts().data] == [
        "DU1111111",
        "DU2222222",
    ]


def test_ibind_needs_the_brokerage_session_like_everybody_else(client: Any) -> None:
    with pytest.raises(ibind.ExternalBrokerError, match="no bridge"):
        client.receive_brokerage_accounts()


def test_ibind_finds_contracts(client: Any) -> None:
    log_in(client)

    conids = client.stock_conid_by_symbol(["AAPL", "SPY"]).data
    bars = client.marketdata_history_by_conid(str(AAPL), bar="5min", period="1h").data

    assert conids == {"AAPL": 265598, "SPY": 756733}
    assert len(bars["data"]) == 12


def test_ibind_streams_market_data(sim: SimGateway, client: Any) -> None:
    log_in(client)
    subscription = ibind.subscriptions.MarketDataSubscription(
        conid=str(AAPL), fields=["31", "84", "86"]
    )

    with streaming(sim, client) as (stream, events):
        handle = stream.subscribe(subscription)
        assert stream.wait_all(handle, timeout_each=TIMEOUT_S) == []
        until(lambda: len([row for row in events if isinstance(row, ibind.events.MarketData)]) > 5)
        alive = stream.tic()

    quotes = [row for row in events if isinstance(row, ibind.events.MarketData)]
    assert {row.conid for row in quotes} == {str(AAPL)}
    first = quotes[0].data
    assert float(first["bid_price"]) < float(first["ask_price"])
    assert alive is not None
    assert alive["alive"] is True
    assert [row for row in events if isinstance(row, ibind.events.IbkrError)] == []


def test_ibind_answers_the_question_and_sees_the_order_fill(sim: SimGateway, client: Any) -> None:
    log_in(client)
    client.live_marketdata_snapshot(str(AAPL), ["31"])

    with streaming(sim, client) as (stream, events):
        stream.subscribe(ibind.subscriptions.OrdersSubscription())
        stream.subscribe(ibind.subscriptions.TradesSubscription())
        # The answer to the later command says that the earlier ones were read.
        assert stream.tic() is not None
        placed = client.place_order(order(coid="witness-1"), ANSWERS).data
        order_id = int(placed["order_id"])
        until(lambda: "Filled" in statuses(events, order_id))
        until(lambda: any(isinstance(row, ibind.events.Trades) for row in events))
        status = client.order_status(str(order_id)).data

    assert placed["local_order_id"] == "witness-1"
    assert statuses(events, order_id)[0] == "Inactive"
    assert (status["order_status"], status["cum_fill"]) == ("Filled", "10.0")
    assert len(sim.venue.submissions_with_coid("witness-1")) == 1
    [filled] = sim.venue.orders_with_coid("witness-1")
    assert filled.filled_quantity == 10


def test_ibind_refuses_a_question_it_has_no_answer_for(sim: SimGateway, client: Any) -> None:
    log_in(client)
    client.live_marketdata_snapshot(str(AAPL), ["31"])
    sim.faults.unknown_question = True

    with pytest.raises(ValueError, match="No answer found"):
        client.place_order(order(), ANSWERS)

    assert sim.venue.orders == {}


def test_ibind_cancels_a_resting_order(sim: SimGateway, client: Any) -> None:
    log_in(client)
    client.suppress_messages(["o163", "o354"])

    with streaming(sim, client) as (stream, events):
        stream.subscribe(ibind.subscriptions.OrdersSubscription())
        assert stream.tic() is not None
        resting = order(order_type="LMT", price=1.00, coid="witness-2")
        order_id = int(client.place_order(resting, ANSWERS).data["order_id"])
        until(lambda: "Submitted" in statuses(events, order_id))
        cancelled = client.cancel_order(str(order_id)).data
        until(lambda: "Cancelled" in statuses(events, order_id))

    assert cancelled["msg"] == "Request was submitted"
    assert statuses(events, order_id)[-2:] == ["PendingCancel", "Cancelled"]
    assert sim.venue.executions == []


def test_ibind_hears_that_a_client_order_id_is_taken(client: Any) -> None:
    log_in(client)
    client.suppress_messages(["o163", "o354"])
    resting = order(order_type="LMT", price=1.00, coid="witness-3")
    client.place_order(resting, ANSWERS)

    with pytest.raises(ibind.ExternalBrokerError, match="already registered"):
        client.place_order(resting, ANSWERS)


def ready(client: Any) -> None:
    log_in(client)
    client.suppress_messages(["o163", "o354", "o10151", "o10331"])


def bracket(coid: str, **entry: Any) -> list[Any]:
    """An entry, a profit far above the market and a stop far below it."""
    closing: dict[str, Any] = {"side": "SELL", "parent_id": coid, "tif": "GTC"}
    return [
        order(coid=coid, **entry),
        order(order_type="LMT", price=9000.00, **closing),
        order(order_type="STP", price=0.50, **closing),
    ]


def rows_of(client: Any) -> dict[int, dict[str, Any]]:
    """The list of orders, read until it says that it is complete."""
    until(lambda: client.live_orders().data["snapshot"])
    return {row["orderId"]: row for row in client.live_orders().data["orders"]}


def test_ibind_places_a_bracket_and_sees_its_exits_wait_and_work(
    sim: SimGateway, client: Any
) -> None:
    ready(client)

    with streaming(sim, client) as (stream, events):
        stream.subscribe(ibind.subscriptions.OrdersSubscription())
        assert stream.tic() is not None
        placed = client.place_order(bracket("witness-b1"), ANSWERS).data
        *exits, entry = [int(row["order_id"]) for row in placed]
        until(lambda: "Filled" in statuses(events, entry))
        until(lambda: "Submitted" in statuses(events, max(exits) - 1))
        rows = rows_of(client)

    assert [row.get("local_order_id") for row in placed] == [None, None, "witness-b1"]
    assert {row["parent_order_id"] for row in placed[:2]} == {str(entry)}
    assert [rows[order_id]["parentId"] for order_id in exits] == [entry, entry]
    assert {rows[order_id]["ocaGroupId"] for order_id in exits} == {str(entry)}
    for order_id in exits:
        assert statuses(events, order_id)[:2] == ["Inactive", "PreSubmitted"]


def test_ibind_cancels_an_entry_and_its_exits_with_it(sim: SimGateway, client: Any) -> None:
    ready(client)

    with streaming(sim, client) as (stream, events):
        stream.subscribe(ibind.subscriptions.OrdersSubscription())
        assert stream.tic() is not None
        placed = client.place_order(
            bracket("witness-b2", order_type="LMT", price=1.00), ANSWERS
        ).data
        ids = [int(row["order_id"]) for row in placed]
        until(lambda: "Submitted" in statuses(events, ids[-1]))
        client.cancel_order(str(ids[-1]))
        until(lambda: all("Cancelled" in statuses(events, order_id) for order_id in ids))

    assert sim.venue.executions == []


def test_ibind_sees_one_order_of_a_group_cancel_the_others(sim: SimGateway, client: Any) -> None:
    ready(client)
    members = [
        order(coid="witness-o1", order_type="LMT", price=1.00, is_single_group=True),
        order(coid="witness-o2", is_single_group=True),
    ]

    with streaming(sim, client) as (stream, events):
        stream.subscribe(ibind.subscriptions.OrdersSubscription())
        assert stream.tic() is not None
        placed = client.place_order(members, ANSWERS).data
        by_coid = {row["local_order_id"]: int(row["order_id"]) for row in placed}
        until(lambda: "Filled" in statuses(events, by_coid["witness-o2"]))
        until(lambda: "Cancelled" in statuses(events, by_coid["witness-o1"]))
        rows = rows_of(client)

    groups = {row["ocaGroupId"] for row in rows.values()}
    assert groups == {f"oco-{by_coid['witness-o1']}"}


def test_ibind_answers_the_questions_about_a_bracket(sim: SimGateway, client: Any) -> None:
    log_in(client)
    client.live_marketdata_snapshot(str(AAPL), ["31"])
    client.suppress_messages(["o163"])

    answers = ANSWERS | {ibind.QuestionType.STOP_ORDER_RISKS: True}
    placed = client.place_order(bracket("witness-b3"), answers).data

    assert len(placed) == 3
    [entry] = sim.venue.orders_with_coid("witness-b3")
    assert len(sim.venue.exits_of(entry.order_id)) == 2
    assert len(sim.venue.submissions) == 1


def test_ibind_changes_an_order_and_keeps_its_id(sim: SimGateway, client: Any) -> None:
    ready(client)
    resting = order(order_type="LMT", price=1.00, coid="witness-m1")
    order_id = client.place_order(resting, ANSWERS).data["order_id"]
    until(lambda: sim.venue.orders[int(order_id)].status.value == "Submitted")

    changed = order(order_type="LMT", price=2.00, quantity=7, coid="witness-m1")
    answer = client.modify_order(order_id, changed, ANSWERS).data
    row = rows_of(client)[int(order_id)]
    preview = client.whatif_order(changed).data

    assert (answer["order_id"], answer["local_order_id"]) == (order_id, "witness-m1")
    assert (row["price"], row["totalSize"], row["order_ref"]) == ("2.00", 7.0, "witness-m1")
    assert preview["amount"]["total"].endswith("USD")


def test_ibind_reads_the_fills_it_was_streamed(sim: SimGateway, client: Any) -> None:
    ready(client)
    placed = client.place_order(order(coid="witness-t1"), ANSWERS).data
    until(lambda: not sim.venue.orders[int(placed["order_id"])].working)
    client.trades()

    rows = client.trades(days="1").data

    assert {row["order_ref"] for row in rows} == {"witness-t1"}
    assert sum(row["size"] for row in rows) == 10


def test_ibind_places_an_order_with_an_algorithm(sim: SimGateway, client: Any) -> None:
    ready(client)
    listed = client.algo_params_by_conid(
        str(AAPL), algos=["Adaptive"], add_description="1", add_params="1"
    ).data
    [parameter] = listed["algos"][0]["parameters"]

    wanted = order(
        coid="witness-a1",
        strategy="Adaptive",
        strategy_parameters={parameter["id"]: parameter["legalStrings"][0]},
    )
    client.place_order(wanted, ANSWERS)

    [taken] = sim.venue.orders_with_coid("witness-a1")
    assert (taken.ticket.algo, taken.ticket.algo_parameters) == (
        "Adaptive",
        {"adaptivePriority": "Urgent"},
    )
