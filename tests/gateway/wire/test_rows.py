from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    ConId,
    Execution,
    ExecutionId,
    OrderRow,
    ProfitAndLoss,
    Side,
)
from engine.gateway.wire.lenient import BadAnswer, Row, as_row, as_rows, decode
from engine.gateway.wire.rows import execution, order_row, readable, results

ACCOUNT = AccountId("DU1234567")
SPARSE = {"acct": "DU1234567", "conidex": "265598", "account": "DU1234567", "orderId": 922048212}


@pytest.fixture
def trade(data: Path) -> dict[str, object]:
    [row] = as_rows(decode((data / "trades.json").read_bytes()), "trades")
    return dict(row)


def test_a_whole_row_of_the_list_is_read(data: Path) -> None:
    document = decode((data / "orders.json").read_bytes())
    assert isinstance(document, dict)

    rows = [order_row(row) for row in as_rows(document["orders"], "orders")]

    assert rows == [
        OrderRow(
            account=ACCOUNT,
            broker_order_id=BrokerOrderId("245323648"),
            coid=Coid("my-coid-1"),
            conid=ConId(265598),
            side=Side.BUY,
            total_quantity=Decimal(1),
            filled_quantity=Decimal(0),
            status=BrokerStatus.SUBMITTED,
            symbol="AAPL",
            order_type="LMT",
            limit_price=Decimal(150),
            tif="GTC",
        ),
        OrderRow(
            account=AccountId("DU7654321"),
            broker_order_id=BrokerOrderId("245323649"),
            conid=ConId(8314),
            side=Side.SELL,
            total_quantity=Decimal(1100),
            filled_quantity=Decimal(1100),
            average_price=Decimal("189.6025"),
            status=BrokerStatus.CANCELLED,
            reason="Order rejected by the exchange",
        ),
    ]


def test_a_sparse_row_speaks_of_nothing_else() -> None:
    assert order_row(SPARSE) == OrderRow(
        account=ACCOUNT, broker_order_id=BrokerOrderId("922048212")
    )


@pytest.mark.parametrize(
    ("links", "parent_id", "oca_group"),
    [
        ({"parentId": 245323648, "ocaGroupId": "245323648"}, "245323648", "245323648"),
        ({"parent_id": "7", "oca_group_id": "oco-5"}, "7", "oco-5"),
        ({"ocaGroupId": "oco-5"}, None, "oco-5"),
        ({"parentId": 0, "ocaGroupId": ""}, None, None),
        ({"parentId": {}, "ocaGroupId": None}, None, None),
    ],
)
def test_a_row_says_what_its_order_hangs_together_with(
    links: Row, parent_id: str | None, oca_group: str | None
) -> None:
    row = order_row({**SPARSE, **links})

    assert (row.parent_id, row.oca_group) == (parent_id, oca_group)


def test_a_blank_member_is_not_mentioned() -> None:
    row = {**SPARSE, "filledQuantity": "", "status": None, "order_ref": "", "avgPrice": "None"}

    assert order_row(row) == order_row(SPARSE)


def test_an_unknown_status_is_kept_and_changes_nothing() -> None:
    row = order_row({**SPARSE, "status": "Hibernating"})

    assert (row.status, row.unknown_status) == (None, "Hibernating")


