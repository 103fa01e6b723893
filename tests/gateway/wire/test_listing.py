import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.values import ConId, Instrument
from engine.gateway.wire import listing as wire
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.listing import Listing, Section, Underlying

AAPL = ConId(265598)
SEARCH: list[dict[str, Any]] = [
    {
        "conid": "265598",
        "companyHeader": "APPLE INC - NASDAQ",
        "companyName": "APPLE INC",
        "symbol": "AAPL",
        "description": "NASDAQ",
        "restricted": None,
        "sections": [
            {"secType": "STK"},
            {"secType": "OPT", "months": "JAN27;DEC26;?", "exchange": "SMART;AMEX"},
            {"secType": "CFD", "exchange": "SMART", "conid": "120549942"},
        ],
    },
    {"issuers": [{"id": "e1"}], "bondid": 5, "conid": "2147483647", "symbol": None},
    {"conid": "1", "symbol": "AAPLX", "sections": []},
]
APPLE = Underlying(
    conid=AAPL,
    symbol="AAPL",
    name="APPLE INC",
    exchange="NASDAQ",
    sections=(
        Section(sec_type="STK", months=(), exchanges=(), conid=None),
        Section(
            sec_type="OPT", months=("JAN27", "DEC26", "?"), exchanges=("SMART", "AMEX"), conid=None
        ),
        Section(sec_type="CFD", months=(), exchanges=("SMART",), conid=ConId(120549942)),
    ),
)


def step(expiry: str, strike: int | None = None, right: str | None = None) -> Listing:
    return Listing(
        conid=wire.NO_CONID,
        symbol="AAPL",
        sec_type="OPT",
        name="APPLE INC",
        underlying_conid=AAPL,
        expiry=expiry,
        strike=None if strike is None else Decimal(strike),
        right=right,
    )


def test_a_symbol_lists_every_share(data: Path) -> None:
    document = json.loads((data / "stocks.json").read_text())

    found = wire.stocks("AAPL", document)

    assert [(one.conid, one.exchange, one.is_us) for one in found] == [
        (265598, "NASDAQ", True),
        (38708077, "MEXI", False),
        (493546048, "LSEETF", False),
    ]


@pytest.mark.parametrize("document", [{}, [], {"NOPE": []}])
def test_an_unknown_symbol_lists_nothing(document: object) -> None:
    assert wire.stocks("NOPE", document) == ()
    assert wire.futures("NOPE", document) == ()


def test_futures_come_with_the_nearest_first() -> None:
    document = {
        "ES": [
            {"symbol": "ES", "conid": 2, "underlyingConid": 11004968, "expirationDate": 20270319},
            {"symbol": "ES", "conid": 1, "underlyingConid": 11004968, "expirationDate": "20261218"},
        ]
    }

    assert wire.futures("ES", document) == tuple(
        Listing(
            conid=ConId(conid),
            symbol="ES",
            sec_type="FUT",
            underlying_conid=ConId(11004968),
            expiry=expiry,
        )
        for conid, expiry in ((1, "20261218"), (2, "20270319"))
    )


def test_a_future_without_an_id_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="conid missing"):
        wire.futures("ES", {"ES": [{"symbol": "ES"}]})


def test_pairs_are_named_by_both_currencies() -> None:
    document = {
        "USD": [
            {"symbol": "USD.SGD", "conid": 37928772, "ccyPair": "SGD"},
            {"symbol": "EUR.USD", "conid": 12087792, "ccyPair": "EUR"},
            {"symbol": None, "conid": 5},
            {"symbol": "odd", "conid": 6},
        ]
    }

    assert wire.pairs(document) == (
        Listing(conid=ConId(37928772), symbol="USD.SGD", sec_type="CASH", currency="SGD"),
        Listing(conid=ConId(12087792), symbol="EUR.USD", sec_type="CASH", currency="USD"),
    )
    assert wire.pairs([]) == ()


def test_a_search_has_the_rows_of_exactly_that_symbol() -> None:
    assert wire.underlyings("AAPL", SEARCH) == (APPLE,)
    assert wire.underlyings("AAPL", []) == ()


def test_a_kind_of_contract_is_a_section_of_its_underlying() -> None:
    section = APPLE.section("OPT")

    assert section is not None
    assert section.exchanges == ("SMART", "AMEX")
    assert APPLE.section("WAR") is None


def test_a_coin_has_the_id_of_its_section_else_of_its_row() -> None:
    rows = wire.underlyings(
        "BTC",
        [
            {
                "conid": "479624278",
                "symbol": "BTC",
                "companyName": "Bitcoin",
                "description": "PAXOS",
                "sections": [
                    {"secType": "CRYPTO", "exchange": "PAXOS"},
                    {"secType": "CRYPTO", "exchange": "ZEROHASH", "conid": "541000000"},
                    {"secType": "STK"},
                ],
            }
        ],
    )

    assert [(one.conid, one.exchange, one.sec_type) for one in wire.coins(rows)] == [
        (479624278, "PAXOS", "CRYPTO"),
        (541000000, "ZEROHASH", "CRYPTO"),
    ]


