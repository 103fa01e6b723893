"""`engine orders`."""

import json

import pytest

from tests.cli.bodies import (
    BRACKET,
    CANCELLING,
    DENIED,
    EXTERNAL_ORDERS,
    LEG,
    ORDER,
    ORDER_EVENTS,
    ORDERS,
    PARKED,
)
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal


def test_orders_are_listed_with_their_state_and_reason(api: FakeApi, terminal: Terminal) -> None:
    cancelling = ORDER | {"pending": "cancel", "confidence": "stale"}
    api.answers("GET", "/v1/orders", {"orders": [cancelling, DENIED], "truncated": False})

    ended = terminal.types("orders", "list")

    assert ended.stderr == ""
    assert [line[:-1] for line in ended.lines] == [
        [
            "order id", "account", "side", "filled/quantity", "symbol", "sec type", "conid",
            "type", "price", "tif", "group", "state", "avg price", "reason",
        ],
        [
            "1-7", "DU1111111", "BUY", "40/100", "AAPL", "STK", "265598", "LMT", "189.30", "DAY",
            "-", "PARTIALLY_FILLED (cancel pending, stale)", "189.2500", "-",
        ],
        [
            "1-7", "DU1111111", "BUY", "0/100", "AAPL", "STK", "265598", "LMT", "189.30", "DAY",
            "-", "DENIED", "-", "MAX_QTY: quantity is 100, limit order.max_qty.STK is 10",
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


def test_an_order_is_shown_with_every_field_and_its_story(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/orders/1-7", ORDER)
    api.answers("GET", "/v1/orders/1-7/events", ORDER_EVENTS)

    ended = terminal.types("orders", "show", "1-7")

    fields = [name for name in ORDER if name != "legs"]
    assert [line[0] for line in ended.lines[: len(fields)]] == fields
    assert ["average_price", "189.2500"] in ended.lines
    (age,) = ended.lines[-1][2:3]
    assert ended.lines[len(fields) :] == [
        [],
        ["its story"],
        ["seq", "time", "age", "record"],
        ["12", "2020-01-06 15:00:00.123 UTC", age, "ATTEMPT: attempt 1 to send it"],
    ]


def test_an_order_of_a_group_is_shown_with_the_others(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/orders/1-7", BRACKET)
    api.answers("GET", "/v1/orders/1-7/events", ORDER_EVENTS | {"story": []})

    ended = terminal.types("orders", "show", "1-7")

    assert ["algo", "Adaptive (adaptivePriority=Urgent)"] in ended.lines
    at = ended.lines.index(["the other orders of its group"])
    assert ended.lines[at + 2][:1] + ended.lines[at + 2][9:12] == [
        "1-8", "GTD 2026-12-18 21:00:00 UTC", "bracket of 1-7", "ACCEPTED",
    ]  # fmt: skip
    assert ended.stdout.endswith("\nits story\nthe journal has no record of it\n")


def test_an_order_that_nobody_could_find_is_shown_with_its_evidence(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/orders/1-7", PARKED)
    api.answers("GET", "/v1/orders/1-7/events", ORDER_EVENTS)

    ended = terminal.types("orders", "show", "1-7")

    assert [
        "evidence",
        (
            "3 min after it was sent (a proof needs 60 s), 3 min of a healthy session, 0 lists "
            "and 12 trade reads that count, in the same login, seen meanwhile: 77, 78, "
            "missing: 3 fresh lists"
        ),
    ] in ended.lines


def test_what_an_order_is_shown_as_for_programs_is_the_order(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/orders/1-7", BRACKET)

    ended = terminal.types("orders", "show", "1-7", "--json")

    assert (ended.code, json.loads(ended.stdout)) == (0, BRACKET)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ["DAY", "-", "PARTIALLY_FILLED"]),
        (LEG, ["GTD 2026-12-18 21:00:00 UTC", "bracket of 1-7", "ACCEPTED"]),
        (BRACKET, ["DAY", "bracket", "PARTIALLY_FILLED"]),
        (
            BRACKET | {"unprotected": ["1-8"], "state": "FILLED"},
            ["DAY", "bracket", "FILLED (exits 1-8 missing)"],
        ),
        ({"adopted": True}, ["DAY", "-", "PARTIALLY_FILLED (adopted)"]),
        ({"state": "NOT_PLACED"}, ["DAY", "-", "NOT_PLACED"]),
    ],
)
def test_a_line_says_what_is_special_about_its_order(
    changes: dict[str, object], cells: list[str], api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/orders", {"orders": [ORDER | changes], "truncated": False})

    ended = terminal.types("orders", "list")

    assert ended.lines[1][9:12] == cells


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
    api.answers("DELETE", "/v1/orders/1-7", CANCELLING | changes, status=202)

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
    api.answers("GET", "/v1/orders/1-7/events", ORDER_EVENTS)

    ended = terminal.types("orders", "show", "1-7")

    assert ["wanted", "quantity 50, stop_price 9"] in ended.lines


def test_an_unknown_order_is_a_failure(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("GET", "/v1/orders/9-9", 404, "UNKNOWN_ORDER", "no such order")

    ended = terminal.types("orders", "show", "9-9", "--json")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "engine: UNKNOWN_ORDER: no such order\n"


def test_a_cancel_shows_what_became_of_the_order(api: FakeApi, terminal: Terminal) -> None:
    api.answers("DELETE", "/v1/orders/1-7", CANCELLING, status=202)

    ended = terminal.types("orders", "cancel", "1-7")

    assert ended.code == 0
    assert ended.stdout == (
        "order 1-7: BUY 100 AAPL STK LMT at 189.30 DAY for DU1111111 is "
        "PARTIALLY_FILLED (cancel pending), 40 filled at 189.2500\n"
    )


def test_a_cancel_that_is_in_no_journal_is_done_and_says_so(
    api: FakeApi, terminal: Terminal
) -> None:
    warning = {"code": "CANCEL_NOT_JOURNALED", "message": "the disk is gone; it was sent"}
    api.answers("DELETE", "/v1/orders/1-7", CANCELLING | {"warning": warning}, status=202)

    ended = terminal.types("orders", "cancel", "1-7")
    for_programs = terminal.types("orders", "cancel", "1-7", "--json")

    for one in (ended, for_programs):
        assert (one.code, one.stderr) == (
            0,
            "warning: CANCEL_NOT_JOURNALED: the disk is gone; it was sent\n",
        )
    assert json.loads(for_programs.stdout)["warning"] == warning