@pytest.mark.parametrize("status", ["PreSubmitted", "presubmitted", "Pre Submitted"])
def test_a_status_is_known_however_it_is_spelled(status: str) -> None:
    assert order_row({**SPARSE, "status": status}).status is BrokerStatus.PRE_SUBMITTED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"orderId": None}, "orderId and order_id missing"),
        ({"account": "", "acct": None}, "account and acct missing"),
        ({"filledQuantity": "some"}, "filledQuantity is 'some', expected a number"),
        ({"conid": "x"}, "conid is 'x', expected a number"),
        ({"filledQuantity": -1}, "filledQuantity is -1, at least 0"),
        ({"totalSize": "-0.5"}, "totalSize is -0.5, at least 0"),
        ({"totalSize": "100 USD"}, "totalSize is '100 USD', expected a number"),
        ({"orderId": "7" * 65}, "orderId has 65 characters, at most 64"),
        ({"account": "D" * 65}, "account has 65 characters, at most 64"),
        ({"order_ref": "r" * 65}, "order_ref has 65 characters, at most 64"),
    ],
)
def test_a_row_that_cannot_be_placed_or_counted_is_an_error(change: Row, words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        order_row({**SPARSE, **change})


@pytest.mark.parametrize("conid", [-1, 0])
def test_a_row_of_several_contracts_names_none(conid: int) -> None:
    assert order_row({**SPARSE, "conid": conid}) == order_row(SPARSE)


@pytest.mark.parametrize(
    ("words", "side"),
    [(words, Side.BUY) for words in ("B", "BUY", "Buy", "BOT", "bot")]
    + [(words, Side.SELL) for words in ("S", "SELL", "Sell", "SLD", "sld")],
)
def test_a_side_is_read_in_every_spelling(trade: Row, words: str, side: Side) -> None:
    assert execution({**trade, "side": words}).side is side
    assert order_row({**SPARSE, "side": words}).side is side


STATUS = {
    "order_id": 245323648, "conid": 265598, "symbol": "AAPL", "side": "B", "size": "0.0",
    "total_size": "1.0", "account": "DU1234567", "order_type": "STOP_LIMIT", "limit_price": "1.00",
    "stop_price": "1,234.50", "cum_fill": "1.0", "order_status": "Filled", "tif": "DAY",
    "average_price": "317.56",
}  # fmt: skip


def test_an_orders_status_is_read_by_its_own_names() -> None:
    assert order_row(STATUS) == OrderRow(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("245323648"),
        conid=ConId(265598),
        side=Side.BUY,
        total_quantity=Decimal(1),
        filled_quantity=Decimal(1),
        average_price=Decimal("317.56"),
        status=BrokerStatus.FILLED,
        symbol="AAPL",
        order_type="STOP_LIMIT",
        limit_price=Decimal(1),
        stop_price=Decimal("1234.50"),
        tif="DAY",
    )


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("LIMIT", "LMT"), ("Limit", "LMT"), ("LMT", "LMT"), ("Market", "MKT"), ("Stop", "STP"),
        ("Stop Limit", "STOP_LIMIT"), ("STOP_LIMIT", "STOP_LIMIT"), ("STP LMT", "STOP_LIMIT"),
        ("TRAILING_STOP", "TRAIL"), ("Trailing Stop", "TRAIL"), ("TRAIL", "TRAIL"),
        ("TRAILING_STOP_LIMIT", "TRAILLMT"), ("Trail Limit", "TRAILLMT"), ("MIDPRICE", "MIDPRICE"),
        ("MidPrice", "MIDPRICE"), ("MARKETONCLOSE", "MOC"), ("Limit-on-close", "LOC"),
        ("MIT", "MIT"), ("Limit If Touched", "LIT"), ("RELATIVE", "REL"),
        ("Pegged to Stock", "Pegged to Stock"),
    ],
)  # fmt: skip
def test_an_order_type_is_read_in_every_spelling(words: str, kind: str) -> None:
    assert order_row({**SPARSE, "orderType": words}).order_type == kind
    assert order_row({**SPARSE, "order_type": words}).order_type == kind


def test_what_was_asked_for_is_the_type_not_what_became_of_it() -> None:
    row = order_row({**SPARSE, "origOrderType": "STOP_LIMIT", "orderType": "Limit"})

    assert row.order_type == "STOP_LIMIT"


@pytest.mark.parametrize(
    ("kind", "limit", "stop"),
    [
        ("LMT", 1, None), ("LOC", 1, None), ("STP", None, 1), ("TRAIL", None, 1), ("MIT", None, 1),
        ("STOP_LIMIT", 1, 2), ("TRAILLMT", 1, 2), ("LIT", 1, 2),
        ("MKT", None, None), ("MOC", None, None), ("MIDPRICE", None, None), ("REL", None, None),
        ("Something new", None, None), (None, None, None),
    ],
)  # fmt: skip
def test_what_a_price_is_depends_on_the_type(
    kind: str | None, limit: int | None, stop: int | None
) -> None:
    row = order_row({**SPARSE, "orderType": kind, "price": "1.00", "auxPrice": 2})

    assert (row.limit_price, row.stop_price) == (limit, stop)


@pytest.mark.parametrize("price", ["", None, "None", "MKT", [], {}, True, "1e99"])
@pytest.mark.parametrize("kind", ["LIMIT", "STOP_LIMIT", 5, {}])
def test_a_term_that_cannot_be_read_never_costs_the_row(kind: object, price: object) -> None:
    strange = {"price": price, "auxPrice": price, "ticker": 7, "timeInForce": [], "symbol": {}}

    row = order_row({**SPARSE, "status": "Submitted", "origOrderType": kind, **strange})

    assert (row.status, row.limit_price, row.stop_price) == (BrokerStatus.SUBMITTED, None, None)
    assert (row.symbol, row.tif) == (None, None)


def test_an_execution_is_read_exactly(trade: Row) -> None:
    assert execution(trade) == Execution(
        execution_id=ExecutionId("0000dc8f.6b9035f5.01.01"),
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("245323648"),
        coid=Coid("my-coid-1"),
        conid=ConId(265598),
        side=Side.BUY,
        quantity=Decimal(1),
        price=Decimal("317.56"),
        commission=Decimal(1),
        at_ms=1788875891000,
    )


def test_the_first_delivery_has_no_commission_and_maybe_no_references(trade: Row) -> None:
    absent = {"commission", "order_ref", "order_id"}

    seen = execution({key: value for key, value in trade.items() if key not in absent})

    assert (seen.commission, seen.coid, seen.broker_order_id) == (None, None, None)


def test_the_time_is_also_read_from_its_text(trade: Row) -> None:
    assert execution({**trade, "trade_time_r": None}).at_ms == 1788875891000
    assert execution({**trade, "trade_time_r": "1788875891000"}).at_ms == 1788875891000