def test_months_are_steps_towards_an_option_the_nearest_first() -> None:
    assert wire.months((APPLE,)) == (step("202612"), step("202701"))


def test_strikes_are_steps_towards_an_option_in_order() -> None:
    document = {"call": [230, 225, "x"], "put": [225]}

    assert wire.strikes(APPLE, "DEC26", document) == (
        step("202612", 225, "C"),
        step("202612", 225, "P"),
        step("202612", 230, "C"),
    )
    assert wire.strikes(APPLE, "DEC26", {"call": None}) == ()


def test_an_option_is_listed_with_its_terms() -> None:
    document = [
        {
            "conid": 730679583,
            "symbol": "AAPL",
            "secType": "OPT",
            "exchange": "SMART",
            "right": "C",
            "strike": 217.5,
            "currency": "USD",
            "desc2": "OCT 18 '24 217.5 Call",
            "maturityDate": "20241018",
            "multiplier": "100",
            "tradingClass": "AAPL",
        },
        {"conid": 265598, "secType": "STK"},
    ]

    assert wire.options("AAPL", json.loads(json.dumps(document), parse_float=Decimal)) == (
        Listing(
            conid=ConId(730679583),
            symbol="AAPL",
            sec_type="OPT",
            exchange="SMART",
            currency="USD",
            name="OCT 18 '24 217.5 Call",
            multiplier=Decimal(100),
            expiry="20241018",
            strike=Decimal("217.5"),
            right="C",
            trading_class="AAPL",
        ),
    )


def test_definitions_say_what_a_list_left_out() -> None:
    known = Listing(conid=AAPL, symbol="AAPL", sec_type="STK", exchange="NASDAQ", name="APPLE")
    other = Listing(conid=ConId(7), symbol="AAPL", sec_type="STK")
    document = {
        "secdef": [
            {"conid": 265598, "currency": "USD", "listingExchange": "X", "multiplier": 0},
            {"conid": "x", "currency": "CHF"},
        ]
    }

    described, left = wire.described((known, other), document)

    assert (described.currency, described.exchange, described.name) == ("USD", "NASDAQ", "APPLE")
    assert left == other


def test_a_candidate_cannot_be_traded_before_it_is_looked_up() -> None:
    listing = Listing(
        conid=AAPL,
        symbol="AAPL",
        sec_type="OPT",
        exchange="SMART",
        currency="USD",
        name="a call",
        multiplier=Decimal(100),
        expiry="20261218",
        strike=Decimal(230),
        right="C",
    )

    assert wire.candidate(listing) == Instrument(
        conid=AAPL,
        symbol="AAPL",
        sec_type="OPT",
        currency="USD",
        exchange="SMART",
        name="a call",
        multiplier=Decimal(100),
        increments=(),
        size_increment=Decimal(1),
        order_types=(),
        tradable=False,
        expiry="20261218",
        strike=Decimal(230),
        right="C",
    )


@pytest.mark.parametrize(("written", "month"), [("20261218", "DEC26"), ("202701", "JAN27")])
def test_a_month_is_written_as_the_broker_does(written: str, month: str) -> None:
    assert wire.month_of(written) == month
    assert wire.year_and_month(month) == written[:6]


@pytest.mark.parametrize("month", ["", "DEC", "XXX26", "DEC2026", "DECxx", "DEC٢٦"])
def test_what_is_no_month_is_none(month: str) -> None:
    assert wire.year_and_month(month) is None


MEMBERS = [
    "A", "conid", "symbol", "contracts", "sections", "secType", "months", "exchange", "strike",
    "expirationDate", "right", "call", "put", "secdef", "currency",
]  # fmt: skip
WORDS = st.sampled_from(["", "A", "7", "DEC26", "OPT"])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(ODD)
def test_whatever_a_list_says_it_is_read_or_is_an_error(document: Any) -> None:
    one = Listing(conid=ConId(7), symbol="A", sec_type="STK")
    reads: tuple[Callable[[], object], ...] = (
        lambda: wire.stocks("A", document),
        lambda: wire.futures("A", document),
        lambda: wire.pairs(document),
        lambda: wire.coins(wire.underlyings("A", document)),
        lambda: wire.months(wire.underlyings("A", document)),
        lambda: wire.strikes(APPLE, "DEC26", document),
        lambda: wire.options("A", document),
        lambda: wire.described((one,), document),
    )
    for read in reads:
        with suppress(BadAnswer):
            assert isinstance(read(), tuple)
