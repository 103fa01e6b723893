"""`engine orders`."""

import json
import re

import pytest

from tests.cli.bodies import DENIED, EXTERNAL_ORDERS, ORDER, ORDERS, REFUSED
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

SUBMIT_PATH = "/v1/accounts/DU1111111/orders"
SUBMIT = ("orders", "submit", "DU1111111", "BUY", "100", "AAPL")
WITH_KEY = (*SUBMIT, "--client-order-id", "mine")


def test_orders_are_listed_with_their_state_and_reason(api: FakeApi, terminal: Terminal) -> None:
    cancelling = ORDER | {"pending": "cancel", "confidence": "stale"}
    api.answers("GET", "/v1/orders", {"orders": [cancelling, DENIED], "truncated": False})

    ended = terminal.types("orders", "list")

    assert ended.stderr == ""
    assert [line[:-1] for line in ended.lines] == [
        [
            "order id", "account", "side", "filled/quantity", "symbol", "sec type", "conid",
            "type", "price", "tif", "state", "avg price", "reason",
        ],
        [
            "1-7", "DU1111111", "BUY", "40/100", "AAPL", "STK", "265598", "LMT", "189.30", "DAY",
            "PARTIALLY_FILLED (cancel pending, stale)", "189.2500", "-",
        ],
        [
            "1-7", "DU1111111", "BUY", "0/100", "AAPL", "STK", "265598", "LMT", "189.30", "DAY",
            "DENIED", "-", "MAX_QTY: quantity is 100, limit order.max_qty.STK is 10",
        ],
    ]  # fmt: skip


