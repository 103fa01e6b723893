"""`engine orders submit`."""

import json
import re

import pytest

from tests.cli.bodies import BRACKET, DENIED, ORDER, REFUSED
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

SUBMIT_PATH = "/v1/accounts/DU1111111/orders"
SUBMIT = ("orders", "submit", "DU1111111", "BUY", "100", "AAPL")
WITH_KEY = (*SUBMIT, "--client-order-id", "mine")


def test_a_submit_sends_exactly_what_was_typed(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    ended = terminal.types(
        "orders", "submit", "DU1111111", "buy", "100.50", "--conid", "265598",
        "--type", "lmt", "--limit-price", "189.30", "--tif", "gtc", "--strategy", "pairs",
        "--client-order-id", "mine", "--wait", "terminal", "--timeout", "2.5",
    )  # fmt: skip

    assert ended.code == 0
    assert [(request.query, request.body) for request in api.requests] == [
        (
            {"wait": "terminal", "timeout": "2.5"},
            {
                "client_order_id": "mine",
                "conid": 265598,
                "side": "BUY",
                "type": "LMT",
                "quantity": "100.50",
                "limit_price": "189.30",
                "tif": "GTC",
                "strategy": "pairs",
            },
        )
    ]


def test_a_submit_sends_every_field_of_the_contract(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    terminal.types(
        *WITH_KEY, "--sec-type", "OPT", "--exchange", "SMART", "--currency", "USD",
        "--expiry", "20261218", "--strike", "217.50", "--right", "C", "--type", "TRAILLMT",
        "--limit-price", "4.90", "--stop-price", "5", "--trailing-type", "%",
        "--trailing-amount", "2.5", "--good-till", "2026-12-18T21:00:00Z", "--outside-rth",
    )  # fmt: skip
    terminal.types(*WITH_KEY, "--type", "rel", "--cap-price", "200")

    trail, relative = (request.body for request in api.requests)
    assert trail == {
        "client_order_id": "mine",
        "symbol": "AAPL",
        "sec_type": "OPT",
        "exchange": "SMART",
        "currency": "USD",
        "expiry": "20261218",
        "strike": "217.50",
        "right": "C",
        "side": "BUY",
        "type": "TRAILLMT",
        "quantity": "100",
        "limit_price": "4.90",
        "stop_price": "5",
        "trailing_type": "%",
        "trailing_amount": "2.5",
        "tif": "GTD",
        "good_till": "2026-12-18T21:00:00Z",
        "outside_rth": True,
    }
    assert (relative["type"], relative["cap_price"]) == ("REL", "200")


@pytest.mark.parametrize(
    ("words", "named"),
    [(("BTC",), {"symbol": "BTC"}), (("--conid", "479624278"), {"conid": 479624278})],
)
def test_an_amount_of_money_takes_the_place_of_the_quantity(
    words: tuple[str, ...], named: dict[str, object], api: FakeApi, terminal: Terminal
) -> None:
    order = ORDER | {"quantity": None, "remaining_quantity": None, "cash_quantity": "500"}
    api.answers("POST", SUBMIT_PATH, order, status=202)

    ended = terminal.types(
        "orders", "submit", "DU1111111", "BUY", *words, "--cash-quantity", "500",
        "--client-order-id", "mine",
    )  # fmt: skip

    assert api.requests[0].body == named | {
        "client_order_id": "mine",
        "side": "BUY",
        "type": "MKT",
        "cash_quantity": "500",
        "tif": "DAY",
    }
    assert ended.stdout.startswith("order 1-7: BUY 500 (cash) AAPL STK LMT")


def test_what_is_wrong_with_a_negative_quantity_the_engine_says(
    api: FakeApi, terminal: Terminal
) -> None:
    api.refuses("POST", SUBMIT_PATH, 400, "BAD_FIELD", 'quantity is "-5"; allowed: above 0')

    ended = terminal.types("orders", "submit", "DU1111111", "BUY", "-5", "AAPL")

    assert (ended.code, api.requests[0].body["quantity"]) == (1, "-5")
    assert ended.stderr.endswith('engine: BAD_FIELD: quantity is "-5"; allowed: above 0\n')


def test_a_submit_without_a_wait_asks_for_none(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    ended = terminal.types(*WITH_KEY)

    assert (ended.code, ended.stderr) == (0, "client order id mine\n")
    assert ended.stdout.startswith(
        "order 1-7: BUY 100 AAPL STK LMT at 189.30 DAY for DU1111111 is PART"
    )
    assert [(request.query, request.body) for request in api.requests] == [
        (
            {},
            {
                "client_order_id": "mine",
                "symbol": "AAPL",
                "side": "BUY",
                "type": "MKT",
                "quantity": "100",
                "tif": "DAY",
            },
        )
    ]


def test_a_key_is_made_printed_and_never_made_twice(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    printed = [terminal.types(*SUBMIT).stderr for _ in range(2)]

    keys = [request.body["client_order_id"] for request in api.requests]
    assert printed == [f"client order id {key}\n" for key in keys]
    assert len(set(keys)) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", key) for key in keys)


def test_a_denied_order_fails_with_its_reason(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", SUBMIT_PATH, REFUSED, status=422)

    ended = terminal.types(*WITH_KEY)

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == (
        "client order id mine\n"
        "engine: order 1-7 is DENIED: MAX_QTY: quantity is 100, limit order.max_qty.STK is 10\n"
    )


def test_a_denied_order_is_one_document_for_programs(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", SUBMIT_PATH, REFUSED, status=422)

    ended = terminal.types(*WITH_KEY, "--json")

    assert (ended.code, json.loads(ended.stdout)) == (1, REFUSED)


@pytest.mark.parametrize("state", ["REJECTED", "EXPIRED", "DENIED", "NOT_PLACED"])
def test_an_order_that_did_not_live_fails(state: str, api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", SUBMIT_PATH, DENIED | {"state": state}, status=202)

    ended = terminal.types(*WITH_KEY, "--wait", "ack")

    assert ended.code == 1
    assert f"engine: order 1-7 is {state}: MAX_QTY" in ended.stderr


def test_a_wait_that_ends_too_early_says_so_and_is_no_failure(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    ended = terminal.types(*WITH_KEY, "--wait", "terminal", "--timeout", "3")

    assert ended.code == 0
    assert ended.stderr.endswith("not terminal after 3 s; see `engine orders show 1-7`\n")


def test_a_bad_field_is_a_failure_without_an_order(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("POST", SUBMIT_PATH, 400, "BAD_FIELD", "quantity is 0; allowed: above 0")

    ended = terminal.types("orders", "submit", "DU1111111", "BUY", "0", "AAPL")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.endswith("engine: BAD_FIELD: quantity is 0; allowed: above 0\n")
    assert "--client-order-id" not in ended.stderr


def test_an_answer_that_was_lost_says_how_to_find_the_order(
    api: FakeApi, terminal: Terminal
) -> None:
    api.cuts("POST", SUBMIT_PATH)

    ended = terminal.types(*WITH_KEY)

    assert (ended.code, len(api.requests)) == (1, 1)
    assert "the order may have been taken" in ended.stderr
    assert "engine orders list --client-order-id mine" in ended.stderr


@pytest.mark.parametrize("code", ["DRAINING", "JOURNAL_FULL", "JOURNAL_UNAVAILABLE"])
def test_an_engine_that_says_it_took_nothing_is_believed(
    code: str, api: FakeApi, terminal: Terminal
) -> None:
    api.refuses("POST", SUBMIT_PATH, 503, code, "not now")

    ended = terminal.types(*WITH_KEY)

    assert ended.code == 1
    assert ended.stderr.endswith(f"engine: {code}: not now\n")


def test_an_engine_that_failed_may_have_taken_the_order(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("POST", SUBMIT_PATH, 500, "INTERNAL", "a mistake")

    ended = terminal.types(*WITH_KEY)

    assert ended.code == 1
    assert "the order may have been taken" in ended.stderr


def test_a_failure_that_is_no_answer_of_an_engine_leaves_it_open(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", SUBMIT_PATH, "Bad Gateway", status=502)

    ended = terminal.types(*WITH_KEY)

    assert ended.code == 1
    assert "the order may have been taken" in ended.stderr


def test_an_order_that_never_left_is_not_said_to_be_in_doubt(
    api: FakeApi, terminal: Terminal
) -> None:
    api.stop()

    ended = terminal.types(*WITH_KEY)
    api.start()

    assert ended.code == 1
    assert "connection refused" in ended.stderr
    assert "may have been taken" not in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("BUY", "100"),
        ("BUY", "100", "AAPL", "--conid", "1"),
        ("HOLD", "100", "AAPL"),
        ("BUY", "NaN", "AAPL"),
        ("BUY", "1e3", "AAPL"),
        ("BUY", "AAPL"),
        ("BUY", "100", "AAPL", "--cash-quantity", "500"),
        ("BUY", "100", "AAPL", "--unknown"),
        ("BUY", "100", "--unknown"),
        ("BUY", "--unknown", "AAPL"),
        ("BUY", "--unknown", "--cash-quantity", "500"),
        ("BUY", "1,000", "AAPL"),
        ("BUY", "100", "--conid", "0"),
        ("BUY", "100", "--conid", "1", "--exchange", "NYSE"),
        ("BUY", "100", "--conid", "1", "--sec-type", "OPT"),
        ("BUY", "100", "AAPL", "--type", "LMT", "--limit-price", "inf"),
        ("BUY", "100", "AAPL", "--type", "STOP"),
        ("BUY", "100", "AAPL", "--trailing-type", "bps"),
        ("BUY", "100", "AAPL", "--strike", "high"),
        ("BUY", "100", "AAPL", "--tif", "WEEK"),
        ("BUY", "100", "AAPL", "--wait", "forever"),
        ("BUY", "100", "AAPL", "--timeout", "0"),
        ("BUY", "100", "AAPL", "--take-profit", "high"),
        ("BUY", "100", "AAPL", "--stop-loss", "1", "--exit-tif", "WEEK"),
        ("BUY", "100", "AAPL", "--exit-tif", "GTC"),
        ("BUY", "100", "AAPL", "--oca", "STOP,stop-price=180"),
        ("BUY", "100", "AAPL", "--oca", "LMT,limit-price=high"),
        ("BUY", "100", "AAPL", "--oca", "LMT,limit-price"),
        ("BUY", "100", "AAPL", "--oca", "LMT,limit-price=1,limit-price=2"),
        ("BUY", "100", "AAPL", "--oca", "LMT,price=1"),
        ("BUY", "100", "AAPL", "--oca", "LMT,limit-price=1", "--stop-loss", "1"),
        ("BUY", "100", "AAPL", "--algo-param", "a=1"),
        ("BUY", "100", "AAPL", "--algo", "Vwap", "--algo-param", "a"),
        ("BUY", "100", "AAPL", "--algo", "Vwap", "--algo-param", "=1"),
        ("BUY", "100", "AAPL", "--algo", "Vwap", "--algo-param", "a=1", "--algo-param", "a=2"),
    ],
)
def test_what_no_engine_could_take_is_a_usage_error_and_not_sent(
    words: tuple[str, ...], api: FakeApi, terminal: Terminal
) -> None:
    ended = terminal.types("orders", "submit", "DU1111111", *words)

    assert (ended.code, ended.stdout, api.requests) == (2, "", [])


def test_a_bracket_is_an_order_with_a_profit_to_take_and_a_loss_to_stop(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", SUBMIT_PATH, BRACKET, status=202)

    ended = terminal.types(
        *WITH_KEY, "--take-profit", "200.50", "--stop-loss", "180", "--exit-tif", "gtc"
    )

    assert api.requests[0].body["legs"] == [
        {"type": "LMT", "limit_price": "200.50", "tif": "GTC"},
        {"type": "STP", "stop_price": "180", "tif": "GTC"},
    ]
    assert ended.code == 0
    assert ended.stdout == (
        "order 1-7: BUY 100 AAPL STK LMT at 189.30 DAY for DU1111111 is PARTIALLY_FILLED, "
        "bracket, 40 filled at 189.2500\n"
        "order 1-8: SELL 100 AAPL STK LMT at 200 GTD 2026-12-18 21:00:00 UTC for DU1111111 is "
        "ACCEPTED, bracket of 1-7\n"
    )


@pytest.mark.parametrize(
    ("words", "legs"),
    [
        (("--take-profit", "200"), [{"type": "LMT", "limit_price": "200"}]),
        (("--stop-loss", "180"), [{"type": "STP", "stop_price": "180"}]),
    ],
)
def test_one_exit_is_a_bracket_too(
    words: tuple[str, ...], legs: object, api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", SUBMIT_PATH, BRACKET, status=202)

    terminal.types(*WITH_KEY, *words)

    assert api.requests[0].body["legs"] == legs


def test_a_group_of_which_one_cancels_all_is_an_order_and_the_others(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    terminal.types(
        *WITH_KEY,
        "--oca", "lmt,limit-price=199",
        "--oca", "TRAIL,side=sell,quantity=3,trailing-type=%,trailing-amount=1.5,tif=gtc",
        "--oca", "STP, stop-price=210, outside-rth=true, client-order-id=mine-2",
    )  # fmt: skip

    body = api.requests[0].body
    assert (body["group"], body["legs"]) == (
        "oca",
        [
            {"type": "LMT", "limit_price": "199"},
            {
                "type": "TRAIL",
                "side": "SELL",
                "quantity": "3",
                "trailing_type": "%",
                "trailing_amount": "1.5",
                "tif": "GTC",
            },
            {
                "type": "STP",
                "stop_price": "210",
                "outside_rth": True,
                "client_order_id": "mine-2",
            },
        ],
    )
    assert "group" not in _sent_alone(api, terminal)


def _sent_alone(api: FakeApi, terminal: Terminal) -> dict[str, object]:
    """Return the body of an order that is not in a group."""
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)
    terminal.types(*WITH_KEY)
    body: dict[str, object] = api.requests[-1].body
    return body


def test_an_algorithm_gets_its_parameters_as_they_were_typed(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    terminal.types(
        *WITH_KEY, "--algo", "ArrivalPx", "--algo-param", "maxPctVol=0.10",
        "--algo-param", "forceCompletion=true", "--algo-param", "endTime=15:30:00 US/Eastern=x",
    )  # fmt: skip

    assert api.requests[0].body["algo"] == {
        "name": "ArrivalPx",
        "parameters": {
            "maxPctVol": "0.10",
            "forceCompletion": True,
            "endTime": "15:30:00 US/Eastern=x",
        },
    }


@pytest.mark.parametrize(
    ("words", "tif"),
    [
        (("--good-till", "2026-12-18T21:00:00Z"), "GTD"),
        (("--good-till", "2026-12-18T21:00:00Z", "--tif", "gtc"), "GTC"),
    ],
)
def test_a_time_alone_means_until_then(
    words: tuple[str, ...], tif: str, api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", SUBMIT_PATH, ORDER, status=202)

    terminal.types(*WITH_KEY, *words)

    body = api.requests[0].body
    assert (body["tif"], body["good_till"]) == (tif, "2026-12-18T21:00:00Z")