def test_a_busted_trade_is_a_revision_without_a_size(trade: Row) -> None:
    busted = execution({**trade, "execution_id": "0000e0d5.01.01.02", "size": Decimal("0.0")})

    assert busted.execution_id == "0000e0d5.01.01.02"
    assert busted.quantity == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"side": "X"}, "side is 'X', expected B, BUY, BOT, S, SELL or SLD"),
        ({"size": -5}, r"size is -5, at least 0\.00000001"),
        ({"size": "NaN"}, "size is 'NaN', expected a number"),
        ({"price": "sNaN"}, "price is 'sNaN', expected a number"),
        ({"price": "Infinity"}, "price is 'Infinity', expected a number"),
        ({"price": Decimal("1e300")}, "price is '1E.300', expected a number"),
        ({"price": ""}, "price missing"),
        ({"conid": 0}, "conid is 0, a contract's id is above 0"),
        ({"conid": -1}, "conid is -1, a contract's id is above 0"),
        ({"execution_id": "e" * 65}, "execution_id has 65 characters, at most 64"),
        ({"execution_id": " "}, "execution_id missing"),
        ({"trade_time_r": 10**17}, "trade_time_r is 100000000000000000 ms from 1970, expected 1"),
        ({"trade_time_r": -1}, "trade_time_r is -1 ms from 1970, expected 1"),
        ({"trade_time_r": None, "trade_time": "00010101-00:00:00"}, "ms from 1970, expected 1"),
        ({"size": ""}, "size missing"),
        ({"price": "free"}, "price is 'free', expected a number"),
        ({"execution_id": None}, "execution_id missing"),
        ({"trade_time_r": None, "trade_time": "today"}, "trade_time is 'today', expected"),
        ({"trade_time_r": None, "trade_time": "20261399-00:00:00"}, "not a time"),
        ({"trade_time_r": None, "trade_time": None}, "trade_time missing"),
    ],
)
def test_an_execution_without_what_counts_is_an_error(trade: Row, change: Row, words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        execution({**trade, **change})


def test_results_come_per_account_and_models_are_left_out() -> None:
    args = {
        "DU1234567.Core": {"rowType": 1, "dpl": Decimal("-57520.5"), "nl": "1,000,000", "upl": ""},
        "DU1234567.Growth": {"dpl": 5},
        "DU7654321": {"upl": 3},
    }

    found = results(args)

    assert found.unread == ()
    assert found.rows == (
        ProfitAndLoss(
            account=ACCOUNT,
            daily=Decimal("-57520.5"),
            unrealized=None,
            net_liquidation=Decimal(1_000_000),
        ),
        ProfitAndLoss(
            account=AccountId("DU7654321"),
            daily=None,
            unrealized=Decimal(3),
            net_liquidation=None,
        ),
    )


def test_a_result_that_cannot_be_read_stops_no_other() -> None:
    found = results({"DU1234567.Core": {"dpl": "lots"}, "": {"dpl": 1}, "DU7654321": {"upl": 3}})

    assert found.unread == ("dpl is 'lots', expected a number", "account missing")
    assert [(row.account, row.unrealized) for row in found.rows] == [("DU7654321", Decimal(3))]


def test_a_row_that_cannot_be_read_stops_no_other(trade: Row) -> None:
    found = readable([{**trade, "side": "X"}, trade], execution)

    assert found.rows == (execution(trade),)
    assert found.unread == ("side is 'X', expected B, BUY, BOT, S, SELL or SLD",)


ODD = st.sampled_from(
    ["1", "-1", "0", "1e999999999", "-1e-999999999", "1e17", "1e-18", "9" * 3000, '"NaN"', '"sNaN"',
     '"-Infinity"', '"1e999"', '""', "null", "true", "[]", "{}", '"B"', '"' + "x" * 70 + '"']
)  # fmt: skip
MEMBERS = st.sampled_from(
    ["execution_id", "side", "size", "price", "account", "conid", "trade_time_r", "order_id",
     "order_ref", "commission", "acct", "orderId", "totalSize", "filledQuantity", "avgPrice",
     "status"]
)  # fmt: skip
GOOD = (
    b'"execution_id":"a.01","side":"B","size":1,"price":"1","account":"DU1","conid":1,'
    b'"trade_time_r":1,"orderId":1'
)


@given(st.dictionaries(MEMBERS, ODD, max_size=3))
def test_whatever_a_row_says_it_is_refused_or_can_be_computed_with(odd: dict[str, str]) -> None:
    members = b",".join(f'"{key}":{value}'.encode() for key, value in odd.items())
    row = as_row(decode(b"{" + GOOD + (b"," if members else b"") + members + b"}"), "it")

    with suppress(BadAnswer):
        seen = execution(row)
        assert seen.quantity >= 0
        assert (seen.price * seen.quantity / (seen.quantity or 1)).is_finite()
        assert seen.price % Decimal("1e-8") < 1
    with suppress(BadAnswer):
        listed = order_row(row)
        assert (listed.filled_quantity or 0) >= 0
        assert len(listed.broker_order_id) <= 64