def test_a_listing_asks_only_for_what_is_wanted(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/orders", ORDERS)

    terminal.types("orders", "list")
    terminal.types(
        "orders", "list", "--account", "DU1", "--state", "in_doubt", "--open",
        "--client-order-id", "a&b", "--limit", "5",
    )  # fmt: skip

    assert [request.query for request in api.requests] == [
        {},
        {
            "account": "DU1",
            "state": "IN_DOUBT",
            "open": "true",
            "client_order_id": "a&b",
            "limit": "5",
        },
    ]


def test_a_listing_that_is_not_all_says_so(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/orders", ORDERS | {"truncated": True})

    ended = terminal.types("orders", "list")

    assert ended.stderr == "there are more orders; narrow the listing or raise --limit\n"


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/orders", ORDERS)

    ended = terminal.types("orders", "list", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, ORDERS, "")


def test_a_text_of_the_broker_cannot_colour_or_move_the_cursor(
    api: FakeApi, terminal: Terminal
) -> None:
    reason = {"code": "BROKER", "message": "[red]no[/red] \x1b[2Jway"}
    api.answers("GET", "/v1/orders", {"orders": [ORDER | {"reason": reason}], "truncated": False})

    ended = terminal.types("orders", "list")

    assert "BROKER: [red]no[/red] ?[2Jway" in ended.stdout


def test_no_order_is_a_sentence(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/orders", {"orders": [], "truncated": False})

    ended = terminal.types("orders", "list", "--open")

    assert (ended.code, ended.stdout) == (0, "no order fits\n")


def test_an_order_is_shown_with_every_field(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/orders/1-7", ORDER)

    ended = terminal.types("orders", "show", "1-7")

    assert [line[0] for line in ended.lines] == list(ORDER)
    assert ["average_price", "189.2500"] in ended.lines


def test_orders_of_others_are_listed_by_account(api: FakeApi, terminal: Terminal) -> None:
    path = "/v1/accounts/DU1111111/external_orders"
    api.answers("GET", path, EXTERNAL_ORDERS)

    ended = terminal.types("orders", "list", "--external", "--account", "DU1111111")
    for_programs = terminal.types(
        "orders", "list", "--external", "--account", "DU1111111", "--json"
    )
    api.answers("GET", path, EXTERNAL_ORDERS | {"orders": []})
    none = terminal.types("orders", "list", "--external", "--account", "DU1111111")

    assert [line[:-1] for line in ended.lines] == [
        [
            "broker order id", "session", "side", "filled/quantity", "symbol", "conid", "type",
            "price", "tif", "status", "reference",
        ],
        ["987", "main", "SELL", "-/5", "AAPL", "265598", "Limit", "200", "GTC", "Submitted", "-"],
    ]  # fmt: skip
    assert json.loads(for_programs.stdout) == EXTERNAL_ORDERS
    assert none.stdout == "no order of others is known for DU1111111\n"


@pytest.mark.parametrize(
    "words", [(), ("--account", "DU1", "--open"), ("--account", "DU1", "--state", "working")]
)
def test_orders_of_others_take_an_account_and_no_other_filter(
    words: tuple[str, ...], api: FakeApi, terminal: Terminal
) -> None:
    ended = terminal.types("orders", "list", "--external", *words)

    assert (ended.code, api.requests) == (2, [])


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({"stop_price": "188"}, ["40/100", "LMT", "189.30, stop 188"]),
        (
            {"limit_price": None, "trailing_type": "%", "trailing_amount": "2"},
            ["40/100", "LMT", "trail 2%"],
        ),
        ({"limit_price": None, "cap_price": "190"}, ["40/100", "LMT", "cap 190"]),
        ({"limit_price": None}, ["40/100", "LMT", "-"]),
        (
            {"quantity": None, "cash_quantity": "500"},
            ["40/500 (cash)", "LMT", "189.30"],
        ),
    ],
)
def test_a_line_has_every_price_of_its_order(
    changes: dict[str, str], cells: list[str], api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/orders", {"orders": [ORDER | changes], "truncated": False})

    ended = terminal.types("orders", "list")

    line = ended.lines[1]
    assert [line[3], *line[7:9]] == cells


def test_new_terms_are_asked_for_and_shown(api: FakeApi, terminal: Terminal) -> None:
    wanted = {"quantity": "100", "limit_price": "190", "stop_price": None}
    changed = ORDER | {"pending": "replace", "wanted": wanted}
    settled = ORDER | {"quantity": "50.0", "stop_price": "9.50"}
    api.answers("PATCH", "/v1/orders/1-7", changed, status=202)

    ended = terminal.types("orders", "modify", "1-7", "--limit-price", "190")
    api.answers("PATCH", "/v1/orders/1-7", settled, status=202)
    waited = terminal.types(
        "orders", "modify", "1-7", "--quantity", "50", "--stop-price", "9.5", "--wait",
        "--timeout", "3", "--json",
    )  # fmt: skip

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == (
        "order 1-7: BUY 100 AAPL STK LMT at 189.30 DAY for DU1111111 is PARTIALLY_FILLED "
        "(replace pending), wanted: quantity 100, limit_price 190, 40 filled at 189.2500\n"
    )
    assert (waited.code, json.loads(waited.stdout)) == (0, settled)
    assert [(request.method, request.query, request.body) for request in api.requests] == [
        ("PATCH", {}, {"limit_price": "190"}),
        ("PATCH", {"wait": "settled", "timeout": "3"}, {"quantity": "50", "stop_price": "9.5"}),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pending": "replace", "wanted": {"limit_price": "190"}},
            "the change of order 1-7 is still pending after 3 s; see `engine orders show`",
        ),
        (
            {"reason": {"code": "PRICE_INCREMENT", "message": "a bad tick"}},
            "order 1-7 was not changed: it is PARTIALLY_FILLED, PRICE_INCREMENT: a bad tick",
        ),
    ],
)
def test_a_change_that_was_waited_for_in_vain_is_a_failure(
    changes: dict[str, object], message: str, api: FakeApi, terminal: Terminal
) -> None:
    api.answers("PATCH", "/v1/orders/1-7", ORDER | changes, status=202)
    command = ("orders", "modify", "1-7", "--limit-price", "190", "--timeout", "3")

    unwaited = terminal.types(*command)
    waited = terminal.types(*command, "--wait")

    assert (unwaited.code, unwaited.stderr) == (0, "")
    assert (waited.code, waited.stderr) == (1, f"engine: {message}\n")
    assert waited.stdout == unwaited.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "MOC", "limit_price": None}, "AAPL STK MOC DAY for DU1111111"),
        (
            {"type": "STP", "limit_price": None, "stop_price": "188"},
            "AAPL STK STP stop 188 DAY for",
        ),
        (
            {"sec_type": "OPT", "conid": 7, "tif": "GTC"},
            "AAPL OPT (conid 7) LMT at 189.30 GTC for",
        ),
        ({"type": "LIT", "stop_price": "188"}, "AAPL STK LIT at 189.30, stop 188 DAY for"),
    ],
)
def test_the_sentence_names_every_price(
    changes: dict[str, str], words: str, api: FakeApi, terminal: Terminal
) -> None:
    api.answers("DELETE", "/v1/orders/1-7", ORDER | changes, status=202)

    ended = terminal.types("orders", "cancel", "1-7")

    assert words in ended.stdout


