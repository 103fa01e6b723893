"""`engine orders resolve` and `engine orders adopt`."""

import json

import pytest

from tests.cli.bodies import ORDER
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

RESOLVE = "/v1/orders/1-7/resolve"
ADOPT = "/v1/accounts/DU1111111/external/987/adopt"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("--as", "not_placed"), {"as": "not_placed"}),
        (
            ("--as", "LIVE", "--broker-order-id", "8899"),
            {"as": "live", "broker_order_id": "8899"},
        ),
        (
            ("--as", "filled", "--quantity", "4", "--price", "189.10", "--approved-by", "J Doe"),
            {"as": "filled", "quantity": "4", "price": "189.10", "approved_by": "J Doe"},
        ),
    ],
)
def test_a_person_says_what_became_of_an_order(
    words: tuple[str, ...], body: dict[str, str], api: FakeApi, terminal: Terminal
) -> None:
    api.answers("POST", RESOLVE, ORDER | {"state": "NOT_PLACED"}, status=202)

    ended = terminal.types("orders", "resolve", "1-7", *words, "--reason", "the desk called")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("order 1-7: BUY 100 AAPL STK LMT at 189.30 DAY for DU1111111 is")
    assert [request.body for request in api.requests] == [body | {"reason": "the desk called"}]


def test_an_order_that_is_not_in_doubt_is_a_failure(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("POST", RESOLVE, 409, "NOT_RESOLVABLE", "order 1-7 is FILLED")

    ended = terminal.types("orders", "resolve", "1-7", "--as", "live", "--reason", "x")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "engine: NOT_RESOLVABLE: order 1-7 is FILLED\n"


@pytest.mark.parametrize(
    ("words", "body", "path"),
    [
        ((), {"reason": "our desk's"}, ADOPT),
        (("--cancel",), {"reason": "our desk's", "cancel": True}, ADOPT),
    ],
)
def test_an_order_of_others_becomes_the_engines(
    words: tuple[str, ...], body: object, path: str, api: FakeApi, terminal: Terminal
) -> None:
    adopted = ORDER | {"adopted": True}
    api.answers("POST", path, adopted, status=202)
    command = ("orders", "adopt", "DU1111111", "987", "--reason", "our desk's", *words)

    ended = terminal.types(*command)
    for_programs = terminal.types(*command, "--json")

    assert "is PARTIALLY_FILLED (adopted), 40 filled at 189.2500" in ended.stdout
    assert json.loads(for_programs.stdout) == adopted
    assert [request.body for request in api.requests] == [body] * 2


def test_an_order_of_others_that_is_not_there_is_a_failure(
    api: FakeApi, terminal: Terminal
) -> None:
    api.refuses("POST", ADOPT, 404, "UNKNOWN_EXTERNAL_ORDER", "no such order")

    ended = terminal.types("orders", "adopt", "DU1111111", "987", "--reason", "x")

    assert (ended.code, ended.stderr) == (1, "engine: UNKNOWN_EXTERNAL_ORDER: no such order\n")


@pytest.mark.parametrize(
    "words",
    [
        ("resolve", "1-7", "--as", "live"),
        ("resolve", "1-7", "--reason", "x"),
        ("resolve", "1-7", "--as", "gone", "--reason", "x"),
        ("resolve", "--as", "live", "--reason", "x"),
        ("resolve", "1-7", "--as", "filled", "--reason", "x", "--price", "high"),
        ("adopt", "DU1111111", "987"),
        ("adopt", "DU1111111", "--reason", "x"),
    ],
)
def test_a_decision_without_its_words_is_a_usage_error_and_not_sent(
    words: tuple[str, ...], api: FakeApi, terminal: Terminal
) -> None:
    ended = terminal.types("orders", *words)

    assert (ended.code, ended.stdout, api.requests) == (2, "", [])
