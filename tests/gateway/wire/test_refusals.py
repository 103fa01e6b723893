import pytest

from engine.gateway.wire import refusals


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            "We cannot accept an order at the limit price you selected. Try 1.",
            "LIMIT_PRICE_REFUSED",
        ),
        ("Order not confirmed ", "NOT_CONFIRMED"),
        ("Bad Request: accountId is not valid: X", "ACCOUNT_INVALID"),
        ("Invalid account ID", "ACCOUNT_INVALID"),
        ("Bad Request: conid is not valid: 0", "INSTRUMENT_INVALID"),
        (
            "The price does not conform to the minimum price variation for this contract.",
            "PRICE_INCREMENT",
        ),
        (
            "YOUR ORDER IS NOT ACCEPTED. YOUR EQUITY MUST EXCEED THE INITIAL MARGIN [2 USD]",
            "INSUFFICIENT_FUNDS",
        ),
        ("No trading permissions.", "NO_TRADING_PERMISSION"),
        ("at most 15 working orders per side of one contract", "TOO_MANY_WORKING_ORDERS"),
        ("Fractional-sized order cannot be placed", "FRACTION_REFUSED"),
        (
            "Unsupported order type for this exchange and security type.",
            "ORDER_TYPE_UNSUPPORTED",
        ),
        ("Invalid time in force: OPG", "TIF_UNSUPPORTED"),
        ("Cash Quantity cannot be used for this order", "CASH_QUANTITY_UNSUPPORTED"),
        ("Order processing failed. Algorithm definition not found.", "ALGO_INVALID"),
        ("Algo attributes validation failed: maxPctVol", "ALGO_INVALID"),
        ("Specified algorithm is not allowed for this order.", "ALGO_INVALID"),
        ("Order processing failed. Unknown algo attribute.", "ALGO_INVALID"),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_listed_text_refuses_an_order(text: str, code: str, status: int) -> None:
    assert refusals.refusal_code(text, status) == code


@pytest.mark.parametrize("status", [500, 503, 401, 302])
def test_the_same_text_proves_nothing_beside_another_status(status: int) -> None:
    assert refusals.refusal_code("Order not confirmed ", status) is None
    assert refusals.cancel_refusal_code("Order is inactive", status) is None
    assert refusals.modify_refusal_code("Order is inactive", status) is None


@pytest.mark.parametrize("text", ["", "Order rejected", "Something new", "unknown"])
def test_an_unlisted_text_proves_nothing(text: str) -> None:
    assert refusals.refusal_code(text, 200) is None
    assert refusals.cancel_refusal_code(text, 200) is None
    assert refusals.modify_refusal_code(text, 200) is None
    assert refusals.doubt_code(text) is None


@pytest.mark.parametrize("text", ["OrderID 123 doesn't exist", "orderid 123 doesnt exist"])
def test_a_cancel_of_an_unknown_order_has_its_code(text: str) -> None:
    assert refusals.cancel_refusal_code(text, 400) == "ORDER_UNKNOWN"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Order is inactive", "ORDER_INACTIVE"),
        ("This order cannot be cancelled.", "NOT_CANCELLABLE"),
        (
            "Cancel attempted when order is not in a cancellable state. Order permId = 5",
            "NOT_CANCELLABLE",
        ),
        (
            "OrderId 5 that needs to be cancelled can not be cancelled, state: Filled.",
            "NOT_CANCELLABLE",
        ),
    ],
)
def test_a_cancel_that_finds_nothing_to_cancel_has_its_code(text: str, code: str) -> None:
    assert refusals.cancel_refusal_code(text, 200) == code
    assert refusals.refusal_code(text, 200) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("OrderID 123 doesn't exist", "ORDER_UNKNOWN"),
        ("Order is inactive", "ORDER_INACTIVE"),
        ("Can't modify a filled order.", "NOT_MODIFIABLE"),
        ("Cannot modify a cancelled order", "NOT_MODIFIABLE"),
        ("Order is being cancelled and cannot be modified.", "NOT_MODIFIABLE"),
        ("Order being modified does not match original order.", "CHANGE_REFUSED"),
        ("Order modify failed. Algorithm cannot be modified.", "NOT_MODIFIABLE"),
        ("Order not confirmed ", "NOT_CONFIRMED"),
        ("The price does not conform to the minimum price variation", "PRICE_INCREMENT"),
    ],
)
def test_a_listed_text_refuses_a_modify(text: str, code: str) -> None:
    assert refusals.modify_refusal_code(text, 200) == code
    assert refusals.modify_refusal_code(text, 400) == code


def test_what_refuses_a_modify_does_not_refuse_a_new_order() -> None:
    assert refusals.refusal_code("Order is inactive", 200) is None
    assert refusals.refusal_code("Can't modify a filled order.", 200) is None