@pytest.mark.parametrize(
    ("status", "code"), [(422, "QTY_EXCEEDS_MAX"), (409, "NOT_MODIFIABLE"), (400, "BAD_FIELD")]
)
def test_terms_that_are_refused_are_a_failure(
    status: int, code: str, api: FakeApi, terminal: Terminal
) -> None:
    api.refuses("PATCH", "/v1/orders/1-7", status, code, "quantity is -5; allowed: above 0")

    ended = terminal.types("orders", "modify", "1-7", "--quantity", "-5")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == f"engine: {code}: quantity is -5; allowed: above 0\n"
    assert [request.body for request in api.requests] == [{"quantity": "-5"}]


@pytest.mark.parametrize(
    "words",
    [("1-7",), (), ("--quantity", "5"), ("1-7", "--quantity", "x"), ("1-7", "--price", "5")],
)
def test_a_modify_without_an_order_or_terms_is_a_usage_error(
    words: tuple[str, ...], api: FakeApi, terminal: Terminal
) -> None:
    ended = terminal.types("orders", "modify", *words)

    assert (ended.code, ended.stdout, api.requests) == (2, "", [])


def test_an_order_under_change_is_shown_with_what_is_wanted(
    api: FakeApi, terminal: Terminal
) -> None:
    wanted = {"quantity": "50", "limit_price": None, "stop_price": "9"}
    api.answers("GET", "/v1/orders/1-7", ORDER | {"wanted": wanted})

    ended = terminal.types("orders", "show", "1-7")

    assert ended.lines[-1] == ["wanted", "quantity 50, stop_price 9"]


def test_an_unknown_order_is_a_failure(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("GET", "/v1/orders/9-9", 404, "UNKNOWN_ORDER", "no such order")

    ended = terminal.types("orders", "show", "9-9", "--json")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "engine: UNKNOWN_ORDER: no such order\n"


def test_a_cancel_shows_what_became_of_the_order(api: FakeApi, terminal: Terminal) -> None:
    api.answers("DELETE", "/v1/orders/1-7", ORDER | {"pending": "cancel"}, status=202)

    ended = terminal.types("orders", "cancel", "1-7")

    assert ended.code == 0
    assert ended.stdout == (
        "order 1-7: BUY 100 AAPL STK LMT at 189.30 DAY for DU1111111 is "
        "PARTIALLY_FILLED (cancel pending), 40 filled at 189.2500\n"
    )


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
        "--trailing-amount", "2.5", "--tif", "GTD", "--outside-rth",
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


@pytest.mark.parametrize("state", ["REJECTED", "EXPIRED", "DENIED"])
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
    ],
)
def test_what_no_engine_could_take_is_a_usage_error_and_not_sent(
    words: tuple[str, ...], api: FakeApi, terminal: Terminal
) -> None:
    ended = terminal.types("orders", "submit", "DU1111111", *words)

    assert (ended.code, ended.stdout, api.requests) == (2, "", [])
